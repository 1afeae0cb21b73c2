"""Methods one after the other (Ding et al. 2022, arXiv 2203.06904, section 5.2): one part for each stage.

All stages have equal shares of the steps. A part starts to act in its stage and is frozen afterwards. The next stage
goes on from the last step's weights, not from the best ones (as in the authors' code).
Parts are written, counted and checked as in `combine`.
"""

from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

from torch import nn

from methods.base import Stage, Switch
from methods.combine import Combine


@dataclass(frozen=True)
class Sequence(Combine):
    """Methods trained one after the other, earlier ones frozen."""

    name: ClassVar[str] = "sequence"

    def attach(self, model: nn.Module) -> None:
        switches = self.switches(model)
        self.own(switches)
        model.add_module("sequence", nn.ModuleList(switches))

    def stages(self, model: Any) -> tuple[Stage, ...]:
        switches: list[Switch] = list(model.sequence)

        def begin(number: int, _: nn.Module) -> None:
            for switch in switches:
                switch.off()
            for switch in switches[: number + 1]:
                switch.on()

        def rests(number: int, name: str) -> bool:
            return any(name in switch.tensors for i, switch in enumerate(switches) if i != number)

        share = 1 / len(switches)
        return tuple(Stage(share, partial(begin, i), partial(rests, i)) for i in range(len(switches)))

    def merge(self, model: Any) -> None:
        super().merge(model)
        if hasattr(model, "sequence"):
            del model.sequence
