"""QLoRA (Dettmers et al. 2023, arXiv 2305.14314) and QDoRA (answer.ai; Liu et al. 2024, section 6.1): LoRA and DoRA on
a frozen base in four bits (`bits=8`: in eight), as quantised.py makes it.

Parameters: those of LoRA and of DoRA. The start is the quantised backbone, not the backbone, and the delta belongs
to that: it cannot be merged without rounding. Deviations: no paged optimiser.
"""

from dataclasses import dataclass
from typing import ClassVar

from torch import nn

from harness.errors import NotApplicable
from methods.backbone.quantisation import BITS, quantise
from methods.dora import DoRA
from methods.lora import LoRA


@dataclass(frozen=True)
class _OnQuantised(LoRA):
    """Put before LoRA or a kind of it: what that trains, on a base of few bits."""

    mergeable: ClassVar[bool] = False
    unchanged_at_start: ClassVar[bool] = False

    bits: int = 4

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(self.bits in BITS, "bits", "a quantised base has 4 or 8 bits")

    def attach(self, model: nn.Module) -> None:
        quantise(model, self.bits)
        super().attach(model)

    def merge(self, model: nn.Module) -> None:
        raise NotApplicable(f"method {self.name} cannot be merged: its base is quantised, and would be rounded again")


@dataclass(frozen=True)
class QLoRA(_OnQuantised):
    """Low-rank updates of quantised linears."""

    name: ClassVar[str] = "qlora"


@dataclass(frozen=True)
class QDoRA(_OnQuantised, DoRA):
    """Magnitudes and low-rank directions on quantised linears."""

    name: ClassVar[str] = "qdora"
