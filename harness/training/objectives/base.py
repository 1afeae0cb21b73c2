"""What an objective is to the rest of the harness."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import nn
from torch.nn import functional as F

from harness.models.head import Head
from harness.models.text_tokens import IGNORED, Text
from harness.training.batches import Batch, Encoded
from harness.training.objectives.settings import Reading
from tasks.base import Example, Task


@dataclass(frozen=True)
class Predicted:
    """The result of one batch of B rows.

    answers: B class indices, texts or numbers. loss: in nats (or squared units), summed over `items`, the number of
    target tokens or of rows.
    """

    answers: list[Any]
    loss: float
    items: int


def answer_notes(text: Text, task: Task, answers: Sequence[Sequence[int]], limit: int) -> dict[str, int]:
    """Return {"truncated_targets": how many right answers are longer than `limit` tokens, "unknown_targets": how many
    have a token for an unknown word}. The second is counted for generated texts only. A count of 0 is left out.

    answers: token ids of whole answers, without an end token.
    """
    cut = sum(len(answer) > limit for answer in answers)
    unknown = task.answer == "text" and sum(not all(map(text.knows, set(answer))) for answer in answers)
    return {name: count for name, count in (("truncated_targets", cut), ("unknown_targets", unknown)) if count}


def alike_notes(options: torch.Tensor, labels: torch.Tensor) -> dict[str, int]:
    """Return {"alike_choices": how many rows have a right option with the same tokens as another, so that chance
    decides}; {} where there are none.

    options: [N or 1, C, U] token ids. labels: [N], the right option of each row.
    """
    if len(options) != len(labels):  # label words, which are told apart or refused
        return {}
    right = options[torch.arange(len(labels)), labels][:, None]
    same = int(((options == right).all(dim=2).sum(dim=1) > 1).sum())
    return {"alike_choices": same} if same else {}


def right_answer(task: Task, example: Example) -> Any:
    """Return the text of a row where texts are generated, else the index of its label or option."""
    return task.target(example) if task.answer == "text" else int(example.label or 0)


@dataclass(frozen=True)
class Answers:
    """Rows whose answers are token ids, without an end token. most: the largest number of tokens, the end included."""

    task: Task
    text: Text
    tokens: Sequence[Sequence[int]]
    most: int

    def encoded(
        self, inputs: list[list[int]], truncated: int, examples: Sequence[Example],
        options: Callable[[Sequence[Example]], torch.Tensor],
    ) -> Encoded:  # fmt: skip
        """Return the rows with inputs, targets and, unless texts are generated, the labels [N] and the options.

        inputs: token ids of each row. truncated: the number of rows that were cut. options: returns [N or 1, C, U].
        """
        targets = [self.text.ended(answer, self.most) for answer in self.tokens]
        notes = answer_notes(self.text, self.task, self.tokens, self.most)
        if self.task.answer == "text":
            return Encoded.of(inputs, self.text.pad, truncated, targets=targets, notes=notes)
        labels = torch.tensor([right_answer(self.task, example) for example in examples])
        table = options(examples)
        notes |= alike_notes(table, labels)
        return Encoded.of(inputs, self.text.pad, truncated, targets=targets, labels=labels, options=table, notes=notes)


class OptionScores:
    """The log-likelihoods of a batch's options, and the part that each one's end token has.

    sums: [B, C], -inf where a row has fewer options. ends: [B, C], nan where an option was cut before its end token.

    The logits are of the whole vocabulary. Those of the options' words alone would do for a first token, which all
    options read after the same text, but each later token, the end token included, is read after the option's own
    words and has a normaliser of its own. The validation loss needs the first token's too.
    """

    def __init__(self, n_rows: int, n_options: int, device: torch.device, end: int | None) -> None:
        self.sums = torch.full((n_rows, n_options), -torch.inf, device=device)
        self.ends = torch.full((n_rows, n_options), torch.nan, device=device)
        self._end = end

    def put(self, places: torch.Tensor, logits: Sequence[torch.Tensor], options: torch.Tensor) -> None:
        """Enter the options at `places` [G], whose tokens [G, W] have the logits [G, W, V].

        The logits come in parts, one after the other along W: to join them would copy the largest tensor there is.
        """
        parts = options.split([part.shape[1] for part in logits], dim=1)
        self.enter(places, torch.cat([costs(*pair) for pair in zip(logits, parts, strict=True)], dim=1), options)

    def enter(self, places: torch.Tensor, by_token: torch.Tensor, options: torch.Tensor) -> None:
        """Enter the options at `places` [G], whose tokens [G, W] have the costs by_token [G, W] in nats."""
        self.sums.view(-1)[places] = -by_token.sum(dim=1)
        last = (options != IGNORED).sum(dim=1, keepdim=True) - 1
        others = options.gather(1, last)[:, 0] != (IGNORED if self._end is None else self._end)
        self.ends.view(-1)[places] = (-by_token.gather(1, last)[:, 0]).masked_fill(others, torch.nan)


def costs(logits: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
    """Return [G, W] the cross entropy of each token [G, W], from logits [G, W, V]; 0 where there is no token."""
    flat = logits.flatten(0, 1).float()
    return F.cross_entropy(flat, tokens.flatten(), ignore_index=IGNORED, reduction="none").view(tokens.shape)


class Objective(Protocol):
    """The loss is the mean over `items`, in training and evaluation. Models run in `in_precision` (precision.py)."""

    head: Head

    @property
    def text(self) -> Text:
        """Return the model's tokenizer."""

    @property
    def reading(self) -> Reading:
        """Return how the protocol has the model read and compute."""

    def encode(self, examples: Sequence[Example]) -> Encoded:
        """Return the rows as token ids, with what a batch of them needs."""

    def target(self, example: Example) -> Any:
        """Return the value that `Predicted.answers` should have for a row."""

    def loss(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        """Return the mean loss of a batch: a scalar, with gradient."""

    def predict(self, model: nn.Module, batch: Batch) -> Predicted:
        """Return answers and loss of a batch, without gradient."""
