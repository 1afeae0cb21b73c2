"""Learning rates that validation cannot tell apart, and what a comparison would be at each of them.

A search chooses one rate by its validation score. Other rates can be as good by the error of the validation rows alone,
and what a model forgets differs between them by up to ten times. So a verdict on forgetting has to hold at each one.
Which rates count as equally good follows the one-standard-error rule (Hastie et al. 2009, The Elements of Statistical
Learning, section 7.10): those whose score is within one standard error of the best.

The trials of the search say how far another rate moves the estimate on the tuning seeds. A verdict is withdrawn where
the moved estimate lies on the other side of the margin by more than the noise of seeds explains (one-sided Student's t
at 5 %, divided by the number of pairs of rates). Simulated, a verdict that every rate shares is withdrawn in at most
5 % (tests/harness/analysis/robustness).
"""

import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import stats

from harness.analysis.study import open_rates, statistics
from harness.analysis.study.study import Study
from harness.experiments.verdict import Comparison
from harness.formatting import rate
from tasks.metrics.label_metrics import BY_ROW

if TYPE_CHECKING:
    import pandas as pd

DECIDED = ("reproduced", "contradicted")
ALPHA = 0.05
Row = Mapping[Any, Any]
Difference = Callable[[Row, Row], float]
"""From a cell of left and one of right, rows of scores with their probes, to the claim's estimate; NaN unmeasured."""


@dataclass(frozen=True)
class Moved:
    """How far equally good rates move an estimate.

    - shifts: the least and the most that pairs of rates add to the estimate, mean over tasks, among those that were
      measured; empty where none was.
    - pairs: how many were measured. unmeasured: how many were not. tries: the fewest tuning seeds of a rate.
    - rates: arm -> the equally good rates, for those arms that have several.
    """

    shifts: tuple[float, ...]
    pairs: int
    unmeasured: int
    tries: int
    rates: Mapping[str, tuple[float, ...]]


class Trials:
    """The cells of a study by arm, task, and rate: those on the tuning seeds, and the reported ones."""

    def __init__(self, study: Study) -> None:
        rows = study.scores[study.scores.checkpoint == "best"]
        tuning = rows.seed.isin(study.tuning_seeds)
        self._scores = dict(iter(rows[tuning & (rows.role == "validation")].groupby(["arm", "task"], sort=False)))
        trials = rows[tuning & (rows.role == study.role)].drop_duplicates(["key"])
        self._trials = _records(trials, ["arm", "task", "learning_rate"])
        selected = study.selected[study.selected.role == study.role].drop_duplicates(["key"])
        self._reported = _records(selected, ["arm", "task"])

    def equally_good(self, arm: str, task: str) -> tuple[float, ...]:
        """Return the rates of an arm that validation cannot tell from the best, in order; empty where no tuning seed
        tried several.
        """
        rows = self._scores.get((arm, task))
        if rows is None or rows.learning_rate.nunique() < 2:
            return ()
        if not set(rows.metric) <= BY_ROW or rows.rows.isna().any():
            return ()
        means = rows.groupby("learning_rate").score.mean()
        # Tuning seeds share the validation rows, so more of them do not make their error smaller.
        best, count = np.asarray(means.max(), float), np.asarray(rows.rows.max(), float)
        error = math.sqrt(float(statistics.row_variance(best, count)))
        scored = zip(means.index.to_numpy(float), means.to_numpy(float), strict=True)
        return tuple(float(tried) for tried, score in scored if score >= best - error)

    def at(self, arm: str, task: str, tried: float | None) -> list[Row]:
        """Return the trials of an arm at a rate; the reported cells where it has none, or without a rate."""
        trials = self._trials.get((arm, task, tried), []) if tried is not None else []
        return trials or self._reported.get((arm, task), [])

    def chosen(self, arm: str, task: str) -> float | None:
        """Return the rate at which an arm is reported; None without reported cells."""
        cells = self._reported.get((arm, task))
        return float(cells[0]["learning_rate"]) if cells else None


def _records(rows: "pd.DataFrame", by: list[str]) -> dict[Any, list[Row]]:
    grouped: dict[Any, list[Row]] = {}
    for row in rows.to_dict("records"):
        grouped.setdefault(tuple(row[name] for name in by), []).append(row)
    return grouped


def at_each(
    study: Study,
    rows: Sequence[Comparison],
    tasks: Sequence[str],
    difference: Difference,
    margin: float,
    describe: Callable[[Comparison], str],
) -> tuple[tuple[Comparison, ...], list[str]]:
    """Return the comparisons "above" their margin, inconclusive where their verdict does not hold at each of the rates
    that validation cannot tell apart, and notes on these rates.

    tasks: those that the comparisons are over. describe: what a sentence says of a comparison.
    """
    trials = Trials(study)
    moves = [moved(trials, (row.left, row.right), tasks, difference) for row in rows]
    judged = tuple(_judged(row, move, margin) for row, move in zip(rows, moves, strict=True))
    return judged, [line for row, move in zip(rows, moves, strict=True) for line in _note(row, move, describe)]


def moved(trials: Trials, arms: tuple[str, str], tasks: Sequence[str], difference: Difference) -> Moved | None:
    """Return what equally good rates do to a comparison; None where neither arm has several on one of the tasks."""
    several: dict[str, set[float]] = {}
    by_task: list[list[float]] = []
    tries: float = math.inf
    for task in tasks:
        rates = [trials.equally_good(arm, task) for arm in arms]
        for arm, tied in zip(arms, rates, strict=True):
            several.setdefault(arm, set()).update(tied if len(tied) > 1 else ())
        usual = [trials.chosen(arm, task) for arm in arms]
        pairs = itertools.product(*(tied or (known,) for tied, known in zip(rates, usual, strict=True)))
        start = [trials.at(arm, task, known) for arm, known in zip(arms, usual, strict=True)]
        base, shifts = _mean(difference, *start), []
        for pair in pairs:
            cells = [trials.at(arm, task, tried) for arm, tried in zip(arms, pair, strict=True)]
            shifts.append(_mean(difference, *cells) - base)
            tries = min(tries, *(len(each) for each in cells))
        by_task.append(shifts)
    named = {arm: tuple(sorted(tied)) for arm, tied in several.items() if tied}
    if not named:
        return None
    known = [[shift for shift in shifts if not math.isnan(shift)] for shifts in by_task]
    count, tried = sum(map(len, known)), sum(map(len, by_task))
    ends = tuple(float(np.mean([end(shifts or [0.0]) for shifts in known])) for end in (min, max)) if count else ()
    return Moved(ends, count, tried - count, max(1, int(tries)), named)


def _mean(difference: Difference, left: Sequence[Row], right: Sequence[Row]) -> float:
    """Return the mean estimate over seeds that both have, over all pairs of cells where they share none."""
    shared = [(first, second) for first in left for second in right if first["seed"] == second["seed"]]
    pairs = shared or list(itertools.product(left, right))
    return float(np.mean([difference(*pair) for pair in pairs])) if pairs else math.nan


def _judged(row: Comparison, move: Moved | None, margin: float) -> Comparison:
    """Return a comparison, inconclusive where its verdict does not hold at equally good rates."""
    if move is None or row.verdict not in DECIDED or row.estimate is None:
        return row
    sign = 1.0 if row.verdict == "reproduced" else -1.0
    beyond = [sign * (margin - row.estimate - shift) for shift in move.shifts]
    if not beyond or max(beyond) <= _noise(row, move):
        return row
    own = replace(row.test, verdict="inconclusive", p=1.0) if row.test else None
    return replace(
        row,
        verdict="inconclusive",
        reason=open_rates.TIED,
        p=1.0,
        seeds=None,
        fewest=None,
        most=None,
        rows=None,
        test=own,
    )


def _noise(row: Comparison, move: Moved) -> float:
    """Return how far seeds alone may move an estimate: the tuning seeds twice, and the reported ones; 0 if unknown."""
    own = row.test
    if own is None or math.isnan(own.sd) or own.df <= 0 or math.isnan(own.se):
        return 0.0
    error = math.sqrt(2 * own.sd**2 / move.tries + own.se**2)
    return float(stats.t.ppf(1 - ALPHA / move.pairs, own.df)) * error


def _note(row: Comparison, move: Moved | None, describe: Callable[[Comparison], str]) -> Iterator[str]:
    """Yield what a comparison is at equally good rates, and whether some were not measured; nothing without any."""
    if move is None:
        return
    named = "; ".join(f"{arm} {', '.join(map(rate, rates))}" for arm, rates in move.rates.items())
    text = f"{row.left} against {row.right}: validation cannot tell these learning rates apart: {named}"
    if move.shifts and row.estimate is not None:
        ends = (min(move.shifts), max(move.shifts))
        low, high = (describe(replace(row, estimate=row.estimate + end, low=None, high=None)) for end in ends)
        text += f"; by the trials at these rates {low}" + (f", or {high}" if high != low else "")
    yield text + ("; some of these rates were not measured" if move.unmeasured else "")
