"""A classification head on the encoder: one logit per label; cross entropy over the rows of a batch."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F

from harness.errors import UsageError
from harness.models.head import Head
from harness.models.tokenizer import Text
from harness.precision import in_precision
from harness.training.batches import Batch, Encoded
from harness.training.objectives.base import Predicted
from harness.training.objectives.registry import Reading
from tasks.base import Example, Task


def head(labels: int) -> Head:
    """Return a classification head for `labels` classes."""
    return Head("sequence_classification", labels)


def make(task: Task, text: Text, reading: Reading) -> "Classifier":
    """Return the objective."""
    return Classifier(task, text, head(len(task.label_words)), reading)


@dataclass(frozen=True)
class Classifier:
    task: Task
    text: Text
    head: Head
    reading: Reading

    def encode(self, examples: Sequence[Example]) -> Encoded:
        texts = [self.task.text(example) for example in examples]
        inputs, truncated = self.text.inputs(texts, self.task.max_input_tokens, self.task.keep)
        self._check_ends(inputs)
        labels = torch.tensor([self.target(example) for example in examples])
        return Encoded.of(inputs, self.text.pad, truncated, labels=labels)

    def _check_ends(self, inputs: Sequence[Sequence[int]]) -> None:
        """The head of an encoder-decoder reads what stands at the last end token, of which all rows have as many."""
        if self.text.start is not None and self.text.eos is not None:
            counts = {row.count(self.text.eos) for row in inputs}
            if counts == {0} or len(counts) > 1:
                raise UsageError(
                    f"task {self.task.name}: the classifier of an encoder-decoder reads at the end token, and the rows "
                    f"have {', '.join(map(str, sorted(counts)))} of them. Write none in the template, and take a "
                    "tokenizer that ends every text with it."
                )

    def target(self, example: Example) -> int:
        return int(example.label or 0)

    @in_precision
    def loss(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        """Return the mean cross-entropy of the labels [B]: a scalar, with gradient."""
        return F.cross_entropy(_logits(model, batch), batch.need_labels())

    @in_precision
    def predict(self, model: nn.Module, batch: Batch) -> Predicted:
        logits = _logits(model, batch)
        loss = F.cross_entropy(logits, batch.need_labels(), reduction="sum")
        return Predicted(logits.argmax(dim=1).tolist(), float(loss), len(logits))


def _logits(model: nn.Module, batch: Batch) -> torch.Tensor:
    """[B, C] in fp32."""
    logits: torch.Tensor = model(input_ids=batch.inputs, attention_mask=batch.mask).logits
    return logits.float()
