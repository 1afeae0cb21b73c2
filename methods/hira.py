"""HiRA (Huang et al. 2025, ICLR, openreview.net/forum?id=TwJrTz9cRS): h = W x + (W * (B A)) x, an update of high rank.

Parameters: R (d_in + d_out) for each target. The product B A multiplies the frozen weight element by element, so
the rank of the update is up to R times that of W. A is Kaiming-uniform(a = sqrt 5) and B is zero, so the start is the
backbone; there is no alpha. `dropout` is on the input of the update while it trains, as in PEFT.
"""

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import nn
from torch.nn import functional as F

from methods.base import Linear, Names, OnWeights, Shape, Update, dense, linears, parameter


class Hadamard(Update):
    """The update W * (B A). A: [R, d_in], B: [d_out, R]; W is the host's frozen weight."""

    def __init__(self, host: Linear, rank: int) -> None:
        super().__init__()
        self.host = (host,)  # in a tuple: it stays the backbone's
        self.A, self.B = parameter(host.weight, rank, host.in_features), parameter(host.weight, host.out_features, rank)
        nn.init.kaiming_uniform_(self.A, a=math.sqrt(5))
        nn.init.zeros_(self.B)

    def of(self, x: torch.Tensor) -> torch.Tensor:
        """Return (W * (B A)) x: [B, T, d_out] for x: [B, T, d_in]."""
        return F.linear(x.to(self.A.dtype), self.weight())

    def weight(self) -> torch.Tensor:
        """Return W * (B A): [d_out, d_in]."""
        return dense(self.host[0]).to(self.A.dtype) * (self.B @ self.A)


@dataclass(frozen=True)
class HiRA(OnWeights):
    """Low-rank factors that multiply the weight."""

    name: ClassVar[str] = "hira"

    rank: int = 8
    targets: Names = ("q", "v")
    dropout: float = 0.0

    def attach(self, model: nn.Module) -> None:
        self.attach_each(linears(model, self.targets), lambda host: Hadamard(host, self.rank))

    def closed_form(self, shape: Shape) -> int:
        return sum(n * self.rank * (d_in + d_out) for n, d_in, d_out in shape.linears(self.targets))
