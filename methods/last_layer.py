"""Tuning of the last blocks (Lee et al. 2019, arXiv 1911.03090): the last `layers` blocks train.

The paper: the last quarter of BERT keeps nine tenths of the quality. Blocks are taken in the order of computation, so
that those of an encoder-decoder are the decoder's. Parameters: those of the blocks. Nothing is added to the backbone.
"""

from dataclasses import dataclass
from typing import ClassVar

from torch import nn

from methods.base import Method, Shape, dead_key_biases, find


@dataclass(frozen=True)
class LastLayer(Method):
    """The last blocks train."""

    name: ClassVar[str] = "last_layer"
    mergeable: ClassVar[bool] = True

    layers: float = 1.0

    def __post_init__(self) -> None:
        whole = self.layers == int(self.layers)
        self.require(self.layers > 0, "layers", "it must be a number of blocks, or a share of them below 1")
        self.require(self.layers < 1 or whole, "layers", "above 1 it is a number of blocks, so it must be whole")

    def attach(self, model: nn.Module) -> None:
        blocks = list(find(model, "blocks").values())
        for block in blocks[-self._number(len(blocks)) :]:
            block.requires_grad_(True)

    def _number(self, blocks: int) -> int:
        number = max(1, round(self.layers * blocks)) if self.layers < 1 else int(self.layers)
        self.require(number <= blocks, "layers", f"this backbone has {blocks} blocks")
        return number

    def merge(self, model: nn.Module) -> None:
        """Do nothing: the trained weights are the backbone's own."""

    def closed_form(self, shape: Shape) -> int:
        return sum(shape.blocks[-self._number(len(shape.blocks)) :])

    def dead(self, model: nn.Module) -> dict[str, str]:
        return dead_key_biases(model)
