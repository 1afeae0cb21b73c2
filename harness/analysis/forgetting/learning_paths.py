"""Learning and forgetting of each cell over its steps, by the probe `forgetting` and the cell's own curve."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.analysis.study import selection
from harness.analysis.study.selection import Panel
from harness.analysis.study.study import Study

if TYPE_CHECKING:
    import pandas as pd

PROBE = "forgetting"


@dataclass(frozen=True)
class Path:
    """One cell's way: `scores` on the reported sets, 0 to 1, and `rises` of the loss, in nats per word, at `steps`."""

    steps: tuple[int, ...]
    scores: tuple[float, ...]
    rises: tuple[float, ...]

    def rise_at(self, score: float) -> float:
        """Return the rise where this score is first reached, between two steps by a straight line; NaN where never."""
        for place, (reached, rise) in enumerate(zip(self.scores, self.rises, strict=True)):
            if reached < score:
                continue
            if place == 0:
                return rise
            before, low = self.scores[place - 1], self.rises[place - 1]
            return low + (rise - low) * (score - before) / (reached - before)
        return math.nan


def result(probed: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the probe's result in a record's `probes`; empty where there is none."""
    outcome: Mapping[str, Any] = probed.get(PROBE) or {}
    return outcome if outcome.get("status") == "done" else {}


def rise(probed: Mapping[str, Any]) -> float:
    """Return how far the loss rose by the last step, in nats per word; NaN where it was not measured."""
    losses = result(probed).get("pretraining_loss") or ()
    return float(losses[-1] - losses[0]) if losses else math.nan


def rows(study: Study) -> "pd.DataFrame":
    """Return one reported row per selected cell."""
    return study.selected[study.selected.role == study.role].drop_duplicates(["key"])


def of_cells(study: Study, values: Sequence[float]) -> Panel:
    """Return values of the cells of `rows` as a panel."""
    return selection.panel(rows(study).assign(score=values, set=PROBE), study.role, study.exhibit.methods())


def rises(study: Study) -> Panel:
    """Return the rise of each cell at its last step in place of its score."""
    return of_cells(study, [rise(probed) for probed in rows(study).probes])


def paths(study: Study) -> dict[str, Path]:
    """Return key -> the cell's way. The score at a step is that of the curve, between two of its points by a straight
    line.
    """
    own, scored = rows(study), curves(study)
    made = {key: path(scored, key, probed) for key, probed in zip(map(str, own.key), own.probes, strict=True)}
    return {key: way for key, way in made.items() if way}


def curves(study: Study) -> "dict[str, pd.Series[float]]":
    """Return key -> the mean score on the reported sets by step, of every cell."""
    means = study.curves[study.curves.role == study.role].groupby(["key", "step"]).score.mean()
    return {str(key): curve.droplevel("key") for key, curve in means.groupby("key")}


def path(scored: "Mapping[str, pd.Series[float]]", key: str, probed: Mapping[str, Any]) -> Path | None:
    """Return the way of one cell; None where it was not measured or has no curve. scored: as `curves` returns it."""
    outcome, points = result(probed), scored.get(key)
    if not outcome.get("pretraining_loss") or points is None:
        return None
    losses = outcome["pretraining_loss"]
    scores = np.interp(outcome["steps"], points.index.to_numpy(float), points.to_numpy(float))
    above = tuple(float(loss - losses[0]) for loss in losses)
    return Path(tuple(outcome["steps"]), tuple(map(float, scores)), above)


def at_equal_score(study: Study, left: str, right: str) -> Panel:
    """Return two arms' rises at the first step at which each reaches the lower of the two final scores of its seed."""
    made, whole = paths(study), rises(study)
    pair = selection.only(whole, (left, right))
    values = np.full(pair.values.shape, np.nan)
    for task, seed in np.ndindex(values.shape[1:]):
        values[:, task, seed] = where_equal(*(made.get(str(key)) for key in pair.keys[:, task, seed]))
    return replace(pair, values=values)


def where_equal(left: Path | None, right: Path | None) -> tuple[float, float]:
    """Return both rises at the first step at which each reaches the lower of the two final scores; NaN unmeasured."""
    if left is None or right is None:
        return math.nan, math.nan
    score = min(left.scores[-1], right.scores[-1])
    return left.rise_at(score), right.rise_at(score)


def on_every_task(known: "pd.DataFrame") -> "pd.DataFrame":
    """Return the rows of the arms that have a cell on each task that is there: another arm's mean would be over others.

    known: rows of cells that were measured.
    """
    tasks = known.groupby("arm").task.transform("nunique")
    return known[tasks == known.task.nunique()]


def mean_over_tasks(known: "pd.DataFrame", values: Mapping[str, Sequence[float]]) -> "np.ndarray[Any, Any]":
    """Return the mean over tasks of the means over seeds, [N], of one arm's cells. values: key -> its values, [N]."""
    by_task = [[values[str(key)] for key in part.key] for _, part in known.groupby("task", sort=False)]
    mean: np.ndarray[Any, Any] = np.mean([np.mean(part, axis=0) for part in by_task], axis=0)
    return mean
