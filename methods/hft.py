"""Half fine-tuning (Hui et al. 2024, arXiv 2404.18466): half of each block's matrices and norms train.

In each block these are half of the attention's matrices, half of the feed-forward's and half of the norms. Of an odd
number, every second block has the larger half. The draw is from `selection_seed`, so that all seeds of a grid train the
same parameters. Parameters: about half of the blocks'. Nothing is added to the backbone.
Deviations: one draw for the whole run (paper: one for each round of fine-tuning); embeddings and output layer stay
frozen.
"""

import random
from dataclasses import dataclass
from typing import ClassVar

from methods.base import Place, Shape
from methods.layernorm import Subset

CATEGORIES = (("q", "k", "v", "o"), ("ffn-in", "ffn-gate", "ffn-out"), ("norms",))


@dataclass(frozen=True)
class HalfFineTuning(Subset):
    """Half of each block's matrices and norms train."""

    name: ClassVar[str] = "hft"

    selection_seed: int = 0

    def chosen(self, shape: Shape) -> list[Place]:
        """Return the places that train."""
        draw, taken = random.Random(self.selection_seed), []
        for block in range(len(shape.blocks)):
            for roles in CATEGORIES:
                group = [place for place in shape.places if place.block == block and place.role in roles]
                taken += draw.sample(group, (len(group) + block % 2) // 2)
        return taken
