"""Lottery-ticket sparse fine-tuning, LT-SFT (Ansell et al. 2022, arXiv 2110.07560): W + mask * w for all weights.

First all weights train. The largest |w| within `fraction` are chosen, w goes back to zero ("rewinding"), and the chosen
ones alone train (section 3.1).
Parameters while training: N for N weights. `nonzero` in the record's notes is what a delta keeps, fraction N at the
end. Deviation: no L1 penalty.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import nn

from methods.base import (
    Method,
    Overlay,
    Shape,
    Stage,
    backbone_modules,
    dead_on_key_biases,
    overlay,
    overlays,
    parameter,
    readers,
    write,
)


class Difference(Overlay):
    """The map W + mask * w. w: of the parameter's shape; mask: 0 or 1, not saved, since w is zero wherever it is."""

    def __init__(self, covered: nn.Parameter) -> None:
        super().__init__(covered)
        self.w = parameter(covered, *covered.shape)
        nn.init.zeros_(self.w)
        self.register_buffer("mask", torch.ones_like(self.w), persistent=False)
        self.mask: torch.Tensor

    def moved(self) -> torch.Tensor:
        """Return the difference mask * w, of the parameter's shape."""
        return self.mask * self.w

    def forward(self, tensor: torch.Tensor) -> torch.Tensor:
        """Return tensor + mask * w, of the same shape as `tensor`."""
        return tensor + self.moved()

    @torch.no_grad()
    def fix(self, least: float) -> None:
        """Restrict training to the numbers with |w| at least `least`, and set w to zero."""
        self.mask.copy_(self.w.abs() >= least)
        self.w.zero_()


@dataclass(frozen=True)
class Sparse(Method):
    """Differences to all weights. A first stage finds which matter, and a second one trains those alone."""

    mergeable: ClassVar[bool] = True

    fraction: float = 0.005
    first_share: float = 0.5

    def __post_init__(self) -> None:
        self.require(0 < self.fraction <= 1, "fraction", "the fraction must be above 0 and at most 1")
        self.require(0 < self.first_share < 1, "first_share", "the first stage's share must lie between 0 and 1")

    def delta(self, _: nn.Module, covered: nn.Parameter) -> Difference:
        """Return the difference for one parameter, of the same shape."""
        return Difference(covered)

    def attach(self, model: nn.Module) -> None:
        overlay(self.name, backbone_modules(model), self.delta, readers=readers(model))

    def stages(self, model: nn.Module) -> tuple[Stage, ...]:
        first = Stage(self.first_share)
        return first, Stage(1 - self.first_share, self.prune, lambda name: name.endswith(".gates"))

    @torch.no_grad()
    def prune(self, model: nn.Module) -> None:
        """Keep the largest differences within the fraction, of all tensors together."""
        model.eval()  # gates without noise
        deltas = [delta for delta in overlays(model).values() if isinstance(delta, Difference)]
        sizes = torch.cat([delta.moved().abs().flatten() for delta in deltas])
        count = max(1, round(self.fraction * sizes.numel()))
        least = float(sizes.topk(count).values[-1])
        for delta in deltas:
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
        deltas = [delta for delta in overlays(model).values() if isinstance(delta, Difference)]
        return {"nonzero": sum(0 if delta.w.is_meta else int(delta.moved().count_nonzero()) for delta in deltas)}


@dataclass(frozen=True)
class LotteryTicket(Sparse):
    """Lottery-ticket sparse fine-tuning: what moves most in full fine-tuning trains again, alone."""

    name: ClassVar[str] = "lt_sft"

    fraction: float = 0.08
