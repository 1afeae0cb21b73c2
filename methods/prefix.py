"""Prefix tuning (Li & Liang 2021, arXiv 2101.00190): P learnt keys and values before every attention module's
own.

Parameters: 2 P kv for each attention module (encoder self, decoder self, cross), kv the width of its keys.
With `reparametrize` a tanh MLP of width R makes them while training: P R + R^2 + R, then 2 kv (R + 1) per
module; its trunk is shared by all modules (paper: one MLP for each kind). Keys and values start normal with
sd `std`.

One attention function, registered with transformers' AttentionInterface, serves every family: it prepends
what the module holds and then calls the implementation that the model had. Prefixes are prepended after the
cache and after any rotation, so they take no positions and a cache never holds them; PEFT shifts positions by
P instead, which for a rotary family is the same prefix rotated by -P.
"""

import inspect
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import torch
from torch import nn
from torch.nn import functional as F
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from harness.errors import NotApplicable, UsageError
from methods.anatomy import family, find, find_stack
from methods.base import Delta, Method, parameter
from methods.shape import Shape
from methods.shape import shape as shape_of

UNDERNEATH = ("sdpa", "eager")


class Prefix(Delta):
    """The prefix of one attention module. keys, values: [H, P, K] (H: its key heads)."""

    def __init__(self, like: torch.Tensor, heads: int, length: int, width: int, std: float) -> None:
        super().__init__()
        self.keys = parameter(like, heads, length, width)
        self.values = parameter(like, heads, length, width)
        nn.init.normal_(self.keys, std=std)
        nn.init.normal_(self.values, std=std)

    def forward(self) -> tuple[torch.Tensor, torch.Tensor]:
        """([H, P, K], [H, P, K])"""
        return self.keys, self.values


class Trunk(Delta):
    """[P, R]: the part of the MLP that all attention modules share."""

    def __init__(self, like: torch.Tensor, length: int, hidden: int) -> None:
        super().__init__()
        self.embeddings = parameter(like, length, hidden)
        self.weight, self.bias = parameter(like, hidden, hidden), parameter(like, hidden)
        nn.init.normal_(self.embeddings)
        _start(self.weight, self.bias)

    def forward(self) -> torch.Tensor:
        return torch.tanh(F.linear(self.embeddings, self.weight, self.bias))


class MadePrefix(Delta):
    """The prefix of one attention module, made by an MLP: [2 H K, R] on top of the shared trunk."""

    def __init__(self, trunk: Trunk, heads: int, width: int) -> None:
        super().__init__()
        self.trunk, self.heads, self.width = trunk, heads, width
        self.weight = parameter(trunk.weight, 2 * heads * width, trunk.weight.shape[0])
        self.bias = parameter(trunk.weight, 2 * heads * width)
        _start(self.weight, self.bias)

    def forward(self) -> tuple[torch.Tensor, torch.Tensor]:
        """([H, P, K], [H, P, K])"""
        made = F.linear(self.trunk(), self.weight, self.bias).view(-1, 2, self.heads, self.width)
        keys, values = made.permute(1, 2, 0, 3)
        return keys, values


def _start(weight: torch.Tensor, bias: torch.Tensor) -> None:
    bound = weight.shape[1] ** -0.5  # torch's own for a linear
    nn.init.uniform_(weight, -bound, bound)
    nn.init.zeros_(bias)


def _attend(
    inner: str,
    module: nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    position_bias: torch.Tensor | None = None,
    **kwargs: Any,
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """query: [B, H, T, K]; key, value: [B, H, S, K]; the mask (bool or additive) ends in [T, S]."""
    prefix = getattr(module, "prefix", None)
    if prefix is not None:
        keys, values = prefix()
        length, batch = keys.shape[1], key.shape[0]
        if attention_mask is None:
            attention_mask = _causal(module, query, key, kwargs.get("is_causal"))
        if attention_mask is not None:
            attention_mask = F.pad(attention_mask, (length, 0), value=attention_mask.dtype == torch.bool)
        if position_bias is not None:
            position_bias = F.pad(position_bias, (length, 0))
        key = torch.cat((keys.to(key.dtype).expand(batch, -1, -1, -1), key), dim=2)
        value = torch.cat((values.to(value.dtype).expand(batch, -1, -1, -1), value), dim=2)
    if position_bias is not None:
        kwargs["position_bias"] = position_bias
    return _implementation(inner, module)(module, query, key, value, attention_mask, **kwargs)


def _causal(module: nn.Module, query: torch.Tensor, key: torch.Tensor, causal: bool | None) -> torch.Tensor | None:
    """[1, 1, T, S] additive, where the implementation would have relied on its own causal flag; else None."""
    causal = getattr(module, "is_causal", True) if causal is None else causal
    rows, columns = query.shape[2], key.shape[2]
    if not causal or rows == 1:
        return None
    mask = torch.full((1, 1, rows, columns), torch.finfo(key.dtype).min, dtype=key.dtype, device=key.device)
    return mask.triu(columns - rows + 1)


def _number(names: tuple[str, ...], stack: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Before a rotary stack: number each row's own tokens from 0 (`names`: of positional arguments).

    Without this a query's angle to the prefix would depend on how much padding stands before it.
    """
    call = dict(zip(names, args, strict=False)) | kwargs
    mask = call.get("attention_mask")
    if mask is not None and mask.ndim == 2 and call.get("position_ids") is None:
        tokens = call["input_ids"] if call.get("input_ids") is not None else call["inputs_embeds"]
        call["position_ids"] = (mask.cumsum(1) - 1).clamp(min=0)[:, -tokens.shape[1] :]
    return (), call


def _implementation(inner: str, module: nn.Module) -> Callable[..., Any]:
    if inner == "eager":  # each modelling file has its own
        return sys.modules[type(module).__module__].eager_attention_forward
    return ALL_ATTENTION_FUNCTIONS[inner]


for _inner in UNDERNEATH:
    AttentionInterface.register(f"prefix_{_inner}", partial(_attend, _inner))
    AttentionMaskInterface.register(f"prefix_{_inner}", ALL_MASK_ATTENTION_FUNCTIONS[_inner])


@dataclass(frozen=True)
class PrefixTuning(Method):
    """Learnt keys and values in every attention module."""

    name: ClassVar[str] = "prefix"
    unchanged_at_start: ClassVar[bool] = False

    length: int = 16
    reparametrize: bool = False
    hidden: int = 64
    std: float = 0.02

    def __post_init__(self) -> None:
        self.require(self.length >= 1, "length", "the prefix length must be at least 1")
        self.require(self.hidden >= 1, "hidden", "the width of the MLP must be at least 1")
        self.require(self.std >= 0, "std", "a standard deviation cannot be negative")

    def attach(self, model: nn.Module) -> None:
        hosts = find(model, "attention")
        self._choose_attention(model)
        like, config = next(model.parameters()), shape_of(model)
        heads, width = config.kv_heads, config.kv_width // config.kv_heads
        trunk = Trunk(like, self.length, self.hidden) if self.reparametrize else None
        for host in hosts.values():
            if hasattr(host, "prefix"):
                raise UsageError("a second prefix on one attention module: two methods own the same place")
            made = MadePrefix(trunk, heads, width) if trunk else Prefix(like, heads, self.length, width, self.std)
            host.add_module("prefix", made)
        row, stack = family(model), find_stack(model, "")
        if row.rotary and stack is not None:
            names = tuple(inspect.signature(stack.forward).parameters)
            stack.register_forward_pre_hook(partial(_number, names), with_kwargs=True)

    def _choose_attention(self, model: Any) -> None:
        """Route the model's attention through ours, with the implementation it had underneath."""
        inner = model.config._attn_implementation
        if inner not in UNDERNEATH:
            known = ", ".join(UNDERNEATH)
            raise NotApplicable(f"method prefix: attention {inner!r} cannot take a prefix, use model.attention={known}")
        model.set_attn_implementation(f"prefix_{inner}")

    def closed_form(self, shape: Shape) -> int:
        if not self.reparametrize:
            return 2 * self.length * shape.kv_width * shape.attentions
        trunk = self.length * self.hidden + self.hidden**2 + self.hidden
        return trunk + shape.attentions * 2 * shape.kv_width * (self.hidden + 1)

    def notes(self, model: nn.Module) -> dict[str, str | int | float]:
        return {"prefixed_attention_modules": len(find(model, "attention"))}
