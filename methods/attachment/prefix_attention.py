"""An attention function, for every family, that puts a module's prefix before its keys and values.

It is registered with transformers' AttentionInterface, prepends the module's `prefix` and then calls the implementation
that the model had. Prefixes are prepended after the cache and after any rotation, so they take no positions and a cache
never holds them. PEFT shifts positions by P instead, which for a rotary family is the same prefix rotated by -P.
"""

import inspect
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from harness.errors import NotApplicable
from methods.backbone.roles import family, find_stack

UNDERNEATH = ("sdpa", "eager")


def accept_prefixes(model: Any) -> None:
    """Route the model's attention through ours, with the implementation it had underneath."""
    inner = model.config._attn_implementation
    if inner not in UNDERNEATH:
        known = ", ".join(UNDERNEATH)
        raise NotApplicable(f"method prefix: attention {inner!r} cannot take a prefix, use model.attention={known}")
    model.set_attn_implementation(f"prefix_{inner}")
    row, stack = family(model), find_stack(model, "")
    if row.rotary and stack is not None:
        names = tuple(inspect.signature(stack.forward).parameters)
        stack.register_forward_pre_hook(partial(_number, names), with_kwargs=True)


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
    """Attend with the module's prefix. query: [B, H, T, K]; key, value: [B, H, S, K]; the mask (bool or additive) ends
    in [T, S].
    """
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
    """Return the additive causal mask: [1, 1, T, S], or None where the implementation needs none."""
    causal = getattr(module, "is_causal", True) if causal is None else causal
    rows, columns = query.shape[2], key.shape[2]
    if not causal or rows == 1:
        return None
    mask = torch.full((1, 1, rows, columns), torch.finfo(key.dtype).min, dtype=key.dtype, device=key.device)
    return mask.triu(columns - rows + 1)


def _number(names: tuple[str, ...], stack: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Number each row's own tokens from 0, before a rotary stack (`names`: of positional arguments).

    Otherwise a query's angle to the prefix would depend on how much padding stands before it.
    """
    call = dict(zip(names, args, strict=False)) | kwargs
    mask = call.get("attention_mask")
    if mask is not None and mask.ndim == 2 and call.get("position_ids") is None:
        tokens = call["input_ids"] if call.get("input_ids") is not None else call["inputs_embeds"]
        call["position_ids"] = (mask.cumsum(1) - 1).clamp(min=0)[:, -tokens.shape[1] :]
    return (), call


def _implementation(inner: str, module: nn.Module) -> Callable[..., Any]:
    """Return the attention function `inner` for the module; each modelling file has its own eager one."""
    if inner == "eager":  # each modelling file has its own
        return sys.modules[type(module).__module__].eager_attention_forward
    return ALL_ATTENTION_FUNCTIONS[inner]


for _inner in UNDERNEATH:
    AttentionInterface.register(f"prefix_{_inner}", partial(_attend, _inner))
    AttentionMaskInterface.register(f"prefix_{_inner}", ALL_MASK_ATTENTION_FUNCTIONS[_inner])
