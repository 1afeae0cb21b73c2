"""AdapterDrop (Rücklé et al. 2021, arXiv 2010.11918): the adapter of `adapter` in all but the lowest `drop` blocks.

The lowest blocks are counted in the encoder and in the decoder each. Nothing below the first adapter needs a backward
pass. Parameters: 2 d R + R + d for each adapter that is left. Deviations: this is the paper's fixed variant, not the
one that draws the depth anew for every batch; otherwise those of `adapter`.
"""

from dataclasses import dataclass
from typing import ClassVar

from torch import nn

from methods.adapter import Adapter
from methods.base import Shape, after, depth, shape_of


@dataclass(frozen=True)
class AdapterDrop(Adapter):
    """Bottlenecks in all but the lowest blocks."""

    name: ClassVar[str] = "adapterdrop"

    drop: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(self.drop >= 0, "drop", "the number of blocks without adapters cannot be negative")

    def attach(self, model: nn.Module) -> None:
        sizes = shape_of(model)
        blocks = min(sizes.encoder, sizes.decoder or sizes.encoder)
        self.require(self.drop < blocks, "drop", f"it must be below {blocks}, the number of blocks")
        super().attach(model)

    def hosts(self, model: nn.Module, place: str) -> dict[str, nn.Module]:
        """Return path -> sublayer at a place, for the blocks with an adapter."""
        return {path: host for path, host in after(model, place).items() if depth(path) >= self.drop}

    def closed_form(self, shape: Shape) -> int:
        left = (shape.encoder - self.drop, shape.decoder and shape.decoder - self.drop)
        return self.adapters(*left) * self.size(shape.width)
