"""How an architecture reads an example: one file per objective, found by its name. Torch-free until `make`.

An objective turns rows into token ids, gives the loss of a batch and the predictions of a batch; see `base.py`.
"""

import importlib
from collections.abc import Mapping
from typing import TYPE_CHECKING

from harness.errors import NotApplicable, UsageError, near
from harness.models.head import Head
from harness.training.objectives.settings import USUAL, Reading
from methods import registry as methods

if TYPE_CHECKING:
    from harness.models.text_tokens import Text
    from harness.training.objectives.base import Objective
    from tasks.base import Task

ANSWERS: Mapping[str, tuple[str, ...]] = {
    "seq2seq": ("label", "choice", "text", "number"),
    "causal": ("label", "choice", "text", "number"),
    "masked": ("label",),
    "classifier": ("label", "choice", "number"),
}
"""Objective -> the values of `Task.kind` that it can answer."""

HEADED = ("classifier",)
"""The objectives that put a head on the backbone, which trains beside the method."""


def has_head(name: str) -> bool:
    """Return whether an objective puts a head on the backbone."""
    return name in HEADED


def trains_nothing(method: str, objective: str) -> bool:
    """Return whether nothing trains in the cells of a method.

    It only evaluates, or it trains a head alone and the objective has none.
    """
    known = methods.catalogue().get(method)
    return known is not None and (known.evaluation_only or (known.only_head and not has_head(objective)))


def check(name: str, answer: str) -> None:
    """Raise UsageError for an unknown objective, NotApplicable for a kind of answer that it cannot give."""
    _known(name)
    if answer not in ANSWERS[name]:
        able = ", ".join(other for other, answers in ANSWERS.items() if answer in answers)
        raise NotApplicable(f"objective {name} cannot give the answers of a {answer!r} task; these can: {able}.")


def make(name: str, task: "Task", text: "Text", reading: Reading = USUAL) -> "Objective":
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
