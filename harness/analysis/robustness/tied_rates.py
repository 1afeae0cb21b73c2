"""Learning rates that validation cannot tell apart, and what a comparison would be at each of them.

A search chooses one rate by its validation score. Other rates can be as good by the error of the validation rows alone,
and what a model forgets differs between them by up to ten times. So a verdict on forgetting has to hold at each one.
Which rates count as equally good follows the one-standard-error rule (Hastie et al. 2009, The Elements of Statistical
Learning, section 7.10): those whose score is within one standard error of the best.

The trials of the search say how far another rate moves the estimate on the tuning seeds. A verdict is withdrawn where
the moved estimate lies on the other side of the margin, by more than the noise of seeds adds on average to the largest
of so many moves. That is the best guess, and no proof is waited for: one tuning seed could hardly give it. Simulated
with five seeds, one tuning seed and 2 to 16 combinations (tests/benchmarks/tied_rates.py), a verdict that every rate
shares is withdrawn in 0 to 5.4 %. Where one arm is on the other side at one of its rates, by four times the spread of
its seeds, 76 to 96 % are withdrawn.
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
Row = Mapping[Any, Any]
Measure = Callable[..., float]
"""From a cell of each side, rows of scores with their probes, to the claim's estimate; NaN where none was measured."""
Place = tuple[str, str]
"""An arm and a task."""
Sides = Sequence[tuple[Place, ...]]
"""What a comparison is a mean over: each time the places that are compared, or the single one that is judged."""


@dataclass(frozen=True)
class Moved:
    """How far equally good rates move an estimate.

    - shifts: the least and the most that combinations of rates add to the estimate, mean over tasks, among those that
      were measured; empty where none was.
    - combinations: how many were measured. unmeasured: how many were not. tries: the fewest tuning seeds of a rate.
    - rates: arm -> the equally good rates, for those arms that have several.
    """

    shifts: tuple[float, ...]
    combinations: int
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


def on_each(tasks: Sequence[str]) -> Callable[[Comparison], Sides]:
    """Return the function that gives the sides of a comparison of two arms, on each of the tasks."""
    return lambda row: [((row.left, task), (row.right, task)) for task in tasks]


def at_each(
    study: Study,
    rows: Sequence[Comparison],
    sides: Callable[[Comparison], Sides],
    measure: Measure,
    margin: float,
    describe: Callable[[Comparison], str],
) -> tuple[tuple[Comparison, ...], list[str]]:
    """Return the comparisons "above" their margin or "at least" minus it, inconclusive where their verdict does not
    hold at each of the rates that validation cannot tell apart, and notes on these rates.

    describe: what a sentence says of a comparison.
    """
    trials = Trials(study)
    moves = [moved(trials, sides(row), measure) for row in rows]
    judged = tuple(_judged(row, move, margin) for row, move in zip(rows, moves, strict=True))
    return judged, [line for row, move in zip(rows, moves, strict=True) for line in _note(row, move, describe)]


def moved(trials: Trials, sides: Sides, measure: Measure) -> Moved | None:
    """Return what equally good rates do to a comparison; None where no side has several."""
    several: dict[str, set[float]] = {}
    shifts_of: list[list[float]] = []
    tries: float = math.inf
    for places in sides:
        rates = [trials.equally_good(*place) for place in places]
        for (arm, _), tied in zip(places, rates, strict=True):
            several.setdefault(arm, set()).update(tied if len(tied) > 1 else ())
        usual = tuple(trials.chosen(*place) for place in places)
        base = _mean(measure, _cells(trials, places, usual))
        shifts = []
        for combination in itertools.product(*(tied or (own,) for tied, own in zip(rates, usual, strict=True))):
            cells = _cells(trials, places, combination)
            shifts.append(_mean(measure, cells) - base)
            tries = min(tries, *(len(each) for each in cells))
        shifts_of.append(shifts)
    named = {arm: tuple(sorted(tied)) for arm, tied in several.items() if tied}
    if not named:
        return None
    known = [[shift for shift in shifts if not math.isnan(shift)] for shifts in shifts_of]
    count, tried = sum(map(len, known)), sum(map(len, shifts_of))
    ends = tuple(float(np.mean([end(shifts or [0.0]) for shifts in known])) for end in (min, max)) if count else ()
    return Moved(ends, count, tried - count, max(1, int(tries)), named)


def _cells(trials: Trials, places: tuple[Place, ...], rates: Sequence[float | None]) -> list[list[Row]]:
    """Return the cells of each place at its rate."""
    return [trials.at(*place, own) for place, own in zip(places, rates, strict=True)]


def _mean(measure: Measure, cells: Sequence[Sequence[Row]]) -> float:
    """Return the mean estimate over seeds that all sides have, over all combinations of cells where they share none."""
    together = list(itertools.product(*cells))
    shared = [rows for rows in together if len({row["seed"] for row in rows}) == 1]
    return float(np.mean([measure(*rows) for rows in shared or together])) if together else math.nan


def _judged(row: Comparison, move: Moved | None, margin: float) -> Comparison:
    """Return a comparison, inconclusive where its verdict does not hold at equally good rates."""
    if move is None or row.verdict not in DECIDED or row.estimate is None:
        return row
    sign, limit = 1.0 if row.verdict == "reproduced" else -1.0, -margin if row.relation == "at least" else margin
    beyond = [sign * (limit - row.estimate - shift) for shift in move.shifts]
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
    """Return how far seeds alone move an estimate on average, at the combination that they move most; 0 if unknown.

    The tuning seeds count twice, and the reported ones once. The mean of the largest of many normal numbers is that of
    Blom (1958, Statistical Estimates and Transformed Beta-Variables).
    """
    own = row.test
    if own is None or math.isnan(own.sd) or own.df <= 0 or math.isnan(own.se):
        return 0.0
    error = math.sqrt(2 * own.sd**2 / move.tries + own.se**2)
    return largest_of(move.combinations) * error


def largest_of(count: int) -> float:
    """Return the mean of the largest of so many standard normal numbers."""
    return float(stats.norm.ppf((count - 0.375) / (count + 0.25)))


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
