"""VeRA (Kopiczko et al. 2024, arXiv 2310.11454): h = W x + b * B (d * A x), A and B random, frozen and shared
by all targets.

Parameters for each target: R + d_out. A: [R, largest d_in], B: [largest d_out, R]; a smaller target uses their first
columns and rows. Both are Kaiming-uniform, A before B, from one generator on the CPU with `projection_seed`, as in
PEFT, so a saved delta holds only b and d. b is zero, so the start is the backbone; d is `d_initial`. `dropout` is on
the input of the update while it trains (PEFT's `vera_dropout`).
"""

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import nn
from torch.nn import functional as F

from methods.base import Dropping, Linear, Method, Names, Shape, Update, fold, insert, linears, parameter


class Scaled(Update):
    """The update b * B (d * A). b: [d_out], d: [R]; A and B are frozen and may be larger than the host."""

    def __init__(self, host: Linear, A: nn.Parameter, B: nn.Parameter, d_initial: float) -> None:
        super().__init__()
        self.A, self.B = A, B
        self.size = host.out_features, host.in_features
        self.b, self.d = parameter(host.weight, host.out_features), parameter(host.weight, A.shape[0])
        nn.init.zeros_(self.b)
        nn.init.constant_(self.d, d_initial)

    def of(self, x: torch.Tensor) -> torch.Tensor:
        """Return b * B (d * A x): [B, T, d_out] for x: [B, T, d_in]."""
        d_out, d_in = self.size
        inner = self.d * F.linear(x.to(self.d.dtype), self.A[:, :d_in])
        return self.b * F.linear(inner, self.B[:d_out])

    def weight(self) -> torch.Tensor:
        """Return b * B (d * A): [d_out, d_in]."""
        d_out, d_in = self.size
        return self.b[:, None] * self.B[:d_out] @ (self.d[:, None] * self.A[:, :d_in])

    def factors(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Return b * B: [d_out, R] and d * A: [R, d_in]."""
        d_out, d_in = self.size
        return self.b[:, None] * self.B[:d_out], self.d[:, None] * self.A[:, :d_in]


def projection(like: torch.Tensor, rows: int, columns: int, generator: torch.Generator) -> nn.Parameter:
    """Return a frozen tensor [rows, columns], Kaiming-uniform for a ReLU and drawn on the CPU whatever the device."""
    bound = math.sqrt(6 / columns)
    made = parameter(like, rows, columns)
    made.requires_grad_(False)
    if not made.is_meta:
        made.copy_(torch.empty(rows, columns).uniform_(-bound, bound, generator=generator))
    return made


@dataclass(frozen=True)
class VeRA(Method):
    """Vectors that scale a shared random low-rank update."""

    name: ClassVar[str] = "vera"
    mergeable: ClassVar[bool] = True

    rank: int = 256
    d_initial: float = 0.1
    projection_seed: int = 0
    targets: Names = ("q", "v")
    dropout: float = 0.0

    def __post_init__(self) -> None:
        self.require(0 <= self.dropout < 1, "dropout", "a share of the input to drop is at least 0 and below 1")
        self.require(self.rank >= 1, "rank", "the rank must be at least 1")
        self.require(self.d_initial != 0, "d_initial", "d must not start at 0, or b never has a gradient")
        self.require(self.projection_seed >= 0, "projection_seed", "the seed must be at least 0")

    def attach(self, model: nn.Module) -> None:
        hosts = list(linears(model, self.targets).values())
        like = hosts[0].weight
        with torch.device("cpu"):
            generator = torch.Generator().manual_seed(self.projection_seed)
        A = projection(like, self.rank, max(host.in_features for host in hosts), generator)
        B = projection(like, max(host.out_features for host in hosts), self.rank, generator)
        for host in hosts:
            delta = self.delta(host, Scaled(host, A, B, self.d_initial))
            delta.dropout = self.dropout
            insert(host, self.name, delta)

    def delta(self, host: Linear, update: Scaled) -> Dropping:
        """Return the delta for one target."""
        return update

    def merge(self, model: nn.Module) -> None:
        fold(model, self.name)

    def closed_form(self, shape: Shape) -> int:
        return sum(n * (self.rank + d_out) for n, _, d_out in shape.linears(self.targets))
