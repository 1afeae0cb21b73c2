"""What a finished cell's model still knows of its pretraining: the loss on held-out text of the embedded backbones."""

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from harness.errors import NotApplicable
from harness.models.text_tokens import IGNORED
from harness.training.batches import Encoded
from tasks.microworld.pretraining import held_out

if TYPE_CHECKING:
    from harness.probes._finished_cell import Finished


class HeldOut:
    """The held-out text of a cell's backbone, encoded as in its pretraining. `count`: of its documents."""

    def __init__(self, finished: "Finished", device: torch.device) -> None:
        """Raise NotApplicable for a backbone without such text, and for an objective that does not say it."""
        if finished.objective.head.kind not in ("seq2seq_lm", "causal_lm"):
            raise NotApplicable(f"objective {finished.cell.objective} has no loss on running text")
        words = finished.words
        rows = held_out.pairs(
            finished.cell.model.name, lambda text: words.tokenizer.encode(text, add_special_tokens=False).ids
        )
        if not rows:
            raise NotApplicable(f"no text that {finished.cell.model.name} was pretrained on is known here")
        inputs, targets = zip(*rows, strict=True)
        self._encoded = Encoded.of(inputs, words.pad, 0, targets)
        self._finished, self._device, self.count = finished, device, len(rows)

    def loss(self, model: nn.Module) -> float:
        """Return the mean loss per word, in nats."""
        objective: Any = self._finished.objective
        total, items = 0.0, 0
        with torch.no_grad():
            for rows in self._encoded.by_length(self._finished.cell.recipe.evaluation_tokens):
                batch = self._encoded.batch(rows).to(self._device)
                words = int((batch.need_targets() != IGNORED).sum())
                total += float(_of_answer(objective).loss(model, batch)) * words
                items += words
        return total / items


def _of_answer(objective: Any) -> Any:
    """Return the objective with its loss on the answer alone."""
    return replace(objective, reading=replace(objective.reading, loss_on="answer"))
