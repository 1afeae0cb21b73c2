"""Pfeiffer adapter (Pfeiffer et al. 2021, arXiv 2005.00247): one adapter per block, on the stream after the
feed-forward. In a post-norm backbone, where the stream is N(s) with s = x + ffn(x): N(s + U f(D N(s))), the
placement their search found, as `original_ln_before` and `original_ln_after` have it in their code. In a
pre-norm backbone, s + U f(D s).

Parameters: 2 d R + R + d for each block. Deviations: U starts at zero, so the start is the backbone.
"""

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import nn

from methods.adapter import Bottleneck
from methods.base import Delta, Method, Shape, after, family, insert, shape_of


class OnStream(Delta):
    """A change to the stream that depends on the stream. Its host is a block (pre-norm) or the block's last norm."""

    def change(self, stream: torch.Tensor) -> torch.Tensor:
        """Return what is added to the stream: [B, T, D] for stream: [B, T, D]."""
        raise NotImplementedError

    def forward(self, output: torch.Tensor, x: torch.Tensor, *_: torch.Tensor) -> torch.Tensor:
        """Return the new stream: [B, T, D] for output: [B, T, D] of the host and its input x: [B, T, D]."""
        host = self._seat[1]
        if not isinstance(host, nn.LayerNorm):
            return output + self.change(output)
        return host.forward(x + self.change(output))  # not a call, which would come back here


class StreamBottleneck(OnStream):
    """The change U f(D s)."""

    def __init__(self, like: torch.Tensor, width: int, rank: int, activation: str) -> None:
        super().__init__()
        self.bottleneck = Bottleneck(like, width, rank, activation)

    def change(self, stream: torch.Tensor) -> torch.Tensor:
        """Return U f(D s): [B, T, D] for the stream s: [B, T, D]."""
        return self.bottleneck.change(stream)


@dataclass(frozen=True)
class PfeifferAdapter(Method):
    """One bottleneck per block, after feed-forward."""

    name: ClassVar[str] = "pfeiffer"

    bottleneck: int = 24
    activation: Literal["gelu", "relu", "tanh", "silu"] = "relu"

    def __post_init__(self) -> None:
        self.require(self.bottleneck >= 1, "bottleneck", "the bottleneck must be at least 1")

    def attach(self, model: nn.Module) -> None:
        family(model)
        like, width = next(model.parameters()), shape_of(model).width
        for host in after(model, "stream").values():
            insert(host, "pfeiffer", StreamBottleneck(like, width, self.bottleneck, self.activation))

    def closed_form(self, shape: Shape) -> int:
        blocks = shape.encoder + shape.decoder
        return blocks * (2 * self.bottleneck * shape.width + self.bottleneck + shape.width)

    def notes(self, model: nn.Module) -> dict[str, str | int | float]:
        return {"adapters_after_ffn": len(after(model, "stream"))}
