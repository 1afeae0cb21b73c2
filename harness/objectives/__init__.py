"""How an architecture reads an example: one file per objective, found by its name. Torch-free until `make`.

An objective turns rows into token ids, gives the loss of a batch and the predictions of a batch; see `base.py`.
"""

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.errors import NotApplicable, UsageError, near

if TYPE_CHECKING:
    from harness.objectives.base import Objective
    from harness.text import Text
    from tasks.base import Task

ANSWERS: Mapping[str, tuple[str, ...]] = {"seq2seq": ("label", "choice", "text"), "classifier": ("label",)}
"""Objective -> the kinds of `Task.answer` it can give."""


@dataclass(frozen=True)
class Head:
    """What stands on the backbone: "seq2seq_lm" (its own output layer) or "sequence_classification"."""

    kind: str
    labels: int = 0


def check(name: str, answer: str) -> None:
    """UsageError for an unknown objective, NotApplicable for a kind of answer it cannot give."""
    _known(name)
    if answer not in ANSWERS[name]:
        able = ", ".join(other for other, answers in ANSWERS.items() if answer in answers)
        raise NotApplicable(f"objective {name} cannot give the answers of a {answer!r} task; these can: {able}.")


def make(name: str, task: "Task", text: "Text") -> "Objective":
    """The objective `name` for a task and a model's tokenizer."""
    check(name, task.answer)
    objective: Objective = importlib.import_module(f"{__name__}.{name}").make(task, text)
    return objective


def head(name: str, labels: int) -> Head:
    """The head that objective `name` puts on a backbone for a task with so many labels."""
    _known(name)
    made: Head = importlib.import_module(f"{__name__}.{name}").head(labels)
    return made


def _known(name: str) -> None:
    if name not in ANSWERS:
        raise UsageError(f"there is no objective {name!r}.{near(name, ANSWERS)}")
