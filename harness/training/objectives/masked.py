"""A cloze for masked encoders: the label whose word is likeliest at the mask token, among the label words alone.

The text is the task's `cloze` (a template with {mask}), else its template with the mask after it. Every label word must
be one token, as it is after a space. The loss is cross entropy over the rows of a batch.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from harness.errors import NotApplicable, UsageError
from harness.models.head import Head
from harness.models.text_tokens import Mask, Text
from harness.precision import in_precision
from harness.training.batches import Batch, Encoded
from harness.training.objectives.base import Predicted
from harness.training.objectives.settings import Reading
from tasks import templates
from tasks.base import Example, Task


def head(labels: int) -> Head:
    """Return the head of a masked language model."""
    return Head("masked_lm")


def make(task: Task, text: Text, reading: Reading) -> "Masked":
    """Return the objective. Raise UsageError for a model without a mask token and for label words of several tokens."""
    if text.mask is None:
        raise UsageError("objective masked needs a masked encoder; this model's tokenizer has no mask token.")
    words = tuple(_token(text, word, task.name) for word in task.cloze_words or task.label_words)
    text.tell_apart(task.cloze_words or task.label_words, [[word] for word in words], limit=2)
    return Masked(task, text, text.mask, words, head(0), reading)


def _token(text: Text, word: str, task: str) -> int:
    for spelt in (f" {word}", word):
        tokens = text.encode(spelt)
        if len(tokens) == 1 and text.knows(tokens[0]):
            return tokens[0]
    raise NotApplicable(
        f"objective masked needs label words of one token each; {word!r} of task {task} is not one in this model's "
        "vocabulary. Take objective=classifier, or a task with other words."
    )


@dataclass(frozen=True)
class Masked:
    """words: the token of each label."""

    task: Task
    text: Text
    mask: Mask
    words: tuple[int, ...]
    head: Head
    reading: Reading

    def encode(self, examples: Sequence[Example]) -> Encoded:
        template = self.task.cloze or self.task.template
        if not self.task.cloze and self.mask.text not in template:  # else the template has its own
            template += " {mask}"
        texts = [templates.fill(template, dict(example.fields, mask=self.mask.text)) for example in examples]
        inputs, truncated = self.text.around(texts, self.task.max_input_tokens, self.mask.token)
        masks = next((row.count(self.mask.token) for row in inputs if row.count(self.mask.token) != 1), 1)
        if masks != 1:
            raise UsageError(f"task {self.task.name}: its cloze has {masks} mask tokens in a row; it must have one.")
        labels = torch.tensor([self.target(example) for example in examples])
        return Encoded.of(inputs, self.text.pad, truncated, labels=labels)

    def target(self, example: Example) -> int:
        return int(example.label or 0)

    @in_precision
    def loss(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        """Return the mean cross-entropy of the labels [B]: a scalar, with gradient."""
        return F.cross_entropy(self.logits(model, batch), batch.need_labels())

    @in_precision
    def predict(self, model: nn.Module, batch: Batch) -> Predicted:
        logits = self.logits(model, batch)
        loss = F.cross_entropy(logits, batch.need_labels(), reduction="sum")
        return Predicted(logits.argmax(dim=1).tolist(), float(loss), len(logits))

    @in_precision
    def logits(self, model: Any, batch: Batch) -> torch.Tensor:
        """Return [B, C] logits of the label words at the mask, in fp32. The model's head runs only there."""
        at = (batch.inputs == self.mask.token).int().argmax(dim=1)
        watching = model.base_model.register_forward_hook(partial(_keep, at))
        try:
            logits: torch.Tensor = model(input_ids=batch.inputs, attention_mask=batch.mask).logits
        finally:
            watching.remove()
        rows = torch.arange(len(at), device=at.device)
        return logits[rows, at if logits.shape[1] > 1 else 0][:, list(self.words)].float()


def _keep(at: torch.Tensor, _: nn.Module, inputs: Any, output: Any) -> Any:
    """Keep of the backbone's states [B, T, D] those at one position of each row: [B, 1, D], after its forward pass.

    So the model's own forward goes on with no others. What a head consists of differs from family to family, and only
    that forward knows it.
    """
    hidden = output.last_hidden_state
    output.last_hidden_state = hidden[torch.arange(len(at), device=at.device), at][:, None]
    return output
