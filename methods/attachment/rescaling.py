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
    if torch._C._functorch.is_batchedtensor(total) or torch._C._functorch.is_batchedtensor(change):
        return _plain(total, bias, change)
    made: torch.Tensor = _Rescaled.apply(total, bias, change)
    return made


def _plain(total: torch.Tensor, bias: torch.Tensor | None, change: torch.Tensor) -> torch.Tensor:
    """Return what `rescaled` returns, by operations that torch can stack over models (harness/one_pass)."""
    moved = total if bias is None else total - bias.to(total.dtype)
    return total + moved * change.to(total.dtype)


class _Rescaled(torch.autograd.Function):
    """`rescaled`. Its gradient needs total - bias, which is kept, or follows from the result.

    Without a bias it keeps the result, as what reads the result often keeps it too. A factor of 0 leaves nothing to
    compute it from, and beside a large bias it would lose its digits.
    """

    @staticmethod
    def forward(ctx: Any, total: torch.Tensor, bias: torch.Tensor | None, change: torch.Tensor) -> torch.Tensor:
        moved = total if bias is None else total - bias.to(total.dtype)  # a bias that is frozen stays in fp32
        low = change.to(total.dtype)
        result = torch.addcmul(total, moved, low)
        ctx.of_result = bias is None and (low.is_meta or not bool((low == -1).any()))
        ctx.save_for_backward(result if ctx.of_result else moved, change)
        return result

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        factor, change = ctx.saved_tensors
        of_total, of_change = _gradients(gradient.flatten(0, -2), factor.flatten(0, -2), change)
        if ctx.of_result:
            of_change /= 1 + change.to(gradient.dtype).to(change.dtype)
        of_bias = -change * gradient.flatten(0, -2).sum(dim=0) if ctx.needs_input_grad[1] else None
        return of_total.view_as(gradient), of_bias, of_change


def _gradients(gradient: torch.Tensor, factor: torch.Tensor, change: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the gradient of the total: [B T, d_out], and the sum of gradient times factor: [d_out].

    gradient: [B T, d_out], of the result. factor: [B T, d_out]. The products of the second are written where the first
    is returned, so that they take no memory.
    """
    whole, summed, low = torch.empty_like(gradient), torch.zeros_like(change), change.to(gradient.dtype)
    rows = max(1, CHUNK // len(change)) if gradient.device.type == "cpu" else len(gradient)
    for part, same, out in zip(gradient.split(rows), factor.split(rows), whole.split(rows), strict=True):
        summed += torch.mul(part, same, out=out).sum(dim=0)
        torch.addcmul(part, part, low, out=out)
    return whole, summed
