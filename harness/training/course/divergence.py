"""When a training has diverged: its loss is no number, or hopelessly large."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

FACTOR, LEAST_LOSS, ROWS = 10.0, 100.0, 3
"""Hopeless: the mean training loss between two evaluations was above FACTOR times the validation loss at the start,
and above LEAST_LOSS nats (guessing evenly among 32,000 words costs 10), ROWS times in a row."""


class Diverged(RuntimeError):
    """The training diverged: this is the cell's result, not a fault of the program."""

    status = "diverged"

    def __init__(self, step: int, rule: str) -> None:
        super().__init__(f"diverged at step {step}: {rule}")
        self.step, self.rule = step, rule


def check_loss(loss: float, step: int) -> None:
    """Raise Diverged where the loss of a step, numbered from 1, is no number."""
    if not math.isfinite(loss):
        raise Diverged(step, f"the training loss is {loss}")


def check(curve: Sequence[Mapping[str, Any]]) -> None:
    """Raise Diverged where the rows so far, the first of them from before training, show that training diverges."""
    step, loss = curve[-1]["step"], curve[-1]["validation_loss"]
    if not math.isfinite(loss):
        raise Diverged(step, f"the validation loss is {loss}")
    limit = max(FACTOR * curve[0]["validation_loss"], LEAST_LOSS)
    last = curve[1:][-ROWS:]
    if len(last) == ROWS and all(row["train_loss"] > limit for row in last):
        raise Diverged(
            step, f"the training loss was above {limit:.4g} ({FACTOR:g} x the start's) {ROWS} times in a row"
        )
