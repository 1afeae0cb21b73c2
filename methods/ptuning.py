"""P-tuning (Liu et al. 2021, arXiv 2103.10385): a soft prompt that a small encoder makes from P learnt inputs.

Parameters, trained: P d for the inputs, and the encoder's. `lstm`, the paper's equation 4: two bidirectional
LSTM layers of width R, then an MLP 2R -> 2R -> d; `mlp`: d -> R -> R -> d. Both as in PEFT's PromptEncoder.
Parameters, stored: P d, because only what the encoder makes is used afterwards. Deviations: the prompt stands
where prompt tuning's does (paper: anywhere in a template, with anchor words between).
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import Any, ClassVar, Literal

import torch
from torch import nn

from methods.base import Method, Prompt, Shape, computing, family, parameter, plug


class MadePrompt(Prompt):
    """P soft tokens that an encoder computes. embeddings: [P, D], the encoder's inputs."""

    def __init__(self, like: torch.Tensor, length: int, hidden: int, lstm: bool, at: int, rotary: bool) -> None:
        width = like.shape[1]
        super().__init__(torch.randn_like(parameter(like, length, width)), at, rotary)
        place: Any = {"device": like.device, "dtype": self.embeddings.dtype}
        self.lstm = nn.LSTM(width, hidden, 2, bidirectional=True, batch_first=True, **place) if lstm else None
        sizes = (2 * hidden, 2 * hidden, width) if lstm else (width, hidden, hidden, width)
        layers: list[nn.Module] = []
        for d_in, d_out in pairwise(sizes):
            layers += [nn.Linear(d_in, d_out, **place), nn.ReLU()]
        self.mlp = nn.Sequential(*layers[:-1])

    def forward(self) -> torch.Tensor:
        """Return the prompt: [P, D]."""
        with computing("fp32", self.embeddings.device):  # as `plain`, of which a file is made
            start = self.embeddings if self.lstm is None else self.lstm(self.embeddings[None])[0][0]
            made: torch.Tensor = self.mlp(start)
            return made

    @torch.no_grad()
    def plain(self) -> Prompt:
        """Return the prompt as an ordinary one, with embeddings: [P, D]."""
        return Prompt(self(), self.at, self.rotary)


@dataclass(frozen=True)
class PTuning(Method):
    """A soft prompt made by an encoder."""

    name: ClassVar[str] = "ptuning"
    unchanged_at_start: ClassVar[bool] = False

    length: int = 20
    encoder: Literal["lstm", "mlp"] = "lstm"
    hidden: int = 64

    def __post_init__(self) -> None:
        self.require(self.length >= 1, "length", "the prompt length must be at least 1")
        self.require(self.hidden >= 1, "hidden", "the width of the encoder must be at least 1")

    def attach(self, model: Any) -> None:
        row, like = family(model), model.get_input_embeddings().weight
        lstm = self.encoder == "lstm"
        plug(model, MadePrompt(like, self.length, self.hidden, lstm, row.prompt_at, row.rotary))

    def tokens_added(self) -> int:
        return self.length

    def closed_form(self, shape: Shape) -> int:
        d, r = shape.embedding_width, self.hidden
        if self.encoder == "mlp":
            return self.length * d + (d * r + r) + (r * r + r) + (r * d + d)
        directions = 2 * (4 * r * (d + r + 2)) + 2 * (4 * r * (2 * r + r + 2))
        return self.length * d + directions + 2 * r * (2 * r + 1) + d * (2 * r + 1)
