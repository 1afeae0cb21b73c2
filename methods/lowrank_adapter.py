"""Low-rank adapter ("Adapter-LowRank" of Karimi Mahabadi et al. 2021, arXiv 2106.04647): an adapter whose two
matrices are products of rank r, D = a b and U = c e.

Parameters: 2 r (d + R) + R + d for each adapter, after attention and after feed-forward. Any rank: OpenDelta
multiplies the factors element by element, which is right for rank 1 only. Factors start Glorot-uniform as in the
authors' code. Deviations: c starts at zero, so the start is the backbone; the norms stay frozen.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import nn
from torch.nn import functional as F

from methods.adapter import ACTIVATIONS, Sequential
from methods.base import Delta, parameter


class LowRankBottleneck(Delta):
    """The map h + U f(D h). down_left: [R, r], down_right: [r, D], up_left: [D, r], up_right: [r, R]."""

    def __init__(self, like: torch.Tensor, width: int, bottleneck: int, rank: int, activation: str) -> None:
        super().__init__()
        self.activation = ACTIVATIONS[activation]
        self.down_left, self.down_right = parameter(like, bottleneck, rank), parameter(like, rank, width)
        self.up_left, self.up_right = parameter(like, width, rank), parameter(like, rank, bottleneck)
        self.down_bias, self.up_bias = parameter(like, bottleneck), parameter(like, width)
        for factor in (self.down_left, self.down_right, self.up_right):
            nn.init.xavier_uniform_(factor)
        for start in (self.up_left, self.down_bias, self.up_bias):
            nn.init.zeros_(start)

    def forward(self, output: torch.Tensor, *_: torch.Tensor) -> torch.Tensor:
        """Return output + U f(D output): [B, T, D] for output: [B, T, D] of the sublayer."""
        x = F.linear(output.to(self.down_left.dtype), self.down_right)
        h = self.activation(F.linear(x, self.down_left, self.down_bias))
        return output + F.linear(F.linear(h, self.up_right), self.up_left, self.up_bias).to(output.dtype)


@dataclass(frozen=True)
class LowRankAdapter(Sequential):
    """Bottlenecks with low-rank matrices."""

    name: ClassVar[str] = "lowrank_adapter"

    rank: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        fits = 1 <= self.rank <= self.bottleneck
        self.require(fits, "rank", f"the rank must be from 1 to bottleneck={self.bottleneck}")

    def factory(self, like: torch.Tensor, width: int) -> Callable[[], Delta]:
        """Return a function that builds one bottleneck. like: a parameter of any shape, for dtype and device."""
        return lambda: LowRankBottleneck(like, width, self.bottleneck, self.rank, self.activation)

    def size(self, width: int) -> int:
        """Return the number of parameters of a network."""
        return 2 * self.rank * (width + self.bottleneck) + self.bottleneck + width
