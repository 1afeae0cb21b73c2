"""Intrinsic prompt tuning (Qin et al. 2021, arXiv 2110.07867): d numbers z in a space of prompts learnt from those of
several tasks; the prompt is W3 tanh(W2 z + b2) + b3.

Parameters, trained: d. Stored: P D, because only the prompt is used afterwards. First stage of the paper: an
autoencoder z = W1 p + b1, p' = W3 tanh(W2 z + b2) + b3 (hidden width 768 in the authors' code, `hidden` here) is fitted
to the flat prompts p [P D] of the tasks; second stage: its decoder is frozen and z, normal with sd 0.02, is trained.
Deviations: the autoencoder is fitted to the prompts alone, by the squared error, when the cell starts (paper: with the
tasks' own losses beside it; the authors' code allows either); prompts are scaled to unit root mean square for the fit.
Parents: finished cells of `prompt` with the same length on the same backbone. Without parents it has no decoder.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, cast

import torch
from torch import nn
from torch.nn import functional as F

from methods.base import Method, Parent, Prompt, Shape, UsageError, computing, family, find_stack, parameter, plug

RATE = 1e-3
DECODER = ("W2", "b2", "W3", "b3")


class CodedPrompt(Prompt):
    """P soft tokens from a code. code: [d]; the decoder's [R, d], [R], [P D, R], [P D] are frozen."""

    def __init__(self, like: torch.Tensor, length: int, dimension: int, hidden: int, at: int, rotary: bool) -> None:
        super().__init__(like.new_zeros(length, like.shape[1]), at, rotary)
        del self.embeddings  # computed by the decoder instead
        self.code = parameter(like, dimension)
        nn.init.normal_(self.code, std=0.02)
        flat = length * like.shape[1]
        sizes = {"W2": (hidden, dimension), "b2": (hidden,), "W3": (flat, hidden), "b3": (flat,)}
        for name, size in sizes.items():
            self.register_buffer(name, torch.zeros_like(parameter(like, *size).detach()), persistent=False)

    def forward(self) -> torch.Tensor:
        """Return the prompt that the decoder computes from the code: [P, D]."""
        with computing("fp32", self.code.device):  # as `plain`, of which a file is made
            return decode(self.code, *(self.get_buffer(name) for name in DECODER)).view(self.length, -1)

    @torch.no_grad()
    def plain(self) -> Prompt:
        """Return the prompt as an ordinary one, with embeddings: [P, D]."""
        return Prompt(self(), self.at, self.rotary)


def decode(z: torch.Tensor, w2: torch.Tensor, b2: torch.Tensor, w3: torch.Tensor, b3: torch.Tensor) -> torch.Tensor:
    """Return W3 tanh(W2 z + b2) + b3: [..., P D] for z: [..., d], w2: [R, d], b2: [R], w3: [P D, R] and b3: [P D]."""
    return F.linear(torch.tanh(F.linear(z, w2, b2)), w3, b3)


@dataclass(frozen=True)
class IntrinsicPrompt(Method):
    """A few numbers in a space of prompts learnt from other tasks."""

    name: ClassVar[str] = "intrinsic_prompt"
    parents: ClassVar[str] = "prompt"
    unchanged_at_start: ClassVar[bool] = False

    dimension: int = 5
    length: int = 20
    hidden: int = 768
    fit_steps: int = 200

    def __post_init__(self) -> None:
        for field in ("dimension", "length", "hidden", "fit_steps"):
            self.require(getattr(self, field) >= 1, field, "it must be at least 1")

    def attach(self, model: Any) -> None:
        row, like = family(model), model.get_input_embeddings().weight
        plug(model, CodedPrompt(like, self.length, self.dimension, self.hidden, row.prompt_at, row.rotary))

    def inherit(self, model: Any, parents: Mapping[str, Parent]) -> None:
        if not parents:
            return
        prompt = cast(Any, find_stack(model, family(model).stack)).prompt
        prompts = [self._prompt(role, parent.state, prompt) for role, parent in sorted(parents.items())]
        self._fit(torch.stack(prompts).to(prompt.b3), prompt)

    def _prompt(self, role: str, state: Mapping[str, torch.Tensor], own: CodedPrompt) -> torch.Tensor:
        """Return the prompt that a parent learnt: [P D]. Raise UsageError where it does not fit."""
        wanted = (self.length, own.get_buffer("b3").numel() // self.length)
        tables = [tensor for name, tensor in state.items() if name.endswith("prompt.embeddings")]
        if len(tables) != 1 or tables[0].shape != wanted or not bool(torch.isfinite(tables[0]).all()):
            shape = f"{tuple(tables[0].shape)}" if len(tables) == 1 else "missing"
            raise UsageError(
                f"parent {role}: its prompt is {shape}, expected finite numbers of {wanted}: it must be a finished "
                "prompt cell of this length on the same backbone"
            )
        return tables[0].flatten()

    @torch.enable_grad()
    def _fit(self, prompts: torch.Tensor, own: CodedPrompt) -> None:
        """Fit the autoencoder to prompts: [tasks, P D]; its decoder becomes that of `own`."""
        scale = prompts.square().mean().sqrt().clamp(min=1e-8)
        flat = prompts.shape[1]
        encoder = nn.Linear(flat, self.dimension, device=prompts.device, dtype=prompts.dtype)
        middle = nn.Linear(self.dimension, self.hidden, device=prompts.device, dtype=prompts.dtype)
        last = nn.Linear(self.hidden, flat, device=prompts.device, dtype=prompts.dtype)
        tensors = [*encoder.parameters(), *middle.parameters(), *last.parameters()]
        optimizer = torch.optim.Adam(tensors, lr=RATE)
        for _ in range(self.fit_steps):
            made = decode(encoder(prompts / scale), *middle.parameters(), *last.parameters())
            optimizer.zero_grad()
            F.mse_loss(made, prompts / scale).backward()
            optimizer.step()
        with torch.no_grad():
            for name, tensor in zip(DECODER, (*middle.parameters(), *last.parameters()), strict=True):
                own.get_buffer(name).copy_(tensor * scale if name.endswith("3") else tensor)

    def tokens_added(self) -> int:
        return self.length

    def closed_form(self, shape: Shape) -> int:
        return self.dimension
