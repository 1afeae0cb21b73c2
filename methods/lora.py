"""LoRA (Hu et al. 2021, arXiv 2106.09685): h = W x + (alpha/R) B A x, with W frozen.

Parameters: R (d_in + d_out) for each target. A is Kaiming-uniform(a = sqrt 5) as in the authors' code (the
paper says Gaussian), B is zero, so the start is the backbone. `rslora` scales by alpha / sqrt R (Kalajdzievski
2023, arXiv 2312.03732, theorem 3.2), so that the update does not shrink as the rank grows. `dropout` is on the input of
B A while it trains, as `lora_dropout` in the authors' code and in PEFT (the paper's GPT-2 runs have 0.1, table 11).
"""

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import nn
from torch.nn import functional as F

from harness.config.values import Names
from methods.attachment.hooks import insert, inserted, remove
from methods.attachment.tied_weights import untie
from methods.backbone.delta import Delta
from methods.backbone.roles import Linear, linears
from methods.backbone.sizes import Shape
from methods.base import Method, parameter


class Rewriting(Delta):
    """A delta that stands for another weight of its host."""

    owns_weight: ClassVar[bool] = True

    def folded(self, weight: torch.Tensor) -> torch.Tensor:
        """[d_out, d_in] the weight that does what host (weight: [d_out, d_in]) and delta do together."""
        raise NotImplementedError


class Dropping(Rewriting):
    """A rewriting that sees its input with a share `dropout` of it left out while it trains."""

    dropout: float = 0.0

    def dropped(self, x: torch.Tensor) -> torch.Tensor:
        """[B, T, d_in] x, in the precision of what trains, without the share of it that is left out."""
        return F.dropout(x.to(next(self.parameters()).dtype), self.dropout) if self.drops else x

    @property
    def drops(self) -> bool:
        return self.dropout > 0 and self.training


class Update(Dropping):
    """What is added to the weight of one linear: `of` applies it, `weight` writes it out."""

    def of(self, x: torch.Tensor) -> torch.Tensor:
        """[B, T, d_out] for x: [B, T, d_in]."""
        raise NotImplementedError

    def weight(self) -> torch.Tensor:
        """[d_out, d_in] what the update adds to the host's weight."""
        raise NotImplementedError

    def forward(self, output: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        """output: [B, T, d_out] of the host for x: [B, T, d_in]."""
        return output + self.of(self.dropped(x)).to(output.dtype)

    def folded(self, weight: torch.Tensor) -> torch.Tensor:
        return weight + self.weight()


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
        return self.scale * F.linear(F.linear(x.to(self.A.dtype), self.A), self.B)

    def weight(self) -> torch.Tensor:
        return self.scale * (self.B @ self.A)


@torch.no_grad()
def fold(model: nn.Module, name: str) -> None:
    """Write every delta `name`, which has a `folded` weight, into its host, and take it off."""
    for _, host, update in inserted(model, name, Rewriting):
        untie(model, host)
        weight = host.get_parameter("weight")
        weight.copy_(update.folded(weight.to(next(update.parameters()).dtype)))
        remove(host, name)


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

    def __post_init__(self) -> None:
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

    def delta(self, host: Linear) -> Dropping:
        """What goes on one target."""
        return LowRank(host, self.rank, self.scale)

    @property
    def scale(self) -> float:
        alpha = 2.0 * self.rank if self.alpha is None else self.alpha
        return alpha / (math.sqrt(self.rank) if self.rslora else self.rank)

    def merge(self, model: nn.Module) -> None:
        fold(model, self.name)

    def closed_form(self, shape: Shape) -> int:
        return sum(n * self.rank * (d_in + d_out) for n, d_in, d_out in map(shape.linear, self.targets))
