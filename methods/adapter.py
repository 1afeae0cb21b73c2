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

from methods.base import Delta, Method, Shape, after, family, insert, parameter, shape_of

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

    def change(self, x: torch.Tensor) -> torch.Tensor:
        """Return U f(D x): [B, T, D] for x: [B, T, D]."""
        h = self.activation(F.linear(x.to(self.down.dtype), self.down, self.down_bias))
        return F.linear(h, self.up, self.up_bias).to(x.dtype)

    def forward(self, output: torch.Tensor, *_: torch.Tensor) -> torch.Tensor:
        """Return output + U f(D output): [B, T, D] for output: [B, T, D] of the sublayer."""
        return output + self.change(output)


@dataclass(frozen=True)
class Sequential(Method):
    """Small networks of one kind on the outputs of sublayers. Subclasses define the network (`factory`, `size`)."""

    bottleneck: int = 24
    activation: Literal["gelu", "relu", "tanh", "silu"] = "gelu"
    cross: bool = False

    def __post_init__(self) -> None:
        self.require(self.bottleneck >= 1, "bottleneck", "the bottleneck must be at least 1")

    def factory(self, like: torch.Tensor, width: int) -> Callable[[], Delta]:
        """Return a function that builds one network for outputs of `width` D. like: a parameter of any shape, for dtype
        and device.
        """
        raise NotImplementedError

    def size(self, width: int) -> int:
        """Return the number of parameters of one network."""
        raise NotImplementedError

    @property
    def places(self) -> tuple[str, ...]:
        """Return the sublayers that get a network."""
        return ("attention", "cross", "ffn") if self.cross else ("attention", "ffn")

    def hosts(self, model: nn.Module, place: str) -> dict[str, nn.Module]:
        """Return dotted name -> module whose output one network changes, for a sublayer of `places`."""
        return after(model, place)

    def attach(self, model: nn.Module) -> None:
        family(model)
        make = self.factory(next(model.parameters()), shape_of(model).width)
        for place in self.places:
            for host in self.hosts(model, place).values():
                insert(host, "adapter", make())

    def adapters(self, encoder: int, decoder: int) -> int:
        """Return the number of networks, for `encoder` blocks without and `decoder` blocks with cross-attention."""
        return sum(decoder if place == "cross" else encoder + decoder for place in self.places)

    def closed_form(self, shape: Shape) -> int:
        return self.adapters(shape.encoder, shape.decoder) * self.size(shape.width)

    def notes(self, model: nn.Module) -> dict[str, str | int | float]:
        return {f"adapters_after_{place}": len(self.hosts(model, place)) for place in self.places}


@dataclass(frozen=True)
class Adapter(Sequential):
    """Bottlenecks after attention and after feed-forward."""

    name: ClassVar[str] = "adapter"

    def factory(self, like: torch.Tensor, width: int) -> Callable[[], Delta]:
        """Return a function that builds one bottleneck. like: a parameter of any shape, for dtype and device."""
        return lambda: Bottleneck(like, width, self.bottleneck, self.activation)

    def size(self, width: int) -> int:
        """Return the number of parameters of a network."""
        return 2 * self.bottleneck * width + self.bottleneck + width
