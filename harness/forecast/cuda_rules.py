"""What a CUDA device does otherwise than the meta device, where memory is concerned.

On the meta device dropout keeps a mask of floats, autocast does nothing, and attention takes the math path. Here these
functions of torch are replaced by ones that allocate what the kernels of a CUDA device allocate:

- dropout keeps one byte per element.
- bf16: the casts of torch's autocast (its lists for CUDA, those functions that backbones call), with its cache of
  cast weights that train.
- attention: see attention_kernels.py.
"""

from collections import Counter
from collections.abc import Callable
from typing import Any

import torch
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from harness.forecast.attention_kernels import HALF, Call, attend, choose, dropout, full

Tensor = torch.Tensor
LOWER: frozenset[Any] = frozenset({
    F.linear, torch.matmul, Tensor.matmul, Tensor.__matmul__, torch.bmm, Tensor.bmm, torch.mm, Tensor.mm,
    torch.addmm, torch.baddbmm, torch.einsum, F.bilinear, F.conv1d, F.conv2d, F.scaled_dot_product_attention,
})  # fmt: skip
FLOAT: frozenset[Any] = frozenset({
    F.softmax, torch.softmax, Tensor.softmax, F.log_softmax, torch.log_softmax, Tensor.log_softmax, F.cross_entropy,
    F.nll_loss, F.layer_norm, F.group_norm, torch.pow, Tensor.pow, Tensor.__pow__, torch.rsqrt, Tensor.rsqrt,
    torch.exp, Tensor.exp, torch.log, Tensor.log, torch.sum, Tensor.sum, torch.norm, torch.cumsum, Tensor.cumsum,
    torch.linalg.vector_norm, F.softplus, F.mse_loss, F.kl_div, torch.cosine_similarity,
})  # fmt: skip
"""As torch's autocast_mode.h lists them."""


class Ways(TorchFunctionMode):
    """A mode in which torch's functions allocate as on a CUDA device.

    kernel: the attention kernel that is wanted. low: whether bf16 autocast is on. used: how often each kernel ran.
    """

    def __init__(self, kernel: str = "auto", low: bool = False) -> None:
        super().__init__()
        self.kernel, self.low = kernel, low
        self.used: Counter[str] = Counter()
        self._cast: dict[int, Tensor] = {}

    def again(self) -> "Ways":
        """Return these rules for blocks that are computed a second time, where casts are cached anew."""
        return Ways(self.kernel, self.low)

    def __exit__(self, *reason: Any) -> None:
        super().__exit__(*reason)
        self._cast.clear()  # as autocast does when its region ends

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if self.low and func in LOWER:
            args, kwargs = _all(self._lower, args), _all(self._lower, kwargs)
        elif self.low and func in FLOAT:
            args, kwargs = _all(full, args), _all(full, kwargs)
        if func is F.dropout:
            return _dropout(*args, **kwargs)
        if func is F.scaled_dot_product_attention:
            return self._attend(*args, **kwargs)
        return func(*args, **kwargs)

    def _lower(self, tensor: Tensor) -> Tensor:
        if tensor.dtype not in (torch.float32, *HALF):
            return tensor
        if not (tensor.is_leaf and tensor.requires_grad and tensor.dtype == torch.float32):
            return tensor.to(torch.bfloat16)
        if id(tensor) not in self._cast:
            self._cast[id(tensor)] = tensor.to(torch.bfloat16)
        return self._cast[id(tensor)]

    def _attend(
        self, query: Tensor, key: Tensor, value: Tensor, attn_mask: Tensor | None = None, dropout_p: float = 0.0,
        is_causal: bool = False, *, scale: float | None = None, enable_gqa: bool = False,
    ) -> Tensor:  # fmt: skip
        grouped = enable_gqa and query.shape[1] != key.shape[1]
        call = Call(query, key, value, attn_mask, dropout_p, is_causal, scale, grouped)
        kernel = choose(self.kernel, call)
        self.used[kernel] += 1
        return attend(kernel, call)


def _all(change: Callable[[Tensor], Tensor], value: Any) -> Any:
    if isinstance(value, Tensor):
        return change(value)
    if isinstance(value, dict):
        return {name: _all(change, item) for name, item in value.items()}
    return type(value)(_all(change, item) for item in value) if isinstance(value, list | tuple) else value


def _dropout(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    return dropout(input, p if training else 0.0)
