"""Compacter (Karimi Mahabadi et al. 2021, arXiv 2106.04647): adapters whose two matrices are sums of n Kronecker
products, W = sum_i A_i (x) B_i with A_i: [n, n] (equation 4), after attention and after feed-forward.

B_i = s_i t_i has rank r (paper: 1), and all matrices of the model share the A_i ("rule", equation 5).
Parameters: 2 r (d + R) + R + d for each adapter and n^3 once. n is `division`; it must divide d and R.
Starts as in the authors' code: rules normal with sd 0.01, factors Glorot-normal. Deviations: the output side of
U's B_i starts at zero, so the start is the backbone; the norms stay frozen (paper: they train).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import torch

from methods.adapter import ACTIVATIONS, Sequential
from methods.base import Delta, Kronecker, Rule, Shape


class HypercomplexAdapter(Delta):
    """The map h + U f(D h) with both matrices as sums of Kronecker products."""

    def __init__(self, down: Kronecker, up: Kronecker, activation: str) -> None:
        super().__init__()
        self.activation = ACTIVATIONS[activation]
        self.down, self.up = down, up

    def forward(self, output: torch.Tensor, *_: torch.Tensor) -> torch.Tensor:
        """Return output + U f(D output): [B, T, D] for output: [B, T, D] of the sublayer."""
        x = output.to(self.down.bias.dtype)
        return output + self.up(self.activation(self.down(x))).to(output.dtype)


@dataclass(frozen=True)
class Hypercomplex(Sequential):
    """Adapters of Kronecker products. Subclasses define which rules are shared and the rank of the B_i."""

    division: int = 4

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(self.division >= 1, "division", "the number of Kronecker products must be at least 1")
        divides = self.bottleneck % self.division == 0
        self.require(divides, "bottleneck", f"division={self.division} must divide it")

    def adapter(self, like: torch.Tensor, width: int, rules: tuple[Rule, Rule], rank: int) -> Delta:
        """Return one adapter. like: a parameter of any shape; rules: those of D and of U; rank: of the B_i, 0 for full
        ones.
        """
        down = Kronecker(like, width, self.bottleneck, rules[0], rank, zero=False)
        up = Kronecker(like, self.bottleneck, width, rules[1], rank, zero=True)
        return HypercomplexAdapter(down, up, self.activation)

    def check(self, width: int) -> None:
        """Raise UsageError where `division` does not divide the model's width D."""
        self.require(width % self.division == 0, "division", f"it must divide the width of the model, {width}")


@dataclass(frozen=True)
class Compacter(Hypercomplex):
    """Adapters of low-rank Kronecker products that share one rule."""

    name: ClassVar[str] = "compacter"

    rank: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(self.rank >= 1, "rank", "the rank must be at least 1")

    def factory(self, like: torch.Tensor, width: int) -> Callable[[], Delta]:
        """Return a function that builds one adapter; all share one rule. like: a parameter of any shape."""
        self.check(width)
        rule = Rule(like, self.division)
        return lambda: self.adapter(like, width, (rule, rule), self.rank)

    def size(self, width: int) -> int:
        """Return the number of parameters of a network, without the shared rule."""
        return 2 * self.rank * (width + self.bottleneck) + self.bottleneck + width

    def closed_form(self, shape: Shape) -> int:
        return super().closed_form(shape) + self.division**3
