"""Diff pruning (Guo et al. 2021, arXiv 2012.07463): W + z * w for all weights, with few z that are not zero.

First z are relaxed gates, hard-concrete with one log alpha each (stretched to [-1.5, 1.5]), and an L0 penalty closes
them. Then the largest |z w| within `fraction` are kept, their z is fixed at 1, and w trains on (section 3.2: magnitude
pruning, then a fixed mask).
Parameters while training: 2 N for N weights. `nonzero` in the record's notes is what a delta keeps, fraction N at the
end. Gates are stored as log alpha / `gate_rate`, since one optimiser with one learning rate trains everything. Adam
then moves them gate_rate times as fast (authors: 0.1 against 5e-5).
Deviations: gates start at 2 (authors: 5), the penalty is on the mean gate, and there are no gates for groups.
"""

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import nn

from methods.base import Shape, overlays, parameter
from methods.lt_sft import Difference, Sparse

LOW, HIGH = -1.5, 1.5
OPEN = 50.0  # a log alpha beyond what any draw of the concrete distribution (here within 14) can close


class Gated(Difference):
    """The map W + z * w. gates: log alpha / gate_rate, of the parameter's shape; after `fix` they are the mask."""

    def __init__(self, covered: nn.Parameter, start: float, rate: float) -> None:
        super().__init__(covered)
        self.rate = rate
        self.gates = parameter(covered, *covered.shape)
        nn.init.constant_(self.gates, start / rate)

    def moved(self) -> torch.Tensor:
        """Return z * w, of the parameter's shape; z is sampled in training and deterministic otherwise."""
        alpha = self.rate * self.gates
        if self.training:
            u = torch.rand_like(alpha).clamp(1e-6, 1 - 1e-6)
            alpha = alpha + torch.log(u) - torch.log1p(-u)
        return (torch.sigmoid(alpha) * (HIGH - LOW) + LOW).clamp(0, 1) * self.w

    def open(self) -> torch.Tensor:
        """Return the sum of the gates' probabilities not to be zero, a scalar (equation 4)."""
        return torch.sigmoid(self.rate * self.gates - math.log(-LOW / HIGH)).sum()

    @torch.no_grad()
    def fix(self, least: float) -> None:
        """Open the gates where |z * w| is at least `least` and close the others: from now on z is 1 or 0."""
        moved = self.moved()
        mask = moved.abs() >= least
        self.w.copy_(moved * mask)
        self.gates.copy_((2.0 * mask - 1.0) * OPEN / self.rate)


@dataclass(frozen=True)
class DiffPruning(Sparse):
    """Gated differences to all weights, pruned to a fraction."""

    name: ClassVar[str] = "diff_pruning"

    sparsity_penalty: float = 1.0
    gate_start: float = 2.0
    gate_rate: float = 100.0

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(self.sparsity_penalty >= 0, "sparsity_penalty", "the penalty's weight must be at least 0")
        self.require(self.gate_rate > 0, "gate_rate", "it must be above 0")

    def delta(self, _: nn.Module, covered: nn.Parameter) -> Difference:
        """Return the gated difference for one parameter, of the same shape."""
        return Gated(covered, self.gate_start, self.gate_rate)

    def penalty(self, model: nn.Module) -> torch.Tensor | None:
        """Return the weighted expected share of open gates, a scalar, or None where no gate trains."""
        gated = [delta for delta in overlays(model).values() if isinstance(delta, Gated)]
        if not any(delta.gates.requires_grad for delta in gated):
            return None
        total = sum(delta.gates.numel() for delta in gated)
        return self.sparsity_penalty / total * torch.stack([delta.open() for delta in gated]).sum()

    def closed_form(self, shape: Shape) -> int:
        return 2 * shape.parameters
