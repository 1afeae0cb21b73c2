"""Estimates from a panel: scores, normalised scores and ranks, with intervals and the cells behind them."""

from dataclasses import dataclass, replace

import numpy as np

from harness.analysis import statistics
from harness.analysis.select import Panel
from harness.analysis.statistics import Array, Interval


@dataclass(frozen=True)
class Estimate:
    """What is printed: `main` with `beside` (the other kind of interval), and the keys of its cells.

    sides: the cells of left and of right, of a difference of two scores.
    reason: why there is no number, where there is none.
    """

    main: Interval
    beside: Interval
    keys: tuple[str, ...] = ()
    reason: str = ""
    sides: tuple[tuple[str, ...], tuple[str, ...]] = ((), ())


NOTHING = Interval(np.nan, np.nan, np.nan)


def absent(reason: str) -> Estimate:
    return Estimate(NOTHING, NOTHING, reason=reason)


def fixed(value: float, keys: tuple[str, ...]) -> Estimate:
    """A value that holds by definition."""
    certain = Interval(value, value, value)
    return Estimate(certain, certain, keys)


def score(panel: Panel, arm: str, task: int | None = None) -> Estimate:
    """The score of one arm on one task, or its mean over tasks (then every task must have a score)."""
    values = panel.of(arm) if task is None else panel.of(arm)[task : task + 1]
    if np.isnan(values).all(axis=1).any():
        return absent("no finished cell" if task is not None else missing(panel, arm))
    keys = panel.keys[panel.arms.index(arm)]
    found = (keys if task is None else keys[task]).flat
    return Estimate(*statistics.interval(values), keys=tuple(str(key) for key in found if key))


def missing(panel: Panel, arm: str) -> str:
    """'no score on a, b': the tasks that keep an arm from a mean."""
    gone = np.all(np.isnan(panel.of(arm)), axis=1)
    return "no score on " + ", ".join(task for task, none in zip(panel.tasks, gone, strict=True) if none)


def difference(panel: Panel, left: str, right: str) -> Estimate:
    """Mean over tasks of left - right, paired by seed; only seeds that both have count."""
    values = panel.of(left) - panel.of(right)
    if not values.size or np.isnan(values).all(axis=1).any():
        return absent("no seed that both have on every task")
    sides = panel.cells(left), panel.cells(right)
    return Estimate(*statistics.interval(values), keys=sides[0] + sides[1], sides=sides)


def floor_values(panel: Panel, floor: str | None) -> Array:
    """[T, S]: what 0 of the normalised score is: the floor arm, else guessing (majority or chance)."""
    return panel.of(floor) if floor else np.repeat(panel.base[:, None], len(panel.seeds), axis=1)


def scalable(panel: Panel, floor: Array, ceiling: Array) -> "np.ndarray[tuple[int], np.dtype[np.bool_]]":
    """[T]: tasks where ceiling - floor is at least 3 standard errors.

    The error is the larger of the one over seeds and the one from the number of test rows: few seeds can
    agree by luck.
    """
    good = np.zeros(len(panel.tasks), dtype=bool)
    for task in range(len(panel.tasks)):
        gap = statistics.over_seeds(ceiling[task : task + 1] - floor[task : task + 1])
        means = [np.nanmean(side[task]) if (~np.isnan(side[task])).any() else np.nan for side in (floor, ceiling)]
        sampling = np.sqrt(sum(max(0.0, m * (1 - m)) for m in means) / panel.rows[task])
        error = np.nanmax([gap.se, sampling, 0.0])
        good[task] = not np.isnan(gap.mean) and gap.mean > 0 and gap.mean >= 3 * error
    return good


def normalised(panel: Panel, arm: str, floor: str | None, ceiling: str | None) -> Estimate:
    """(score - floor) / (ceiling - floor), mean over the tasks where that can be said.

    The bootstrap computes the ratio inside every resample. The t interval is of the ratio's linear part in
    each draw: e = (a - f - r (c - f)) / mean(c - f), with r the ratio of the means.
    """
    if ceiling is None:
        return absent("no ceiling in these cells")
    a, f, c = panel.of(arm), floor_values(panel, floor), panel.of(ceiling)
    keep = scalable(panel, f, c)
    if not keep.any():
        return absent("ceiling - floor is below 3 standard errors on every task")
    keys = panel.cells(*dict.fromkeys(name for name in (arm, floor, ceiling) if name))
    if arm in (floor, ceiling):
        return fixed(float(arm == ceiling), keys)
    joint = np.stack([a, f, c])[:, keep]
    joint = np.where(np.isnan(joint).any(axis=0), np.nan, joint)
    if np.isnan(joint[0]).all(axis=1).any():
        return absent(missing(panel, arm) if np.isnan(a).all(axis=1).any() else "no seed in common")
    return Estimate(*_ratio(joint), keys=keys)


def _ratio(joint: Array) -> tuple[Interval, Interval]:
    """(main, beside) of the mean normalised score. joint: [3, T, S]: arm, floor, ceiling."""
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
    """Mean rank of every arm (1 is best) over the (task, seed) pairs where all of them have a score."""
    full = [arm for arm in panel.arms if not np.isnan(panel.of(arm)).all(axis=1).any()]
    result = {arm: absent(missing(panel, arm)) for arm in panel.arms if arm not in full}
    values = np.stack([panel.of(arm) for arm in full]) if full else np.empty((0, 0, 0))
    complete = ~np.any(np.isnan(values), axis=0)
    if len(full) < 2 or not complete.any(axis=1).all():
        why = "one method only" if len(full) < 2 else "no seed that all methods have on every task"
        return result | {arm: absent(why) for arm in full}
    places = np.where(complete, statistics.ranks(np.nan_to_num(values)), np.nan)
    keys = panel.cells(*full)
    for arm, place in zip(full, places, strict=True):
        main, beside = (clip(found, 1, len(full)) for found in statistics.interval(place))
        result[arm] = Estimate(main, beside, keys)
    return result


def clip(found: Interval, low: float, high: float) -> Interval:
    """The interval cut to the values that exist."""
    bounds = np.clip([found.low, found.high], low, high)
    return replace(found, low=float(bounds[0]), high=float(bounds[1]))
