"""AdapterBias (Fu et al. 2022, arXiv 2205.00305): h + (a . h) v on the feed-forward's output.

v is one shift for all tokens, and a . h is the weight that a token gives it. Parameters: 2 D for each block, the vector
v and the projection a (without a bias; one would add 1 per block). Deviations: v starts at zero, so the start is the
backbone.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import nn

from methods.base import Delta, Method, Shape, after, insert, parameter, shape_of


class Shift(Delta):
    """The map h + (a . h) v. vector (v), project (a): [D]."""

    def __init__(self, like: torch.Tensor, width: int) -> None:
        super().__init__()
        self.vector, self.project = parameter(like, width), parameter(like, width)
        nn.init.zeros_(self.vector)
        nn.init.uniform_(self.project, -(width**-0.5), width**-0.5)  # torch's own for a linear

    def forward(self, output: torch.Tensor, *_: torch.Tensor) -> torch.Tensor:
        """Return output + (a . output) v: [B, T, D] for output: [B, T, D] of the feed-forward."""
        share = output.to(self.project.dtype) @ self.project
        return output + (share[..., None] * self.vector).to(output.dtype)


@dataclass(frozen=True)
class AdapterBias(Method):
    """One shift per block, weighted for each token."""

    name: ClassVar[str] = "adapterbias"

    def attach(self, model: nn.Module) -> None:
        width = shape_of(model).width
        for host in after(model, "ffn").values():
            insert(host, "adapterbias", Shift(next(model.parameters()), width))

    def closed_form(self, shape: Shape) -> int:
        return 2 * shape.width * (shape.encoder + shape.decoder)
