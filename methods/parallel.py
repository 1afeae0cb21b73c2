"""Parallel adapter (He et al. 2022, arXiv 2110.04366, table 1): h + s U f(D x), where x goes into the sublayer
whose output is h.

Parameters: 2 d R + R + d for each adapter: beside attention, beside feed-forward or both in every block, and
with `cross` beside cross-attention. `scale` s is a constant (their scaled parallel adapter beside feed-forward:
4). x is what the sublayer itself reads, so in a pre-norm backbone it is normalised, as in OpenDelta. Starts as
in the authors' code (D as a LoRA's A, U zero), which is unchanged. Deviations: where the backbone's dropout on h
is not a module (BART) the sum is taken before it.
"""

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import nn

from methods.adapter import Bottleneck
from methods.base import Method, Shape, after, before, family, insert, shape_of


class ParallelBottleneck(Bottleneck):
    """The map h + s U f(D x). `see` receives x just before the sublayer computes h."""

    def __init__(self, like: torch.Tensor, width: int, rank: int, activation: str, scale: float) -> None:
        super().__init__(like, width, rank, activation)
        self.scale = scale
        self.seen: torch.Tensor | None = None

    def see(self, _: nn.Module, args: tuple[Any, ...]) -> None:
        """Store the sublayer's input, args[0]: [B, T, D]."""
        self.seen = args[0]

    def forward(self, output: torch.Tensor, *_: torch.Tensor) -> torch.Tensor:
        """Return output + s U f(D x): [B, T, D] for output: [B, T, D] of the sublayer and its input x."""
        assert self.seen is not None
        x, self.seen = self.seen, None  # nothing outlives the sublayer
        return output + self.scale * self.change(x)


@dataclass(frozen=True)
class ParallelAdapter(Method):
    """Bottlenecks beside attention and feed-forward."""

    name: ClassVar[str] = "parallel"

    bottleneck: int = 24
    activation: Literal["gelu", "relu", "tanh", "silu"] = "relu"
    scale: float = 1.0
    beside: Literal["attention", "ffn", "both"] = "both"
    cross: bool = False

    def __post_init__(self) -> None:
        self.require(self.bottleneck >= 1, "bottleneck", "the bottleneck must be at least 1")
        self.require(self.scale > 0, "scale", "the scale must be above 0")
        beside_attention = self.beside != "ffn" or not self.cross
        self.require(beside_attention, "cross", "beside=ffn leaves attention, hence cross-attention, alone")

    @property
    def places(self) -> tuple[str, ...]:
        """Return the sublayers that get a bottleneck."""
        attention = ("attention", "cross") if self.cross else ("attention",)
        return {"attention": attention, "ffn": ("ffn",), "both": (*attention, "ffn")}[self.beside]

    def attach(self, model: nn.Module) -> None:
        family(model)
        like, width = next(model.parameters()), shape_of(model).width
        for place in self.places:
            pairs = zip(before(model, place).values(), after(model, place).values(), strict=True)
            for source, host in pairs:
                delta = ParallelBottleneck(like, width, self.bottleneck, self.activation, self.scale)
                insert(host, "parallel", delta)
                source.register_forward_pre_hook(delta.see)

    def closed_form(self, shape: Shape) -> int:
        blocks = {"attention": shape.encoder + shape.decoder, "cross": shape.decoder}
        adapters = sum(blocks.get(place, shape.encoder + shape.decoder) for place in self.places)
        return adapters * (2 * self.bottleneck * shape.width + self.bottleneck + shape.width)

    def notes(self, model: nn.Module) -> dict[str, str | int | float]:
        return {f"adapters_beside_{place}": len(after(model, place)) for place in self.places}
