"""Starts of a low-rank update, from the weight that it is added to, from the inputs of its host, or from gradients.

Each returns A: [R, d_in] and B: [d_out, R] for a weight W: [d_out, d_in]. Where their product is not zero, the update
subtracts it, so the start is the backbone. `scale` is the factor of B A.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from itertools import islice
from typing import Any

import torch
from torch import nn

Pair = tuple[torch.Tensor, torch.Tensor]
GAMMA = 16.0
"""LoRA-GA's stability constant (Wang et al. 2024, arXiv 2407.05000), as PEFT has it."""
DAMPING = 0.01
"""CorDA's damping of the covariance, as a share of its mean diagonal, as in the authors' code; doubled until it can be
inverted."""


def principal(weight: torch.Tensor, rank: int, scale: float) -> Pair:
    """Return PiSSA's start (Meng et al. 2024, arXiv 2404.02948): the largest singular values."""
    left, values, right = torch.linalg.svd(weight, full_matrices=False)
    return _split(left[:, :rank], values[:rank], right[:rank], scale)


def minor(weight: torch.Tensor, rank: int, scale: float) -> Pair:
    """Return MiLoRA's start (Wang et al. 2024, arXiv 2406.09044): the smallest singular values."""
    left, values, right = torch.linalg.svd(weight, full_matrices=False)
    return _split(left[:, -rank:], values[-rank:], right[-rank:], scale)


def orthonormal(weight: torch.Tensor, rank: int) -> Pair:
    """Return OLoRA's start (Büyükakyüz 2024, arXiv 2406.01775): the first R of a QR decomposition."""
    q, r = torch.linalg.qr(weight)
    return r[:rank], q[:, :rank]


def oriented(weight: torch.Tensor, covariance: torch.Tensor, rank: int, scale: float) -> Pair:
    """Return CorDA's instruction-previewed start (Yang et al. 2024, arXiv 2406.05223): the largest
    singular values of W C, with C^-1 on the right.

    covariance: C [d_in, d_in], the mean of x x^T.
    """
    damping, unit = DAMPING, torch.eye(len(covariance), device=covariance.device)
    while True:
        damped = covariance + damping * covariance.diagonal().mean() * unit
        inverse = torch.linalg.inv(damped)
        if float(torch.dist(damped @ inverse, unit)) < 0.05 or damping > 1e6:
            break
        damping *= 2
    left, values, right = torch.linalg.svd(weight @ damped, full_matrices=False)
    return _split(left[:, :rank], values[:rank], right[:rank] @ inverse, scale)


def explained(covariance: torch.Tensor, mean: torch.Tensor, rank: int) -> torch.Tensor:
    """Return EVA's A [R, d_in] (Paischer et al. 2024, arXiv 2410.07170): the directions in which the
    centred inputs vary most. B is zero.

    covariance: [d_in, d_in], the mean of x x^T; mean: [d_in].
    """
    return torch.linalg.eigh(covariance - torch.outer(mean, mean))[1].T.flip(0)[:rank]


def aligned(gradient: torch.Tensor, rank: int) -> Pair:
    """Return LoRA-GA's start (Wang et al. 2024, arXiv 2407.05000): singular vectors of the gradient.

    A has the first R right ones, B the next R left ones. gradient: [d_out, d_in].
    """
    left, _, right = torch.linalg.svd(gradient, full_matrices=False)
    factor = len(gradient) ** 0.25 / GAMMA**0.5
    return factor * right[:rank], factor * left[:, rank : 2 * rank]


def _split(left: torch.Tensor, values: torch.Tensor, right: torch.Tensor, scale: float) -> Pair:
    """Return A and B with scale B A = left diag(values) right, the values split evenly between the two."""
    root = (values / scale).sqrt()
    return root[:, None] * right, left * root


class Moments:
    """The sums of x and x x^T over the inputs x of a host. mean: [d_in]; covariance: [d_in, d_in]."""

    def __init__(self) -> None:
        self.rows, self.sum, self.products = 0, torch.zeros(()), torch.zeros(())

    def add(self, x: torch.Tensor, _: torch.Tensor) -> None:
        """Add the inputs x: [B, T, d_in]."""
        flat = x.detach().flatten(0, -2).float()
        self.rows += len(flat)
        self.sum = self.sum.to(flat.device) + flat.sum(dim=0)
        self.products = self.products.to(flat.device) + flat.T @ flat

    @property
    def mean(self) -> torch.Tensor:
        """Return the mean input: [d_in]."""
        return self.sum / self.rows

    @property
    def covariance(self) -> torch.Tensor:
        """Return the mean of x x^T: [d_in, d_in]."""
        return self.products / self.rows


class Gradient:
    """The gradient of the losses by the weight of a host, summed over positions. sum: [d_out, d_in]."""

    def __init__(self) -> None:
        self.sum = torch.zeros(())

    def add(self, x: torch.Tensor, output: torch.Tensor) -> None:
        """Add what the backward pass through the host's output: [B, T, d_out] gives, for its input x: [B, T, d_in]."""
        inputs = x.detach().flatten(0, -2).float()
        output.register_hook(lambda gradient: self._add(gradient.flatten(0, -2).float(), inputs))

    def _add(self, gradient: torch.Tensor, inputs: torch.Tensor) -> None:
        self.sum = self.sum.to(inputs.device) + gradient.T @ inputs


Seen = Moments | Gradient


def watch(
    deltas: Mapping[str, nn.Module], made: Callable[[], Seen], losses: Iterator[torch.Tensor], batches: int
) -> dict[str, Any]:
    """Return dotted name -> what `made` gathered at each delta in the first batches of `losses`.

    With gradients the losses run backward too; afterwards no parameter has one.
    """
    seen = {path: made() for path in deltas}
    with _hooked(deltas, seen), torch.set_grad_enabled(made is Gradient):
        for loss in islice(losses, batches):
            if loss.requires_grad:
                torch.autograd.backward(loss)
    return seen


@contextmanager
def _hooked(deltas: Mapping[str, nn.Module], seen: Mapping[str, Seen]) -> Iterator[None]:
    def see(path: str) -> Callable[[nn.Module, Any, torch.Tensor], None]:
        return lambda _, inputs, output: seen[path].add(inputs[1], output)

    handles = [delta.register_forward_hook(see(path)) for path, delta in deltas.items()]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
