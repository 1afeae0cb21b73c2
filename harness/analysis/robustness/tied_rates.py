"""Learning rates that validation cannot tell apart, and what a comparison would be at each of them.

A search chooses one rate by its validation score. Other rates can be as good by the error of the validation rows alone,
and what a model forgets differs between them by up to ten times. So a verdict on forgetting has to hold at each one.
Which rates count as equally good follows the one-standard-error rule (Hastie et al. 2009, The Elements of Statistical
Learning, section 7.10): those whose score is within one standard error of the best.
"""

import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.analysis.study import statistics
from harness.analysis.study.study import Study
from harness.experiments.verdict import Comparison
from harness.formatting import rate
from tasks.metrics.label_metrics import BY_ROW

if TYPE_CHECKING:
    import pandas as pd

DECIDED = ("reproduced", "contradicted")
DOUBT = "at learning rates that validation cannot tell apart it would be decided otherwise"
Difference = Callable[[Mapping[str, Any], Mapping[str, Any]], float]
"""From a trial of left and one of right, rows of scores with their probes, to the claim's estimate; NaN unmeasured."""


@dataclass(frozen=True)
class Span:
    """The lowest and the highest estimate over equally good rates, mean over tasks and tuning seeds; NaN unmeasured.

    rates: arm -> the rates, for those arms that have several.
    """

    low: float
    high: float
    rates: Mapping[str, tuple[float, ...]]


def of(study: Study, arm: str, task: str) -> tuple[float, ...]:
    """Return the equally good rates of an arm on a task, in order; empty where no tuning seed tried several."""
    rows = _trials(study, arm, task, "validation")
    if rows.empty or rows.learning_rate.nunique() < 2 or not set(rows.metric) <= BY_ROW or rows.rows.isna().any():
        return ()
    means = rows.groupby("learning_rate").score.mean()
    count = float(rows[rows.learning_rate == means.idxmax()].rows.sum())
    best = float(means.max())
    error = math.sqrt(statistics.row_variance(np.float64(best), np.float64(count)))
    return tuple(float(tried) for tried, score in means.items() if score >= best - error)


def span(study: Study, left: str, right: str, difference: Difference) -> Span | None:
    """Return the span of a comparison; None where neither arm has several equally good rates on a judged task."""
    lows, highs = [], []
    several: dict[str, set[float]] = {}
    for task in study.judged.tasks:
        tried = {arm: of(study, arm, task) for arm in (left, right)}
        for arm, rates in tried.items():
            several.setdefault(arm, set()).update(rates if len(rates) > 1 else ())
        estimated = [_at(study, task, (left, right), pair, difference) for pair in itertools.product(*tried.values())]
        lows.append(np.min(estimated or [math.nan]))
        highs.append(np.max(estimated or [math.nan]))
    rates = {arm: tuple(sorted(values)) for arm, values in several.items() if values}
    return Span(float(np.mean(lows)), float(np.mean(highs)), rates) if rates else None


def _at(study: Study, task: str, arms: tuple[str, str], rates: tuple[float, ...], difference: Difference) -> float:
    """Return the mean over tuning seeds of the estimate with each arm at one rate; NaN unmeasured."""
    sides = []
    for arm, tried in zip(arms, rates, strict=True):
        rows = _trials(study, arm, task, study.role)
        at_rate = rows[rows.learning_rate == tried].drop_duplicates(["key"])
        sides.append({row["seed"]: row for row in at_rate.to_dict("records")})
    estimated = [difference(sides[0][seed], sides[1][seed]) for seed in sides[0] if seed in sides[1]]
    return float(np.mean(estimated)) if estimated else math.nan


def _trials(study: Study, arm: str, task: str, role: str) -> "pd.DataFrame":
    """Return the best checkpoints of an arm on the tuning seeds."""
    rows = study.scores
    there = rows.seed.isin(study.tuning_seeds) & (rows.arm == arm) & (rows.task == study.task_of(task))
    return rows[there & (rows.role == role) & (rows.checkpoint == "best")]


def at_each(
    study: Study, rows: Sequence[Comparison], difference: Difference, margin: float
) -> tuple[tuple[Comparison, ...], list[str]]:
    """Return the comparisons "above" their margin, inconclusive where their verdict does not hold at each of the rates
    that validation cannot tell apart, and notes on these rates.
    """
    spans = [span(study, row.left, row.right, difference) for row in rows]
    judged = tuple(_judged(row, extremes, margin) for row, extremes in zip(rows, spans, strict=True))
    return judged, [line for row, extremes in zip(rows, spans, strict=True) for line in _note(row, extremes)]


def _judged(row: Comparison, extremes: Span | None, margin: float) -> Comparison:
    """Return a comparison, inconclusive where its verdict does not hold at equally good rates."""
    if extremes is None or row.verdict not in DECIDED:
        return row
    holds = extremes.low > margin if row.verdict == "reproduced" else extremes.high <= margin
    if holds or math.isnan(extremes.low) or math.isnan(extremes.high):
        return row
    own = replace(row.test, verdict="inconclusive", p=1.0) if row.test else None
    return replace(
        row, verdict="inconclusive", reason=DOUBT, p=1.0, seeds=None, fewest=None, most=None, rows=None, test=own
    )


def _note(row: Comparison, extremes: Span | None) -> Iterator[str]:
    """Yield what a comparison is at equally good rates, or that nobody measured it; nothing where there are none."""
    if extremes is None:
        return
    named = "; ".join(f"{arm} {', '.join(map(rate, rates))}" for arm, rates in extremes.rates.items())
    between = f"{row.left} against {row.right}: validation cannot tell these learning rates apart: {named}"
    if math.isnan(extremes.low) or math.isnan(extremes.high):
        yield f"{between}; what they would change was not measured"
    else:
        ends = f"from {extremes.low:.2f} to {extremes.high:.2f}"
        yield f"{between}; with them the difference on the tuning seeds is {ends}"
