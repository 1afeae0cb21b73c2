"""QLoRA (Dettmers et al. 2023, arXiv 2305.14314): LoRA on a frozen base in four bits (`bits=8`: in eight).

methods/backbone/quantisation.py makes the base. Parameters: those of LoRA. The start is the quantised backbone, not the
backbone, and the delta belongs to the quantised one: it cannot be merged without rounding. Deviations: no paged
optimiser.
"""

from dataclasses import dataclass
from typing import ClassVar

from torch import nn

from methods.base import BITS, NotApplicable, quantise
from methods.lora import LoRA


@dataclass(frozen=True)
class OnQuantised(LoRA):
    """LoRA, or a method derived from it that follows among the bases, on a quantised backbone."""

    mergeable: ClassVar[bool] = False
    unchanged_at_start: ClassVar[bool] = False

    bits: int = 4

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(self.bits in BITS, "bits", "a quantised base has 4 or 8 bits")
        rounded = (
            "such a start takes a part out of the weights before they are rounded, and here they are rounded already. "
            "Take kaiming, gaussian, eva or lora_ga, or method=lora"
        )
        self.require(self.init not in ("pissa", "milora", "olora", "corda"), "init", rounded)

    def attach(self, model: nn.Module) -> None:
        quantise(model, self.bits)
        super().attach(model)

    def merge(self, model: nn.Module) -> None:
        raise NotApplicable(f"method {self.name} cannot be merged: its base is quantised, and would be rounded again")


@dataclass(frozen=True)
class QLoRA(OnQuantised):
    """Low-rank updates of quantised linears."""

    name: ClassVar[str] = "qlora"
