"""A head on the encoder: one logit per label, one score per option, or a number.

- Labels: cross entropy of the logits, over the rows of a batch.
- Options: the head has one output, and the softmax is over the options of a row, as in transformers' models for
  multiple choice (Devlin et al. 2019, section 4.4). A row is read once per option: its text, a space and the option, as
  one text, whose beginning is cut where it is too long. A BERT there reads two segments, of the types 0 and 1.
- Numbers: the head has one output, and the loss is the mean squared error, as in transformers' sequence classification
  with one label.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F

from harness.errors import UsageError, shown
from harness.models.head import Head
from harness.models.text_tokens import IGNORED, Text
from harness.precision import in_precision
from harness.training.batches import Batch, Encoded, pad
from harness.training.objectives.base import Predicted, alike_notes
from harness.training.objectives.settings import Reading
from tasks.base import Example, Task


def head(labels: int) -> Head:
    """Return a classification head for `labels` classes; for none of them a head with one output."""
    return Head("sequence_classification", max(labels, 1))


def make(task: Task, text: Text, reading: Reading) -> "Classifier | Chooser | Regressor":
    """Return the objective for the kind of the task's answers."""
    if task.kind == "label":
        return Classifier(task, text, head(len(task.label_words)), reading)
    return (Chooser if task.kind == "choice" else Regressor)(task, text, head(1), reading)


@dataclass(frozen=True)
class Classifier:
    task: Task
    text: Text
    head: Head
    reading: Reading

    def encode(self, examples: Sequence[Example]) -> Encoded:
        return _encode(self, examples)

    def target(self, example: Example) -> int:
        return int(example.label or 0)

    @in_precision
    def loss(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        """Return the mean cross-entropy of the labels [B]: a scalar, with gradient."""
        return F.cross_entropy(_logits(model, batch.inputs, batch.mask), batch.need_labels())

    @in_precision
    def predict(self, model: nn.Module, batch: Batch) -> Predicted:
        logits = _logits(model, batch.inputs, batch.mask)
        loss = F.cross_entropy(logits, batch.need_labels(), reduction="sum")
        return Predicted(logits.argmax(dim=1).tolist(), float(loss), len(logits))


@dataclass(frozen=True)
class Chooser:
    """Its batches have the texts with the options in `options` [B, C, T]; `inputs` counts their tokens only."""

    task: Task
    text: Text
    head: Head
    reading: Reading

    def encode(self, examples: Sequence[Example]) -> Encoded:
        texts = [self._texts(example) for example in examples]
        flat, cut = self.text.inputs([text for row in texts for text in row], self.task.max_input_tokens, "end")
        _check_ends(self.task, self.text, flat)
        tokens = iter(flat)
        rows = [[next(tokens) for _ in row] for row in texts]
        labels = torch.tensor([self.target(example) for example in examples])
        table = torch.full((len(rows), max(map(len, rows)), max(map(len, flat))), IGNORED)
        for i, row in enumerate(rows):
            table[i, : len(row)] = pad(row, IGNORED, table.shape[2])
        notes = {**alike_notes(table, labels), **({"truncated_options": cut} if cut else {})}
        whole = [[token for option in row for token in option] for row in rows]
        return Encoded.of(whole, self.text.pad, 0, labels=labels, options=table, notes=notes)

    def _texts(self, example: Example) -> list[str]:
        """Return the row's text with each of its options."""
        text = self.task.text(example)
        glue = "" if text[-1:].isspace() else " "
        return [f"{text}{glue}{option}" for option in self.task.options(example)]

    def target(self, example: Example) -> int:
        return int(example.label or 0)

    @in_precision
    def loss(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        """Return the mean cross-entropy of the right options [B]: a scalar, with gradient."""
        return F.cross_entropy(self._scores(model, batch), batch.need_labels())

    @in_precision
    def predict(self, model: nn.Module, batch: Batch) -> Predicted:
        scores = self._scores_by_length(model, batch)
        loss = F.cross_entropy(scores, batch.need_labels(), reduction="sum")
        return Predicted(scores.argmax(dim=1).tolist(), float(loss), len(scores))

    def _scores(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        """Return the scores [B, C] in fp32; -inf where a row has fewer options. All options pass the model at once."""
        options = batch.need_options()
        absent = (options == IGNORED).all(dim=2)
        # An absent option reads as the first one, because no model takes a text without a token.
        flat = torch.where(absent[:, :, None], options[:, :1], options).flatten(0, 1)
        there = flat != IGNORED
        logits = _logits(model, flat.masked_fill(~there, self.text.pad), there.long())
        return logits.view(absent.shape).masked_fill(absent, -torch.inf)

    def _scores_by_length(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        """Return the scores [B, C] in fp32 as `_scores` does, without gradient.

        Options of like length pass the model together, and absent ones do not. Training takes all at
        once, because how it groups them would change what dropout draws.
        """
        scores = torch.full(batch.need_options().shape[:2], -torch.inf, device=batch.inputs.device)
        for places, options in batch.option_groups():
            there = options != IGNORED
            scores.view(-1)[places] = _logits(model, options.masked_fill(~there, self.text.pad), there.long())[:, 0]
        return scores


@dataclass(frozen=True)
class Regressor:
    task: Task
    text: Text
    head: Head
    reading: Reading

    def encode(self, examples: Sequence[Example]) -> Encoded:
        return _encode(self, examples)

    def target(self, example: Example) -> float:
        """Return the row's score, else the number that its target is. Raise UsageError where that is none."""
        if isinstance(example.label, float):
            return example.label
        try:
            return float(self.task.target(example))
        except ValueError as error:
            raise UsageError(
                f"task {self.task.name}, {example.place}: its target {shown(self.task.target(example), 40)} is no "
                f"number, and the metric {self.task.metric} is of numbers. Name another column, as in columns: "
                "{target: score}, or another metric."
            ) from error

    @in_precision
    def loss(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        """Return the mean squared error of the numbers [B]: a scalar, with gradient."""
        numbers = _logits(model, batch.inputs, batch.mask)[:, 0]
        return F.mse_loss(numbers, batch.need_labels().to(numbers.dtype))

    @in_precision
    def predict(self, model: nn.Module, batch: Batch) -> Predicted:
        numbers = _logits(model, batch.inputs, batch.mask)[:, 0]
        loss = F.mse_loss(numbers, batch.need_labels().to(numbers.dtype), reduction="sum")
        return Predicted(numbers.tolist(), float(loss), len(numbers))


def _encode(objective: Classifier | Regressor, examples: Sequence[Example]) -> Encoded:
    """Return rows of one text each, with the targets as labels: [N] of classes or of numbers."""
    task, text = objective.task, objective.text
    inputs, truncated = text.inputs([task.text(example) for example in examples], task.max_input_tokens, task.keep)
    _check_ends(task, text, inputs)
    labels = torch.tensor([objective.target(example) for example in examples])
    return Encoded.of(inputs, text.pad, truncated, labels=labels)


def _check_ends(task: Task, text: Text, inputs: Sequence[Sequence[int]]) -> None:
    """Raise UsageError unless all rows have the same number of end tokens, at least one.

    The head of an encoder-decoder reads at the last of them.
    """
    if text.start is not None and text.eos is not None:
        counts = {row.count(text.eos) for row in inputs}
        if counts == {0} or len(counts) > 1:
            raise UsageError(
                f"task {task.name}: the classifier of an encoder-decoder reads at the end token, and the rows "
                f"have {', '.join(map(str, sorted(counts)))} of them. Write none in the template, and take a "
                "tokenizer that ends every text with it."
            )


def _logits(model: nn.Module, inputs: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Return the logits [B, C] in fp32, from inputs, mask: [B, T]."""
    logits: torch.Tensor = model(input_ids=inputs, attention_mask=mask).logits
    return logits.float()
