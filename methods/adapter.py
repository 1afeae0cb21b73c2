"""Adapter (Houlsby et al. 2019, arXiv 1902.00751): h + U f(D h) on a sublayer's output, before the residual
sum.

Parameters: 2 d R + R + d for each adapter, with bottleneck R and width d: after attention and after
feed-forward in every block. `cross` adds one after cross-attention (the paper's BERT has none; OpenDelta's map
of T5, Compacter's code and the adapters library leave it out, so that is the default). Where the
backbone has a dropout on the sublayer's output the adapter comes after it, as in the authors' code.
Deviations: U starts at zero and D as torch's default, so the start is the backbone (paper: both normal with
sd 0.01, near identity); the norms stay frozen (paper: they train).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import nn
from torch.nn import functional as F

from methods.anatomy import after, family
from methods.base import Delta, Method, insert, parameter
from methods.shape import Shape
from methods.shape import shape as shape_of

ACTIVATIONS: Mapping[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "gelu": F.gelu,
    "relu": F.relu,
    "tanh": torch.tanh,
    "silu": F.silu,
}


class Bottleneck(Delta):
    """h + U f(D h). D: [R, D] and [R], U: [D, R] and [D]."""

    def __init__(self, like: torch.Tensor, width: int, rank: int, activation: str) -> None:
        super().__init__()
        self.activation = ACTIVATIONS[activation]
        self.down, self.down_bias = parameter(like, rank, width), parameter(like, rank)
        self.up, self.up_bias = parameter(like, width, rank), parameter(like, width)
        bound = width**-0.5
        nn.init.uniform_(self.down, -bound, bound)
        for start in (self.down_bias, self.up, self.up_bias):
            nn.init.zeros_(start)

    def forward(self, output: torch.Tensor, *_: torch.Tensor) -> torch.Tensor:
        """output: [B, T, D] of the sublayer."""
        h = self.activation(F.linear(output.to(self.down.dtype), self.down, self.down_bias))
        return output + F.linear(h, self.up, self.up_bias).to(output.dtype)


@dataclass(frozen=True)
class Adapter(Method):
    """Bottlenecks after attention and after feed-forward."""

    name: ClassVar[str] = "adapter"

    bottleneck: int = 24
    activation: Literal["gelu", "relu", "tanh", "silu"] = "gelu"
    cross: bool = False

    def __post_init__(self) -> None:
        self.require(self.bottleneck >= 1, "bottleneck", "the bottleneck must be at least 1")

    def attach(self, model: nn.Module) -> None:
        family(model)
        like = next(model.parameters())
        width = shape_of(model).width
        for place in self.places:
            for host in after(model, place).values():
                insert(host, "adapter", Bottleneck(like, width, self.bottleneck, self.activation))

    @property
    def places(self) -> tuple[str, ...]:
        return ("attention", "cross", "ffn") if self.cross else ("attention", "ffn")

    def closed_form(self, shape: Shape) -> int:
        adapters = 2 * (shape.encoder + shape.decoder) + shape.decoder * self.cross
        return adapters * (2 * self.bottleneck * shape.width + self.bottleneck + shape.width)

    def notes(self, model: nn.Module) -> dict[str, str | int | float]:
        return {f"adapters_after_{place}": len(after(model, place)) for place in self.places}
