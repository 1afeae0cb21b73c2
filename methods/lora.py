"""LoRA (Hu et al. 2021, arXiv 2106.09685): h = W x + (alpha/R) B A x, with W frozen.

Parameters: R (d_in + d_out) for each target. A is Kaiming-uniform(a = sqrt 5) as in the authors' code (the
paper says Gaussian), B is zero, so the start is the backbone. `rslora` scales by alpha / sqrt R (Kalajdzievski
2023, arXiv 2312.03732, theorem 3.2), so that the update does not shrink as the rank grows. `dropout` is on the input of
B A while it trains, as `lora_dropout` in the authors' code and in PEFT (the paper's GPT-2 runs have 0.1, table 11).
`rate_ratio` is the learning rate of B over that of A, which is the recipe's: above 1 it is LoRA+ (Hayou et al. 2024,
arXiv 2402.12354), whose authors recommend 16.
"""

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import nn
from torch.nn import functional as F

from methods.base import Dropping, Group, Linear, Method, Names, Shape, Update, fold, insert, linears, parameter


class LowRank(Update):
    """The update scale B A. A: [R, d_in], B: [d_out, R]."""

    def __init__(self, host: Linear, rank: int, scale: float) -> None:
        super().__init__()
        self.scale = scale
        self.A = parameter(host.weight, rank, host.in_features)
        self.B = parameter(host.weight, host.out_features, rank)
        nn.init.kaiming_uniform_(self.A, a=math.sqrt(5))
        nn.init.zeros_(self.B)

    def of(self, x: torch.Tensor) -> torch.Tensor:
        """Return scale B A x: [B, T, d_out] for x: [B, T, d_in]."""
        return self.scale * F.linear(F.linear(x.to(self.A.dtype), self.A), self.B)

    def weight(self) -> torch.Tensor:
        """Return scale B A: [d_out, d_in]."""
        return self.scale * (self.B @ self.A)

    def factors(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Return scale B: [d_out, R] and A: [R, d_in]."""
        return self.scale * self.B, self.A


@dataclass(frozen=True)
class LoRA(Method):
    """Low-rank updates of linears."""

    name: ClassVar[str] = "lora"
    derived: ClassVar[dict[str, str]] = {"alpha": "2 * rank"}
    mergeable: ClassVar[bool] = True

    rank: int = 8
    alpha: float | None = None
    rslora: bool = False
    targets: Names = ("q", "v")
    dropout: float = 0.0
    rate_ratio: float = 1.0

    def __post_init__(self) -> None:
        self.require(self.rate_ratio > 0, "rate_ratio", "the learning rate of B over that of A must be above 0")
        self.require(0 <= self.dropout < 1, "dropout", "a share of the input to drop is at least 0 and below 1")
        self.require(self.rank >= 1, "rank", "the rank must be at least 1")
        self.require(self.alpha is None or self.alpha > 0, "alpha", "alpha must be above 0 (null: 2 * rank)")

    def attach(self, model: nn.Module) -> None:
        hosts = linears(model, self.targets)
        for path, host in hosts.items():
            limit = min(host.in_features, host.out_features)
            self.require(self.rank <= limit, "rank", f"the rank must be at most {limit}, the smaller side of {path}")
        for host in hosts.values():
            delta = self.delta(host)
            delta.dropout = self.dropout
            insert(host, self.name, delta)

    def groups(self, model: nn.Module) -> tuple[Group, ...]:
        return () if self.rate_ratio == 1 else (Group.matching(rf".*\.{self.name}(_\w+)?\.(.*\.)?B", self.rate_ratio),)

    def delta(self, host: Linear) -> Dropping:
        """Return the delta for one target."""
        return LowRank(host, self.rank, self.scale)

    @property
    def scale(self) -> float:
        """Return the factor of B A: alpha / R, or alpha / sqrt R with `rslora`."""
        alpha = 2.0 * self.rank if self.alpha is None else self.alpha
        return alpha / (math.sqrt(self.rank) if self.rslora else self.rank)

    def merge(self, model: nn.Module) -> None:
        fold(model, self.name)

    def closed_form(self, shape: Shape) -> int:
        return sum(n * self.rank * (d_in + d_out) for n, d_in, d_out in map(shape.linear, self.targets))
