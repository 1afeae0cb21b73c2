"""Estimates from a panel: scores, normalised scores and ranks, with intervals and the cells behind them."""

import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace

import numpy as np

from harness.analysis.study import row_errors, statistics
from harness.analysis.study.selection import Panel
from harness.analysis.study.statistics import Array, Interval


@dataclass(frozen=True)
class Estimate:
    """An estimate: `main` with `beside` (the other kind of interval), and the keys of its cells.

    sides: the cells of left and of right, of a difference of two scores.
    reason: why there is no number, where there is none.
    at_best: the estimate with the highest possible score in these cells; None where it is not known.
    among: of how many estimates this is the one that is least surely above. One of so many is below the margin by luck
    more often than a single one, so the p of such a verdict is multiplied by it.
    """

    main: Interval
    beside: Interval
    keys: tuple[str, ...] = ()
    reason: str = ""
    sides: tuple[tuple[str, ...], tuple[str, ...]] = ((), ())
    at_best: "Callable[[Collection[str]], Estimate] | None" = None
    among: int = 1


UNLEARNT = "the ceiling is not above the floor on any task"
NOTHING = Interval(np.nan, np.nan, np.nan)


def absent(reason: str) -> Estimate:
    """Return an estimate without a number, with the reason."""
    return Estimate(NOTHING, NOTHING, reason=reason)


def fixed(value: float, keys: tuple[str, ...]) -> Estimate:
    """Return a value that holds by definition, without an interval."""
    certain = Interval(value, value, value)
    return Estimate(certain, certain, keys)


def score(panel: Panel, arm: str, task: int | None = None) -> Estimate:
    """Return the score of one arm on one task, or its mean over tasks, for which every task must have a score."""
    values = panel.of(arm) if task is None else panel.of(arm)[task : task + 1]
    if np.isnan(values).all(axis=1).any():
        return absent("no finished cell" if task is not None else missing(panel, arm))
    keys = panel.keys[panel.arms.index(arm)]
    cells = (keys if task is None else keys[task]).flat
    at = range(len(panel.tasks)) if task is None else [task]
    main, beside = statistics.interval(values)
    main = statistics.with_rows(main, row_errors.of_arms(panel.at(at), [arm]))
    if panel.bounds:
        low, high = np.mean([panel.bounds[index] for index in at], axis=0)
        main, beside = clip(main, low, high), clip(beside, low, high)
    return Estimate(main, beside, keys=tuple(str(key) for key in cells if key))


def missing(panel: Panel, arm: str) -> str:
    """Return the tasks without which an arm has no mean, as 'no score on a, b'."""
    gone = np.all(np.isnan(panel.of(arm)), axis=1)
    return "no score on " + ", ".join(task for task, none in zip(panel.tasks, gone, strict=True) if none)


def difference(panel: Panel, left: str, right: str) -> Estimate:
    """Return the mean over tasks of left - right, paired by seed, for new seeds and test rows.

    Only seeds that both arms have count.
    """
    values = panel.of(left) - panel.of(right)
    if not panel.tasks:
        return absent(UNLEARNT)
    if not values.size or np.isnan(values).all(axis=1).any():
        return absent("no seed was run for both on every task")
    main, beside = statistics.interval(values)
    if panel.by_row.all():
        main = clip(statistics.with_rows(main, row_errors.of_arms(panel, [left, right])), -1, 1)
    sides = panel.cells(left), panel.cells(right)
    again = raised(panel, lambda other: difference(other, left, right))
    return Estimate(main, beside, keys=sides[0] + sides[1], sides=sides, at_best=again)


def raised(panel: Panel, estimate: Callable[[Panel], Estimate]) -> Callable[[Collection[str]], Estimate] | None:
    """Return `Estimate.at_best` of an estimate from this panel."""
    return (lambda keys: estimate(panel.at_best(keys))) if math.isfinite(panel.best) else None


def between(panel: Panel, arm: str, left: int, right: int) -> Estimate:
    """Return one arm's score in column `left` less that in column `right`, paired by seed, for new seeds and
    test rows.
    """
    columns = panel.at([left]), panel.at([right])
    values = columns[0].of(arm) - columns[1].of(arm)
    if np.isnan(values).all():
        return absent("no seed was run for both")
    main, beside = statistics.interval(values)
    error = row_errors.of_terms(panel, [(1.0, arm, left), (-1.0, arm, right)])
    sides = columns[0].cells(arm), columns[1].cells(arm)
    again = raised(panel, lambda other: between(other, arm, left, right))
    return Estimate(statistics.with_rows(main, error), beside, keys=sides[0] + sides[1], sides=sides, at_best=again)


def floor_values(panel: Panel, floor: str | None) -> Array:
    """Return the 0 of the normalised score, [T, S]: on each task the better of the floor arm and guessing."""
    guessing = np.repeat(panel.base[:, None], len(panel.seeds), axis=1)
    if not floor:
        return guessing
    return np.where(above_guessing(panel, floor)[:, None], panel.of(floor), guessing)


def above_guessing(panel: Panel, arm: str) -> "np.ndarray[tuple[int, ...], np.dtype[np.bool_]]":
    """Return the tasks, [T], where the arm's mean is not below guessing, or guessing is not known."""
    known = ~np.isnan(panel.of(arm))
    sums, counts = np.where(known, panel.of(arm), 0).sum(axis=1), known.sum(axis=1)
    means = np.where(counts > 0, sums / np.maximum(counts, 1), -np.inf)
    return np.isnan(panel.base) | (means >= panel.base)


def clear_of_guessing(panel: Panel, arm: str) -> list[bool]:
    """Return the tasks, [T], where the arm's mean is 3 standard errors above guessing, or guessing is not known."""
    guessing = np.repeat(panel.base[:, None], len(panel.seeds), axis=1)
    good = learnt(panel, guessing, panel.of(arm))
    return [clear or bool(np.isnan(base)) for clear, base in zip(good, panel.base, strict=True)]


def scalable(panel: Panel, floor: Array, ceiling: Array) -> list[bool]:
    """Return the tasks, [T], where ceiling - floor is at least 3 standard errors of this difference."""
    return [
        _clear(above - below, [mean for mean in (_mean(below), _mean(above)) if mean != guess], rows)
        for below, above, guess, rows in zip(floor, ceiling, panel.base, panel.rows, strict=True)
    ]


def learnt(panel: Panel, floor: Array, ceiling: Array) -> list[bool]:
    """Return the tasks, [T], where the ceiling is above the floor's mean by at least 3 of its own standard errors."""
    by_task = zip(floor, ceiling, panel.rows, strict=True)
    return [_clear(above - _mean(below), [_mean(above)], rows) for below, above, rows in by_task]


def _clear(gaps: Array, drawn: Sequence[float], rows: float) -> bool:
    """Return whether the mean of these gaps, [S], is 3 standard errors above 0.

    The error is the larger of that over seeds and that of the drawn means from their number of test rows: few seeds
    can agree by luck.
    """
    gap = statistics.over_seeds(gaps)
    sampling = math.sqrt(sum(max(0.0, mean * (1 - mean)) for mean in drawn) / rows) if rows > 0 else 0.0
    return gap.mean > 0 and gap.mean >= 3 * max(sampling, 0.0 if math.isnan(gap.se) else gap.se)


def _mean(values: Array) -> float:
    """Return the mean; NaN without values."""
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else math.nan


def normalised(panel: Panel, arm: str, floor: str | None, ceiling: str | None) -> Estimate:
    """Return (score - floor) / (ceiling - floor), mean over the tasks where this ratio is defined.

    The bootstrap computes the ratio inside every resample. The t interval is of the ratio's linear part in
    each draw: e = (a - f - r (c - f)) / mean(c - f), with r the ratio of the means.
    """
    if ceiling is None:
        return absent("no ceiling in these cells")
    a, f, c = panel.of(arm), floor_values(panel, floor), panel.of(ceiling)
    keep = np.array(scalable(panel, f, c), dtype=bool)
    if not keep.any():
        return absent("ceiling - floor is below 3 standard errors on every task")
    keys = panel.cells(*dict.fromkeys(name for name in (arm, floor, ceiling) if name))
    if arm == ceiling or (arm == floor and above_guessing(panel, arm)[keep].all()):
        return fixed(float(arm == ceiling), keys)
    joint = np.stack([a, f, c])[:, keep]
    joint = np.where(np.isnan(joint).any(axis=0), np.nan, joint)
    if np.isnan(joint[0]).all(axis=1).any():
        return absent(missing(panel, arm) if np.isnan(a).all(axis=1).any() else "no seed was run for both")
    main, beside = _ratio(joint)
    means = np.nanmean(joint, axis=2)
    span = means[2] - means[1]
    ratio = (means[0] - means[1]) / span
    shares = {arm: 1 / span, ceiling: -ratio / span}
    if floor and above_guessing(panel, floor)[keep].all():  # guessing is no draw
        shares[floor] = shares.get(floor, 0) - (1 - ratio) / span
    error = row_errors.of_arms(
        panel.at([task for task, good in enumerate(keep) if good]), list(shares), list(shares.values())
    )
    return Estimate(statistics.with_rows(main, error), beside, keys=keys)


def _ratio(joint: Array) -> tuple[Interval, Interval]:
    """Return (main, beside) of the mean normalised score. joint: [3, T, S]: arm, floor, ceiling."""
    means = np.nanmean(joint, axis=2)
    span = means[2] - means[1]
    ratio = (means[0] - means[1]) / span
    linear = (joint[0] - joint[1] - ratio[:, None] * (joint[2] - joint[1])) / span[:, None]
    student = statistics.over_seeds(linear + ratio[:, None])
    drawn = statistics.resample(joint, statistics.draws(~np.isnan(joint[0])))
    with np.errstate(divide="ignore", invalid="ignore"):
        samples = ((drawn[:, 0] - drawn[:, 1]) / (drawn[:, 2] - drawn[:, 1])).mean(axis=1)
    boot = statistics.percentile(samples[np.isfinite(samples)], student.mean)
    return statistics.choose(student, boot)


def ranked(panel: Panel) -> dict[str, Estimate]:
    """Return the mean rank of every arm (1 is best) over the (task, seed) pairs where all arms have a score."""
    full = [arm for arm in panel.arms if not np.isnan(panel.of(arm)).all(axis=1).any()]
    result = {arm: absent(missing(panel, arm)) for arm in panel.arms if arm not in full}
    values = np.stack([panel.of(arm) for arm in full]) if full else np.empty((0, 0, 0))
    complete = ~np.any(np.isnan(values), axis=0)
    if len(full) < 2 or not complete.any(axis=1).all():
        why = "one method only" if len(full) < 2 else "no seed was run for all methods on every task"
        return result | {arm: absent(why) for arm in full}
    places = np.where(complete, statistics.ranks(np.nan_to_num(values)), np.nan)
    keys = panel.cells(*full)
    for arm, place in zip(full, places, strict=True):
        main, beside = (clip(interval, 1, len(full)) for interval in statistics.interval(place))
        result[arm] = Estimate(main, beside, keys)
    return result


def clip(interval: Interval, low: float, high: float) -> Interval:
    """Return the interval cut to the possible values."""
    bounds = np.clip([interval.low, interval.high], low, high)
    return replace(interval, low=float(bounds[0]), high=float(bounds[1]))
