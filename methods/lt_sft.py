"""Sparse differences to all of the backbone's weights: W + z * w, with few z that are not zero.

- diff_pruning (Guo et al. 2021, arXiv 2012.07463): first z are relaxed gates, hard-concrete with log alpha
  each (stretched to [-1.5, 1.5]), and an L0 penalty closes them; then the largest |z w| within `fraction` are
  kept, their z fixed at 1, and w trains on (section 3.2: magnitude pruning, then a fixed mask).
- lt_sft (Ansell et al. 2022, arXiv 2110.07560): first all weights train; the largest |w| within `fraction`
  are drawn, w goes back to zero ("rewinding"), and those alone train (section 3.1).

Parameters while training: 2 N and N for N weights; `nonzero` in the record's notes is what a delta keeps,
fraction N at the end. Gates are kept as log alpha / `gate_rate`, since one optimiser with one rate trains all:
Adam then moves them gate_rate times as fast (authors: 0.1 against 5e-5). Deviations: gates start at 2 (authors:
5), the penalty is on the mean gate, no gates by group; lt_sft without L1 penalty.
"""

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import nn

from methods.attachment.hooks import backbone_modules
from methods.attachment.parametrization import Overlay, dead_on_key_biases, overlay, overlays, write
from methods.backbone.sizes import Shape
from methods.base import Method, Stage, parameter

LOW, HIGH = -1.5, 1.5
OPEN = 50.0  # a log alpha beyond what any draw of the concrete distribution (here within 14) can close


class Difference(Overlay):
    """W + mask * w. w: as the parameter; mask: 0 or 1, not saved, since w is zero wherever it is."""

    def __init__(self, covered: nn.Parameter) -> None:
        super().__init__(covered)
        self.w = parameter(covered, *covered.shape)
        nn.init.zeros_(self.w)
        self.register_buffer("mask", torch.ones_like(self.w), persistent=False)
        self.mask: torch.Tensor

    def moved(self) -> torch.Tensor:
        """What is added."""
        return self.mask * self.w

    def forward(self, tensor: torch.Tensor) -> torch.Tensor:
        return tensor + self.moved()

    @torch.no_grad()
    def fix(self, least: float) -> None:
        """Only what has moved so far may move from now on, from zero."""
        self.mask.copy_(self.w.abs() >= least)
        self.w.zero_()


class Gated(Difference):
    """W + z * w. gates: log alpha / gate_rate, as the parameter; fixed ones are the mask."""

    def __init__(self, covered: nn.Parameter, start: float, rate: float) -> None:
        super().__init__(covered)
        self.rate = rate
        self.gates = parameter(covered, *covered.shape)
        nn.init.constant_(self.gates, start / rate)

    def moved(self) -> torch.Tensor:
        alpha = self.rate * self.gates
        if self.training:
            u = torch.rand_like(alpha).clamp(1e-6, 1 - 1e-6)
            alpha = alpha + torch.log(u) - torch.log1p(-u)
        return (torch.sigmoid(alpha) * (HIGH - LOW) + LOW).clamp(0, 1) * self.w

    def open(self) -> torch.Tensor:
        """The probabilities of the gates not to be zero, summed (equation 4)."""
        return torch.sigmoid(self.rate * self.gates - math.log(-LOW / HIGH)).sum()

    @torch.no_grad()
    def fix(self, least: float) -> None:
        """Open the gates of what has moved so far and close the others: from now on z is 1 or 0."""
        moved = self.moved()
        kept = moved.abs() >= least
        self.w.copy_(moved * kept)
        self.gates.copy_((2.0 * kept - 1.0) * OPEN / self.rate)


@dataclass(frozen=True)
class Sparse(Method):
    """Differences to all weights: a first stage finds which, a second trains those."""

    mergeable: ClassVar[bool] = True

    fraction: float = 0.005
    first_share: float = 0.5

    def __post_init__(self) -> None:
        self.require(0 < self.fraction <= 1, "fraction", "the fraction must be above 0 and at most 1")
        self.require(0 < self.first_share < 1, "first_share", "the first stage's share must lie between 0 and 1")

    def delta(self, _: nn.Module, covered: nn.Parameter) -> Difference:
        """What goes on one parameter."""
        return Difference(covered)

    def attach(self, model: nn.Module) -> None:
        overlay(self.name, backbone_modules(model), self.delta)

    def stages(self, model: nn.Module) -> tuple[Stage, ...]:
        first = Stage(self.first_share)
        return first, Stage(1 - self.first_share, self.prune, lambda name: name.endswith(".gates"))

    @torch.no_grad()
    def prune(self, model: nn.Module) -> None:
        """Keep the largest differences within the fraction, of all tensors together."""
        model.eval()  # gates without noise
        found = [delta for delta in overlays(model).values() if isinstance(delta, Difference)]
        sizes = torch.cat([delta.moved().abs().flatten() for delta in found])
        kept = max(1, round(self.fraction * sizes.numel()))
        least = float(sizes.topk(kept).values[-1])
        for delta in found:
            delta.fix(max(least, torch.finfo(torch.float32).tiny))
        model.train()

    def merge(self, model: nn.Module) -> None:
        write(model)

    def closed_form(self, shape: Shape) -> int:
        return shape.parameters

    def dead(self, model: nn.Module) -> dict[str, str]:
        return dead_on_key_biases(model, self.name)

    @torch.no_grad()
    def notes(self, model: Any) -> dict[str, str | int | float]:
        found = [delta for delta in overlays(model).values() if isinstance(delta, Difference)]
        return {"nonzero": sum(0 if delta.w.is_meta else int(delta.moved().count_nonzero()) for delta in found)}


@dataclass(frozen=True)
class LotteryTicket(Sparse):
    """Lottery-ticket sparse fine-tuning: what moves most in full fine-tuning trains again, alone."""

    name: ClassVar[str] = "lt_sft"

    fraction: float = 0.08


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
        return Gated(covered, self.gate_start, self.gate_rate)

    def penalty(self, model: nn.Module) -> torch.Tensor | None:
        """The expected share of open gates, while gates train."""
        found = [delta for delta in overlays(model).values() if isinstance(delta, Gated)]
        if not any(delta.gates.requires_grad for delta in found):
            return None
        total = sum(delta.gates.numel() for delta in found)
        return self.sparsity_penalty / total * torch.stack([delta.open() for delta in found]).sum()

    def closed_form(self, shape: Shape) -> int:
        return 2 * shape.parameters
