"""The lengths of the rows of W + L R, a weight with an update of low rank, without a temporary of the size of W.

Of row i, with w_i: [d_in], l_i: [R] and R: [R, d_in], the squared length is

    ||w_i + l_i R||^2 = ||w_i||^2 + 2 l_i . (R w_i) + l_i (R R^T) l_i^T

The first term is computed once for a frozen weight, and R w_i in the precision of W. Where the terms cancel, so that
rounding would decide their sum, a row is computed by the definition. Each forward pass reads whether there is such a
row. A small weight is computed by the definition altogether.
"""

import weakref
from typing import Any

import torch

from harness.precision import uncast
from methods.backbone.linears import Linear, Part, dense

BLOCK = 2**18
"""The number of elements of W that are squared at once."""
SMALL = 2**16
"""The number of elements of W up to which the definition is used: there the many small products take more time."""
CANCELLED = 64
"""The largest ratio of the terms to their sum: a ratio of 64 loses two of the seven digits of single precision."""


class RowLengths:
    """The squared lengths of the rows of a host's weight W, alone and with an update, in the precision `dtype`.

    Those of W alone are remembered while it is the same: a frozen parameter with the same storage, to which nothing was
    written. Torch counts the writes, but not those of its fused optimisers, which write to no frozen parameter, and not
    those through `.data`. A copy remembers nothing.
    """

    def __init__(self, host: Linear, dtype: torch.dtype) -> None:
        self.host, self.dtype = host, dtype
        self._state: tuple[Any, ...] = ()
        self._own = torch.empty(0)

    def __reduce__(self) -> tuple[Any, ...]:
        return RowLengths, (self.host, self.dtype)

    def own(self, weight: torch.Tensor | None = None) -> torch.Tensor:
        """Return the squared lengths of the rows of W: [d_out]. weight: W: [d_out, d_in], where it is at hand."""
        stored: Any = (self.host.module if isinstance(self.host, Part) else self.host).weight
        if stored.requires_grad or stored.is_inference():
            self._state = ()
            return _squares(dense(self.host), self.dtype)
        state = weakref.ref(stored), weakref.ref(stored.untyped_storage()), stored._version
        if self._state != state:
            self._own = _squares(dense(self.host) if weight is None else weight, self.dtype)
            self._state = state
        return self._own

    def updated(self, left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
        """Return the squared lengths of the rows of W + left right: [d_out] for left: [d_out, R], right: [R, d_in].

        They have gradients to both sides of the update, and to a W that trains.
        """
        weight = dense(self.host)
        with uncast(right.device):
            if weight.requires_grad or weight.numel() <= SMALL:
                return direct(weight.to(self.dtype), left, right)
            own = self.own(weight)
            product, gram = _Product.apply(right, weight, self.host), right @ right.T
            summed = own + ((2 * product + left @ gram) * left).sum(dim=1)
            if weight.is_meta:
                return summed
            rows = _cancelled(summed, own, left, gram, product if weight.dtype != self.dtype else None)
            if not len(rows):
                return summed
            return summed.index_copy(0, rows, direct(weight[rows].to(self.dtype), left[rows], right))


def direct(weight: torch.Tensor, left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    """Return the squared lengths of the rows of weight + left right, by their definition: [n].

    weight: [n, d_in], left: [n, R], right: [R, d_in].
    """
    return (weight + left @ right).square().sum(dim=1)


@torch.no_grad()
def _cancelled(
    summed: torch.Tensor, own: torch.Tensor, left: torch.Tensor, gram: torch.Tensor, rounded: torch.Tensor | None
) -> torch.Tensor:
    """Return the rows whose terms cancel: [n].

    summed, own: [d_out], left: [d_out, R], gram: [R, R]. rounded: [d_out, R], the products R w_i where their precision
    is lower than that of the others. No term, and no part of one, is larger than the square of
    ||w_i|| + |l_i1| ||r_1|| + ... + |l_iR| ||r_R||.
    """
    reach = own.sqrt() + left.abs() @ gram.diagonal().sqrt()
    cancel = CANCELLED * summed < reach.square()
    if rounded is not None:
        cancel |= summed < 2 * (rounded * left).abs().sum(dim=1)
    return cancel.nonzero().squeeze(1)


class _Product(torch.autograd.Function):
    """W R^T: [d_out, R] for R: [R, d_in] and W: [d_out, d_in], which the backward pass reads from its host again."""

    @staticmethod
    def forward(ctx: Any, right: torch.Tensor, weight: torch.Tensor, host: Linear) -> torch.Tensor:
        ctx.host = host
        return (weight @ right.T.to(weight.dtype)).to(right.dtype)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        (gradient,), weight = gradients, dense(ctx.host)
        return (gradient.T.to(weight.dtype) @ weight).to(gradient.dtype), None, None


def _squares(weight: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """Return the squared lengths of the rows of weight: [d_out, d_in]: [d_out].

    On the meta device those of a frozen weight are an empty tensor: they are computed before the first step, a large
    weight has hundreds of blocks, and each takes longer there than where it has values.
    """
    if weight.is_meta and not weight.requires_grad:
        return weight.new_empty(weight.shape[0], dtype=dtype)
    blocks = weight.split(max(1, BLOCK // weight.shape[1]))
    return torch.cat([block.to(dtype).square().sum(dim=1) for block in blocks])
