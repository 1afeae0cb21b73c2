"""What each kernel of scaled-dot-product attention allocates on a CUDA device, by shapes alone; and its dropout.

S is the number of key positions. `math` writes out scores and weights [B, H, T, S]. `flash` (half precision, no mask,
heads of at most 256) and `memory_efficient` keep the output and one number for each query position. Where a kernel
cannot do a call, the next one of torch's order does it. No value is computed: the outputs have the right shapes, types
and bytes.
"""

import math
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch.nn import functional as F

Tensor = torch.Tensor
HALF = (torch.float16, torch.bfloat16)
_OPS = torch.ops.aten


@dataclass(frozen=True)
class Call:
    """The arguments of one call of attention.

    - query: [B, H, T, K]. key, value: [B, H, S, K], with fewer heads where `grouped`.
    - mask: bool or additive, [B or 1, H or 1, T, S]. causal: each query sees no later key.
    - p: the share of the weights that dropout removes. scale: of the scores; None for K^-0.5.
    """

    query: Tensor
    key: Tensor
    value: Tensor
    mask: Tensor | None = None
    p: float = 0.0
    causal: bool = False
    scale: float | None = None
    grouped: bool = False

    def additive(self) -> Tensor | None:
        """Return the mask as numbers to add to the scores, [B or 1, H or 1, T, S]; None without a mask."""
        if self.mask is None or self.mask.dtype != torch.bool:
            return self.mask
        return torch.where(self.mask, self.query.new_zeros(()), self.query.new_full((), -math.inf))


def choose(wanted: str, call: Call) -> str:
    """Return the first kernel that can do the call. They are tried in the order flash, memory_efficient, math, from the
    wanted one on ("auto": from flash on).
    """
    if wanted == "math":
        return "math"
    flash = call.mask is None and call.query.dtype in HALF and call.query.shape[-1] <= 256
    if wanted in ("auto", "flash") and flash:
        return "flash"
    return "math" if call.grouped else "memory_efficient"


def attend(kernel: str, call: Call) -> Tensor:
    """Return the attention's output: [B, H, T, K]."""
    return {"math": _math, "flash": _flash, "memory_efficient": _efficient}[kernel](call)


def inside(func: Any, args: Any) -> int:
    """Return the bytes that an operation takes from torch's allocator and frees before it ends; 0 for most operations.

    Flash attention's backward pass sums the query's gradient in fp32, with T padded to 128 and K to 32, and keeps one
    more fp32 number for each row. The memory-efficient one multiplies the output with its gradient in fp32.
    """
    if func is _OPS._scaled_dot_product_flash_attention_backward.default:
        batch, heads, rows, width = args[1].shape
        return int(4 * batch * heads * _up(rows, 128) * (_up(width, 32) + 1))
    if func is _OPS._scaled_dot_product_efficient_attention_backward.default:
        return int(4 * args[1].numel())
    return 0


def full(tensor: Tensor) -> Tensor:
    """Return a tensor of any shape in fp32 where it is in half precision, else the tensor itself."""
    return tensor.float() if tensor.dtype in HALF else tensor


def dropout(x: Tensor, p: float) -> Tensor:
    """Return a tensor like x (any shape) that takes the bytes of dropout; x itself where p is 0.

    Its values are not computed. One byte per element is kept for the backward pass.
    """
    if p == 0.0:
        return x
    made: Tensor = _Dropout.apply(x)
    return made


class _Dropout(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(torch.empty_like(x, dtype=torch.bool))
        return torch.empty_like(x)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        (_,) = ctx.saved_tensors
        return torch.empty_like(grads[0])


def _math(call: Call) -> Tensor:
    """Return the attention [B, H, T, K] as torch writes it out; half precision is computed in fp32."""
    query, key, value = (full(tensor) for tensor in (call.query, call.key, call.value))
    root = math.sqrt(query.shape[-1] ** -0.5 if call.scale is None else abs(call.scale))
    if call.causal:
        call = replace(call, mask=query.new_ones(query.shape[-2], key.shape[-2], dtype=torch.bool).tril())
    mask = call.additive()
    if call.grouped:
        key, value = (each.repeat_interleave(query.shape[-3] // each.shape[-3], -3) for each in (key, value))
    scores = torch.matmul(query * root, (key * root).transpose(-2, -1))
    if mask is not None:
        scores.add_(mask)
    return torch.matmul(dropout(torch.softmax(scores, -1), call.p), value).to(call.query.dtype)


def _flash(call: Call) -> Tensor:
    """Return the attention [B, H, T, K] of the flash kernel, which pads the width K to a multiple of 8."""
    width = call.query.shape[-1]
    padded = [F.pad(each, (0, -width % 8)) if width % 8 else each for each in (call.query, call.key, call.value)]
    made: Tensor = _OPS._scaled_dot_product_flash_attention(*padded, call.p, call.causal, False, scale=call.scale)[0]
    return made[..., :width]


def _efficient(call: Call) -> Tensor:
    """Return the attention [B, H, T, K] of the memory-efficient kernel.

    It reads a mask whose strides are multiples of 16. Another mask is copied into wider rows first.
    """
    query, key, mask = call.query, call.key, call.additive()
    if mask is not None:
        if mask.stride(-1) != 1 or any(stride % 16 for stride in mask.stride()[:-1]):
            columns = mask.shape[-1]
            mask = F.pad(mask, (0, 16 - columns % 16))[..., :columns]
        mask = mask.expand(query.shape[0], query.shape[1], query.shape[2], key.shape[2])
    keeps = torch.is_grad_enabled() and any(each.requires_grad for each in (query, key, call.value))
    made: Tensor = _OPS._scaled_dot_product_efficient_attention(
        query, key, call.value, mask, keeps, call.p, call.causal, scale=call.scale
    )[0]
    return made


def _up(value: int, unit: int) -> int:
    return -(-value // unit) * unit
