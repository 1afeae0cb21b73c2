"""Compacter, Compacter++ and the PHM-adapter (Karimi Mahabadi et al. 2021, arXiv 2106.04647): adapters whose
matrices are sums of n Kronecker products, W = sum_i A_i (x) B_i with A_i: [n, n] (equation 4).

Compacter: B_i = s_i t_i of rank r (paper: 1), the A_i ("rule") shared by all matrices of the model (equation 5).
Parameters: 2 r (d + R) + R + d for each adapter and n^3 once. It stands after attention and after feed-forward;
Compacter++ after feed-forward only. PHM-adapter (after Zhang et al. 2021): full B_i and rules of its own, so
2 (d R / n + n^3) + R + d each. n is `division`; it must divide d and R.
Starts as in the authors' code: rules normal with sd 0.01, factors Glorot-normal. Deviations: the output side of
U's B_i starts at zero, so the start is the backbone; the norms stay frozen (paper: they train).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import nn
from torch.nn import functional as F

from methods.adapter import ACTIVATIONS, Sequential
from methods.backbone.delta import Delta
from methods.backbone.sizes import Shape
from methods.base import parameter


class Rule(Delta):
    """The A_i. rule: [n, n, n]."""

    def __init__(self, like: torch.Tensor, division: int) -> None:
        super().__init__()
        self.rule = parameter(like, division, division, division)
        nn.init.normal_(self.rule, std=0.01)


class Kronecker(Delta):
    """sum_i A_i (x) B_i and a bias. B_i = left_i right_i: [n, d_out / n, r], [n, r, d_in / n]; rank 0: full B_i."""

    def __init__(self, like: torch.Tensor, d_in: int, d_out: int, rule: Rule, rank: int, zero: bool) -> None:
        super().__init__()
        self.rule, n = rule, len(rule.rule)
        self.left = parameter(like, n, d_out // n, rank or d_in // n)
        self.right = parameter(like, n, rank, d_in // n) if rank else None
        self.bias = parameter(like, d_out)
        nn.init.zeros_(self.bias)
        for factor in (self.left,) if self.right is None else (self.left, self.right):
            for block in factor:
                nn.init.xavier_normal_(block)
        if zero:
            nn.init.zeros_(self.left)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[B, T, d_out] for x: [B, T, d_in]."""
        blocks = self.left if self.right is None else self.left @ self.right
        weight = torch.einsum("iab,icd->acbd", self.rule.rule, blocks)
        return F.linear(x, weight.reshape(len(self.bias), -1), self.bias)


class HypercomplexAdapter(Delta):
    """h + U f(D h) with both matrices as sums of Kronecker products."""

    def __init__(self, down: Kronecker, up: Kronecker, activation: str) -> None:
        super().__init__()
        self.activation = ACTIVATIONS[activation]
        self.down, self.up = down, up

    def forward(self, output: torch.Tensor, *_: torch.Tensor) -> torch.Tensor:
        """output: [B, T, D] of the sublayer."""
        x = output.to(self.down.bias.dtype)
        return output + self.up(self.activation(self.down(x))).to(output.dtype)


@dataclass(frozen=True)
class Hypercomplex(Sequential):
    """What the three have in common."""

    division: int = 4

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(self.division >= 1, "division", "the number of Kronecker products must be at least 1")
        divides = self.bottleneck % self.division == 0
        self.require(divides, "bottleneck", f"division={self.division} must divide it")

    def adapter(self, like: torch.Tensor, width: int, rules: tuple[Rule, Rule], rank: int) -> Delta:
        down = Kronecker(like, width, self.bottleneck, rules[0], rank, zero=False)
        up = Kronecker(like, self.bottleneck, width, rules[1], rank, zero=True)
        return HypercomplexAdapter(down, up, self.activation)

    def check(self, width: int) -> None:
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
        self.check(width)
        rule = Rule(like, self.division)
        return lambda: self.adapter(like, width, (rule, rule), self.rank)

    def size(self, width: int) -> int:
        return 2 * self.rank * (width + self.bottleneck) + self.bottleneck + width

    def closed_form(self, shape: Shape) -> int:
        return super().closed_form(shape) + self.division**3


@dataclass(frozen=True)
class CompacterPlusPlus(Compacter):
    """Compacter after feed-forward only."""

    name: ClassVar[str] = "compacterpp"

    @property
    def places(self) -> tuple[str, ...]:
        return ("ffn", "cross") if self.cross else ("ffn",)


@dataclass(frozen=True)
class PHMAdapter(Hypercomplex):
    """Adapters of Kronecker products, each with rules of its own."""

    name: ClassVar[str] = "phm"

    def factory(self, like: torch.Tensor, width: int) -> Callable[[], Delta]:
        self.check(width)
        n = self.division
        return lambda: self.adapter(like, width, (Rule(like, n), Rule(like, n)), 0)

    def size(self, width: int) -> int:
        n = self.division
        return 2 * (width * self.bottleneck // n + n**3) + self.bottleneck + width
