"""Full fine-tuning: every parameter of the backbone trains (all of them; a tied tensor counts once).

Where the backbone has absolute or relative positions outside the keys, key biases are dead: a constant added
to all keys shifts all scores of a query alike, and softmax forgets it.
"""

from dataclasses import dataclass
from typing import ClassVar

from torch import nn

from methods.base import Method, Shape, dead_key_biases


@dataclass(frozen=True)
class FullFineTuning(Method):
    """Every parameter trains."""

    name: ClassVar[str] = "full"
    mergeable: ClassVar[bool] = True

    def attach(self, model: nn.Module) -> None:
        for parameter in model.parameters():
            parameter.requires_grad_(True)

    def merge(self, model: nn.Module) -> None:
        """Do nothing: the trained weights are the backbone's own."""

    def closed_form(self, shape: Shape) -> int:
        return shape.parameters

    def dead(self, model: nn.Module) -> dict[str, str]:
        return dead_key_biases(model)
