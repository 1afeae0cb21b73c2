"""Prompt tuning (Lester et al. 2021, arXiv 2104.08691): P learnt embeddings beside the embedded input.

Parameters: P d. They stand before the (encoder's) first token. In a masked encoder they stand after it, so that [CLS]
stays first, as in the combination study's code of Delta Tuning. How the backbone reads them:
methods/attachment/soft_prompt.py.
Starts (section 3.2): uniform in [-0.5, 0.5]; embeddings of words drawn from the whole vocabulary (paper: from
the 5,000 most common); or those of `text`, repeated or cut to P.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import cycle, islice
from typing import Any, ClassVar, Literal, cast

import torch

from methods.base import Method, Prompt, Shape, family, find_stack, plug


@dataclass(frozen=True)
class PromptTuning(Method):
    """Learnt embeddings beside the embedded input."""

    name: ClassVar[str] = "prompt"
    unchanged_at_start: ClassVar[bool] = False

    length: int = 20
    init: Literal["vocabulary", "random", "text"] = "vocabulary"
    text: str | None = None

    def __post_init__(self) -> None:
        self.require(self.length >= 1, "length", "the prompt length must be at least 1")
        given = self.init == "text"
        self.require(bool(self.text) == given, "text", "init=text, and nothing else, needs a text to start from")

    def attach(self, model: Any) -> None:
        row, embed = family(model), model.get_input_embeddings()
        if self.init == "random":
            start = torch.empty_like(embed.weight[: self.length]).uniform_(-0.5, 0.5)
        else:
            start = embed(torch.randint(len(embed.weight), (self.length,), device=embed.weight.device))
        plug(model, Prompt(start.detach(), row.prompt_at, row.rotary))

    @torch.no_grad()
    def read(self, model: Any, encode: Callable[[str], Sequence[int]]) -> None:
        if self.text is None:
            return
        ids = list(encode(self.text))
        self.require(bool(ids), "text", "this backbone's tokenizer makes no token of it")
        embed, stack = model.get_input_embeddings(), cast(Any, find_stack(model, family(model).stack))
        rows = torch.tensor(list(islice(cycle(ids), self.length)), device=embed.weight.device)
        stack.prompt.embeddings.copy_(embed(rows))

    def tokens_added(self) -> int:
        return self.length

    def closed_form(self, shape: Shape) -> int:
        return self.length * shape.embedding_width
