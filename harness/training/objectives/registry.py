"""How an architecture reads an example: one file per objective, found by its name. Torch-free until `make`.

An objective turns rows into token ids, gives the loss of a batch and the predictions of a batch; see `base.py`.
"""

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.errors import NotApplicable, UsageError, near

if TYPE_CHECKING:
    import torch

    from harness.config.schema import Cell
    from harness.models.tokenizer import Text
    from harness.training.objectives.base import Objective
    from tasks.base import Task
from harness.models.head import Head

ANSWERS: Mapping[str, tuple[str, ...]] = {
    "seq2seq": ("label", "choice", "text", "number"),
    "causal": ("label", "choice", "text", "number"),
    "masked": ("label",),
    "classifier": ("label", "choice", "number"),
}
"""Objective -> the values of `Task.kind` that it can answer."""
SETTINGS: Mapping[str, tuple[str, ...]] = {
    "seq2seq": ("beams", "option_score"),
    "causal": ("beams", "option_score", "loss_on"),
    "masked": (),
    "classifier": (),
}
"""Objective -> the fields of `Reading` that it can follow."""

WITHOUT_END = "_without_end"


@dataclass(frozen=True)
class Reading:
    """What a protocol may set otherwise; see the fields of RecipeConfig and TaskConfig that it comes from."""

    loss_on: str = "answer"
    beams: int = 1
    option_score: str = "sum"
    precision: str = "fp32"
    full_length: bool = False
    """Generate as many tokens as an answer may have, whatever they say: what a timing of two models needs."""

    @classmethod
    def of(cls, cell: "Cell") -> "Reading":
        """Return the reading of a cell."""
        return cls(cell.recipe.loss_on, cell.task.beams, cell.task.option_score, cell.recipe.precision)

    def choose(
        self, sums: "torch.Tensor", options: "torch.Tensor", ends: "torch.Tensor | None" = None
    ) -> "torch.Tensor":
        """Return the best option of each row: [B].

        sums: [B, C] log-likelihoods of the tokens `options`: [B, C, U], negative where there is none.
        ends: [B, C] the part of each sum that its end token has; nan where an option was cut before it.
        """
        counts = (options >= 0).sum(dim=2)
        if self.option_score.endswith(WITHOUT_END) and ends is not None:
            sums, counts = sums - ends.nan_to_num(0.0), counts - (~ends.isnan()).long()
        if self.option_score.startswith("mean"):
            sums = sums / counts.clamp(min=1)
        return sums.argmax(dim=1)

    def check(self, objective: str) -> None:
        """Raise NotApplicable for a setting that is not the usual one, where `objective` cannot follow it."""
        for name, where in (("loss_on", "recipe"), ("beams", "task"), ("option_score", "task")):
            value = getattr(self, name)
            if name not in SETTINGS[objective] and value != getattr(Reading(), name):
                able = ", ".join(other for other, names in SETTINGS.items() if name in names)
                raise NotApplicable(f"{where}.{name}={value}: objective {objective} cannot do that; these can: {able}.")


def check(name: str, answer: str) -> None:
    """Raise UsageError for an unknown objective, NotApplicable for a kind of answer that it cannot give."""
    _known(name)
    if answer not in ANSWERS[name]:
        able = ", ".join(other for other, answers in ANSWERS.items() if answer in answers)
        raise NotApplicable(f"objective {name} cannot give the answers of a {answer!r} task; these can: {able}.")


def make(name: str, task: "Task", text: "Text", reading: Reading = Reading()) -> "Objective":
    """Return the objective `name` for a task and a model's tokenizer.

    Raise UsageError for an unknown name, and NotApplicable for answers or settings that the objective cannot give.
    """
    check(name, task.kind)
    reading.check(name)
    objective: Objective = importlib.import_module(f"{__package__}.{name}").make(text.marked(task), text, reading)
    return objective


def head(name: str, labels: int) -> Head:
    """Return the head that objective `name` puts on a backbone for a task with this number of labels."""
    _known(name)
    made: Head = importlib.import_module(f"{__package__}.{name}").head(labels)
    return made


def _known(name: str) -> None:
    if name not in ANSWERS:
        raise UsageError(f"there is no objective {name!r}.{near(name, ANSWERS)}")
