"""Selective tuning: linears that are drawn at random train, until they hold `fraction` of the backbone's parameters.

The draw is from `selection_seed`, so that all seeds of a grid train the same parameters. Parameters: at most `fraction`
of the backbone's. Nothing is added to the backbone.
"""

import random
from dataclasses import dataclass
from typing import ClassVar

from methods.base import Place, Shape
from methods.layernorm import Subset


@dataclass(frozen=True)
class Selective(Subset):
    """Linears drawn at random train."""

    name: ClassVar[str] = "selective"

    fraction: float = 0.1
    selection_seed: int = 0

    def __post_init__(self) -> None:
        self.require(0 < self.fraction <= 1, "fraction", "the fraction must be above 0 and at most 1")

    def chosen(self, shape: Shape) -> list[Place]:
        """Return the places that train."""
        linears = [place for place in shape.places if place.role != "norms"]
        random.Random(self.selection_seed).shuffle(linears)
        left, taken = self.fraction * shape.parameters, []
        for place in linears:
            if place.size <= left:
                taken.append(place)
                left -= place.size
        least = min(place.size for place in linears) / shape.parameters
        self.require(bool(taken), "fraction", f"the smallest linear is {least:.2g} of this backbone")
        return taken
