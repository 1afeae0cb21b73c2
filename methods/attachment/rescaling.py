"""A layer's output whose features are scaled, all but the bias, in one function and in the output's precision."""

from typing import Any

import torch
from torch.autograd.function import once_differentiable

CHUNK = 2**18
"""The number of elements that a CPU works on at once, so that its cache holds them."""


def rescaled(total: torch.Tensor, bias: torch.Tensor | None, change: torch.Tensor) -> torch.Tensor:
    """Return bias + (1 + change) (total - bias): [B, T, d_out] for total: [B, T, d_out], and bias and change: [d_out].

    In half precision it is the change that is rounded, as the factor has few digits there. A change below the precision
    of `total` has no effect.
    """
    made: torch.Tensor = _Rescaled.apply(total, bias, change)
    return made


class _Rescaled(torch.autograd.Function):
    """`rescaled`; for the gradient of `change` it keeps total - bias."""

    @staticmethod
    def forward(ctx: Any, total: torch.Tensor, bias: torch.Tensor | None, change: torch.Tensor) -> torch.Tensor:
        moved = total if bias is None else total - bias
        ctx.save_for_backward(moved, change)
        return torch.addcmul(total, moved, change.to(total.dtype))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        moved, change = ctx.saved_tensors
        of_total, of_change = _gradients(gradient.flatten(0, -2), moved.flatten(0, -2), change)
        of_bias = -change * gradient.flatten(0, -2).sum(dim=0) if ctx.needs_input_grad[1] else None
        return of_total.view_as(gradient), of_bias, of_change


def _gradients(gradient: torch.Tensor, moved: torch.Tensor, change: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the gradients of the total: [B T, d_out], and of the change: [d_out].

    gradient: [B T, d_out], of the output. moved: [B T, d_out]. Where the first is returned, the products whose sum is
    the second are written before, so that they take no memory.
    """
    whole, summed, low = torch.empty_like(gradient), torch.zeros_like(change), change.to(gradient.dtype)
    rows = max(1, CHUNK // len(change)) if gradient.device.type == "cpu" else len(gradient)
    for part, its, out in zip(gradient.split(rows), moved.split(rows), whole.split(rows), strict=True):
        summed += torch.mul(part, its, out=out).sum(dim=0)
        torch.addcmul(part, part, low, out=out)
    return whole, summed
