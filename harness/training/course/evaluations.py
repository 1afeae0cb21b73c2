"""When a training is evaluated, what an evaluation keeps, and the row that it adds to the curve.

The checkpoint that a table reports is chosen in the analysis; the rank of a point only decides which tensors are kept.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from harness.store.attempt_folder import CURVE
from harness.training import trained_tensors
from harness.training.course import divergence
from harness.training.course.work import Work
from harness.training.score import Scored, score


@dataclass(frozen=True)
class Point:
    """An evaluation: scores by split name, and the trained tensors as they were."""

    step: int
    scores: Mapping[str, Scored]
    tensors: Mapping[str, torch.Tensor]

    def rank(self, metric: str) -> tuple[float, float]:
        """Return (validation score, minus the validation loss): the better of two points compares higher."""
        validation = self.scores["validation"]
        return validation.figures[metric], -validation.loss


@dataclass(frozen=True)
class Fitted:
    """best: of the evaluations of the last stage, the first that no other beats. last: after the last step.

    Where nothing trains, both are the evaluation before training.
    """

    best: Point
    last: Point

    def points(self) -> dict[str, Point]:
        """Return checkpoint -> its point."""
        return {"best": self.best, "last": self.last}


def evaluate(work: Work, step: int, train_loss: float | None, rate: float) -> Point:
    """Score validation and tests, and add a row to the curve."""
    tokens, metric = work.recipe.evaluation_tokens, work.task.metric
    with work.meter.phase("evaluate"):
        scores = {name: score(work.model, work.objective, work.splits[name], metric, tokens) for name in work.evaluated}
    validation = scores["validation"]
    row = {
        "step": step, "train_loss": train_loss, "validation_loss": validation.loss, "learning_rate": rate,
        "tokens": work.meter.tokens, "seconds": work.meter.train_s,
        "scores": {name: scored.figures[metric] for name, scored in scores.items()},
    }  # fmt: skip
    work.curve.append(row)
    work.folder.append(CURVE, row)
    divergence.check(work.curve)
    return Point(step, scores, trained_tensors.tensors(work.model))


def following(own: range, done: int, every: int) -> int:
    """Return after how many steps of the training the next evaluation comes: each `every` steps of a stage, which has
    the steps `own`, and at its end.

    done: how many steps have been taken.
    """
    return min(done - (done - own.start) % every + every, own.stop)


def as_plain(point: Point) -> dict[str, Any]:
    """Return a point as plain values and tensors, for a checkpoint."""
    scores = {name: dict(vars(scored)) for name, scored in point.scores.items()}
    return {"step": point.step, "scores": scores, "tensors": dict(point.tensors)}


def from_plain(saved: Mapping[str, Any]) -> Point:
    """Return the point that `as_plain` described."""
    return Point(saved["step"], {name: Scored(**of) for name, of in saved["scores"].items()}, saved["tensors"])
