"""LayerNorm tuning (Qi et al. 2022, arXiv 2211.08682; Zhao et al. 2023, arXiv 2312.11420): all normalisations train.

Parameters: D for each norm, 2 D where norms have biases. Nothing is added to the backbone.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

from torch import nn

from methods.base import Method, NotApplicable, Place, Shape, dead_key_biases, family, shape_of


@dataclass(frozen=True)
class Subset(Method):
    """Some of the backbone's own modules train. Subclasses choose which (`chosen`)."""

    mergeable: ClassVar[bool] = True

    def chosen(self, shape: Shape) -> list[Place]:
        """Return the modules that train."""
        raise NotImplementedError

    def attach(self, model: Any) -> None:
        chosen = self.chosen(shape_of(model))
        if not chosen:
            raise NotApplicable(f"method {self.name}: family {family(model).name} has no such parameters")
        for place in chosen:
            for parameter in model.get_submodule(place.path).parameters(recurse=False):
                parameter.requires_grad_(True)

    def merge(self, model: nn.Module) -> None:
        """Do nothing: the trained weights are the backbone's own."""

    def closed_form(self, shape: Shape) -> int:
        return sum(place.size for place in self.chosen(shape))

    def dead(self, model: nn.Module) -> dict[str, str]:
        return dead_key_biases(model)


@dataclass(frozen=True)
class LayerNormTuning(Subset):
    """All normalisations train."""

    name: ClassVar[str] = "layernorm"

    def chosen(self, shape: Shape) -> list[Place]:
        """Return the places that train."""
        return [place for place in shape.places if place.role == "norms"]
