"""Masking (Zhao et al. 2020, arXiv 2004.12406): W * m with binary m = [s > 0] and learnt scores s; gradients pass
straight through the threshold.

Parameters: d_in d_out scores for each target; a finished delta needs one bit of each. Scores are uniform and
`initial_sparsity` of them start below the threshold, so the start is not quite the backbone (paper: 5 %).
Deviations: the threshold is 0 (paper: 0.01, the same thing after a shift); the width of the scores' uniform
distribution, which sets how soon they cross it, is `score_range`.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import nn

from methods.base import Method, Names, Overlay, Part, Shape, linears, overlay, parameter, write


class Mask(Overlay):
    """The map W * [s > 0]. scores (s): of the parameter's shape; biases have none."""

    def __init__(self, covered: nn.Parameter, sparsity: float, width: float) -> None:
        super().__init__(covered)
        self.scores = parameter(covered, *covered.shape)
        nn.init.uniform_(self.scores, -sparsity * width, (1 - sparsity) * width)

    def forward(self, tensor: torch.Tensor) -> torch.Tensor:
        """Return tensor * [s > 0], of the same shape as `tensor`; gradients pass straight through the threshold."""
        hard = (self.scores > 0).to(self.scores.dtype)
        return tensor * (hard + self.scores - self.scores.detach())


@dataclass(frozen=True)
class Masking(Method):
    """Binary masks on frozen weights."""

    name: ClassVar[str] = "mask"
    mergeable: ClassVar[bool] = True
    unchanged_at_start: ClassVar[bool] = False

    initial_sparsity: float = 0.05
    score_range: float = 0.02
    targets: Names = ("q", "k", "v", "o", "ffn-in", "ffn-out")

    def __post_init__(self) -> None:
        self.require(0 <= self.initial_sparsity < 1, "initial_sparsity", "it must be at least 0 and below 1")
        self.require(self.score_range > 0, "score_range", "it must be above 0")

    def attach(self, model: nn.Module) -> None:
        layers = linears(model, self.targets).values()
        hosts = list(dict.fromkeys(host.module if isinstance(host, Part) else host for host in layers))
        overlay("mask", hosts, lambda _, p: Mask(p, self.initial_sparsity, self.score_range), only="weight")

    def merge(self, model: nn.Module) -> None:
        write(model)

    def closed_form(self, shape: Shape) -> int:
        return sum(n * d_in * d_out for n, d_in, d_out in shape.linears(self.targets))
