"""Intervals, tests and verdicts for few seeds. Arrays: A arms, T tasks (strata), S seeds; NaN where missing.

Seeds are the repeated draws, tasks are fixed. The interval is Student's t on the seeds' own means over the tasks. It
needs no equal variance over tasks, and it sees what one seed does to all tasks at once, as its data order does.
`tests/benchmarks/coverage.py` simulates its coverage and its wrong verdicts beside those of other rules: a variance
pooled over tasks covers 82 to 91 % where tasks differ in noise, Welch's covers 74 to 93 % where the tasks of a seed
correlate by 0.3, and a percentile bootstrap covers 50 % with 2 seeds and 91 % with 10. The bootstrap is shown too.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import permutations

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from scipy.optimize import brentq

Array = NDArray[np.float64]

LEVEL = 0.95
FEW_SEEDS = 10
SEEDS_OF_PAIRS = 5
"""With fewer seeds, their spread does not measure the error of a share of pairs: they may agree by luck."""
RESAMPLES = 2000
ROUNDING = 1e-12
"""Scores that differ by no more are equal."""


@dataclass(frozen=True)
class Interval:
    """An estimate with its interval. sd: spread over seeds of their means; n: draws in all; seeds: per task.

    low and high are NaN where there is no spread to judge by (one seed). kind: "t", "bootstrap",
    "exact" (of a share) or "half" (of a share less one half).
    se, df: of the mean over new draws of seeds. row_se: its standard error over new draws of test rows, 0 where that is
    not known or not counted; low and high count both, see `with_rows`.
    effective_pairs: the number of independent pairs that a share of pairs is worth, see `with_effective_pairs`; 0 where
    its n pairs are independent.
    """

    mean: float
    low: float
    high: float
    se: float = math.nan
    df: float = 0.0
    sd: float = math.nan
    n: int = 0
    seeds: float = 0.0
    kind: str = "t"
    row_se: float = 0.0
    effective_pairs: int = 0

    def half(self, level: float = LEVEL) -> float:
        """Return half of the interval's width: that over seeds and that over rows add in squares."""
        over_rows = float(stats.norm.ppf(0.5 + level / 2)) * self.row_se
        return math.hypot(float(stats.t.ppf(0.5 + level / 2, self.df)) * self.se, over_rows)


def over_seeds(values: Array, level: float = LEVEL) -> Interval:
    """Return the mean over tasks of the means over seeds, with a t interval.

    values: [T, S]. The spread is that of the means of the seeds that every task has. Without two such seeds it is each
    task's own (Welch's variance, Satterthwaite's degrees of freedom), which takes tasks for independent. A task without
    a draw makes the mean NaN: a missing cell stays missing.
    """
    values = np.atleast_2d(np.asarray(values, dtype=float))
    counts = (~np.isnan(values)).sum(axis=1)
    if values.size == 0 or (counts == 0).any():
        return Interval(math.nan, math.nan, math.nan)
    mean, n, tasks = float(np.nanmean(values, axis=1).mean()), int(counts.sum()), len(counts)
    sd, se, df = _spread(values, counts)
    if df == 0:
        return Interval(mean, math.nan, math.nan, n=n, seeds=n / tasks)
    half = float(stats.t.ppf(0.5 + level / 2, df)) * se
    return Interval(mean, mean - half, mean + half, se, df, sd, n, n / tasks)


def with_rows(interval: Interval, row_se: float, level: float = LEVEL) -> Interval:
    """Return the interval for new seeds and new test rows, whose draws are independent; it contains that over seeds.

    The half-widths add in squares (Zou and Donner 2008), so a seeds' part with few degrees of freedom keeps its own
    quantile. row_se 0 gives the interval over seeds alone.
    """
    if not (interval.df > 0 and math.isfinite(row_se)):
        return interval
    half = replace(interval, row_se=row_se).half(level)
    return replace(interval, row_se=row_se, low=interval.mean - half, high=interval.mean + half)


def row_variance(score: Array, rows: Array) -> Array:
    """Return an upper bound of the variance of a mean over `rows` test rows of values from 0 to 1: p (1 - p) / rows.

    p has two successes and two failures more (Agresti and Coull 1998): 512 of 512 right is not certain to be right.
    """
    share = (score * rows + 2) / (rows + 4)
    return share * (1 - share) / rows


def paired_row_variance(figures: Array, squares: float) -> float:
    """Return the variance, over new test rows, of the mean over seeds and rows of what each row scored.

    figures: [S, rows], of a weighted sum of arms. squares: the sum of the squared weights. The spread of the rows'
    means includes noise that differs by seed and row. Its share is subtracted, because the interval over seeds counts
    it. As in `row_variance`, two successes and two failures are added, so that rows that all agree leave some error.
    """
    seeds, rows = figures.shape
    means = figures.mean(axis=0)
    spread = float(means.var(ddof=1))
    if seeds > 1:
        rest = figures - means - figures.mean(axis=1, keepdims=True) + figures.mean()
        spread = max(0.0, spread - float((rest**2).sum()) / ((seeds - 1) * (rows - 1) * seeds))
    return spread / rows + 2 * squares / (rows * (rows + 4))


def _spread(values: Array, counts: NDArray[np.intp]) -> tuple[float, float, float]:
    """Return (standard deviation of one seed's mean, standard error of the mean, degrees of freedom); df is 0 without
    any.
    """
    whole = values[:, ~np.isnan(values).any(axis=0)].mean(axis=0)
    if len(whole) > 1:
        sd = float(whole.std(ddof=1)) if np.ptp(whole) > ROUNDING else 0.0
        return sd, sd / math.sqrt(len(whole)), len(whole) - 1
    if (counts < 2).any():
        return math.nan, math.nan, 0.0
    variances = np.nanvar(values, axis=1, ddof=1)
    errors = variances / counts
    total, tasks = float(errors.sum()), len(counts)
    df = total**2 / float((errors**2 / (counts - 1)).sum()) if total > 0 else float((counts - 1).min())
    return math.sqrt(float(variances.sum())) / tasks, math.sqrt(total) / tasks, df


def draws(present: NDArray[np.bool_], resamples: int = RESAMPLES, seed: int = 0) -> NDArray[np.intp]:
    """Return the resampling of seeds, [B, T, S] indices: each task draws as many seeds as it has, among its own.

    Tasks that have the same seeds draw the same ones: a seed is drawn with all that it gave. -1 fills up tasks that
    have fewer seeds.
    """
    tasks, size = present.shape
    uniform = np.random.default_rng(seed).random((resamples, size))
    indices = np.full((resamples, tasks, size), -1, dtype=np.intp)
    for task in range(tasks):
        pool = np.flatnonzero(present[task])
        if len(pool):
            indices[:, task, : len(pool)] = pool[(uniform[:, : len(pool)] * len(pool)).astype(np.intp)]
    return indices


def resample(values: Array, indices: NDArray[np.intp]) -> Array:
    """Return the task means in every resample. values: [..., T, S]; indices: [B, T, S]; result: [B, ..., T]."""
    tasks = np.arange(values.shape[-2])[None, :, None]
    picked = np.where(indices < 0, np.nan, values[..., tasks, indices])
    with np.errstate(invalid="ignore"):
        weight = (~np.isnan(picked)).sum(axis=-1)
        mean = np.nansum(picked, axis=-1) / np.where(weight == 0, np.nan, weight)
    return np.moveaxis(mean, -2, 0)


def percentile(samples: Array, mean: float, level: float = LEVEL) -> Interval:
    """Return the percentile interval of bootstrap samples [B]."""
    samples = samples[~np.isnan(samples)]
    if not len(samples):
        return Interval(mean, math.nan, math.nan, kind="bootstrap")
    low, high = np.quantile(samples, [0.5 - level / 2, 0.5 + level / 2])
    return Interval(mean, float(low), float(high), float(samples.std()), kind="bootstrap")


def bootstrap(values: Array, level: float = LEVEL, resamples: int = RESAMPLES, seed: int = 0) -> Interval:
    """Return the mean over tasks with a bootstrap interval. values: [T, S]."""
    values = np.atleast_2d(np.asarray(values, dtype=float))
    indices = draws(~np.isnan(values), resamples, seed)
    return percentile(resample(values, indices).mean(axis=-1), over_seeds(values).mean, level)


def interval(values: Array, level: float = LEVEL) -> tuple[Interval, Interval]:
    """Return (the t interval, which is printed and decides, the bootstrap beside it)."""
    return choose(over_seeds(values, level), bootstrap(values, level))


def choose(student: Interval, drawn: Interval) -> tuple[Interval, Interval]:
    """Return the two intervals in the order in which they are shown; the bootstrap's counts are those of the t."""
    return student, replace(drawn, df=student.df, sd=student.sd, n=student.n, seeds=student.seeds)


def holm(p_values: Sequence[float]) -> list[float]:
    """Return the p values after Holm's step-down adjustment; NaN stays NaN and does not count."""
    order = sorted((p, i) for i, p in enumerate(p_values) if not math.isnan(p))
    adjusted, running = [math.nan] * len(p_values), 0.0
    for rank, (p, i) in enumerate(order):
        running = max(running, min(1.0, p * (len(order) - rank)))
        adjusted[i] = running
    return adjusted


def ranks(values: Array) -> Array:
    """Return the ranks along the first axis, 1 for the highest; ties share the mean rank. values: [A, ...],
    complete.
    """
    return stats.rankdata(-values, axis=0)


def tau_b(left: Sequence[float], right: Sequence[float]) -> float:
    """Return Kendall's tau-b; NaN where either side has no order at all."""
    signs = [(np.sign(left[i] - left[j]), np.sign(right[i] - right[j])) for i in range(len(left)) for j in range(i)]
    both = sum(a * b for a, b in signs)
    norm = math.sqrt(sum(a != 0 for a, _ in signs) * sum(b != 0 for _, b in signs))
    return float(both / norm) if norm else math.nan


def tau_p(left: Sequence[float], right: Sequence[float], draws: int = 20000) -> float:
    """Return the two-sided p of 'the two orders are unrelated', by the permutations of one of them.

    All of them up to seven values, random ones beyond; ties are kept.
    """
    size = len(left)
    if size <= 7:
        orders = np.array(list(permutations(range(size))))
    else:
        orders = np.random.default_rng(0).permuted(np.tile(np.arange(size), (draws, 1)), axis=1)
    mine, other = np.asarray(left, dtype=float), np.asarray(right, dtype=float)[orders]
    above = np.triu_indices(size, 1)
    signs = np.sign(mine[above[0]] - mine[above[1]])
    sums = np.abs(np.sign(other[:, above[0]] - other[:, above[1]]) @ signs)
    observed = abs(float(np.sign(np.asarray(right)[above[0]] - np.asarray(right)[above[1]]) @ signs))
    more = int((sums >= observed - ROUNDING).sum())
    return more / len(orders) if size <= 7 else (more + 1) / (len(orders) + 1)


def superior(estimate: Interval, margin: float) -> tuple[str, float]:
    """Test whether the estimate is above `margin`; return (verdict, two-sided p of 'it equals the margin')."""
    return _decide(estimate.low > margin, estimate.high < margin), _p(estimate, margin)


def at_least(estimate: Interval, margin: float) -> tuple[str, float]:
    """Test whether the estimate is no more than `margin` below 0 (non-inferiority)."""
    return superior(estimate, -margin)


def at_most(estimate: Interval, margin: float) -> tuple[str, float]:
    """Test whether the estimate is no more than `margin` above 0. Below is as good."""
    return _decide(estimate.high < margin, estimate.low > margin), _p(estimate, margin)


def similar(estimate: Interval, margin: float) -> tuple[str, float]:
    """Test whether the estimate is within +-margin: equivalence by two one-sided tests at (1 - LEVEL) / 2 each."""
    inside = -margin < estimate.low and estimate.high < margin
    outside = estimate.low > margin or estimate.high < -margin
    return _decide(inside, outside), max(_p(estimate, -margin), _p(estimate, margin))  # of the nearer edge


def share(wins: float, total: int, level: float = LEVEL) -> Interval:
    """Return a share with its Clopper-Pearson interval; a tie may count half."""
    if total == 0:
        return Interval(math.nan, math.nan, math.nan, kind="exact")
    tail = (1 - level) / 2
    low = float(stats.beta.ppf(tail, wins, total - wins + 1)) if wins > 0 else 0.0
    high = float(stats.beta.ppf(1 - tail, wins + 1, total - wins)) if wins < total else 1.0
    return Interval(wins / total, low, high, n=total, kind="exact")


def above_half(wins: float, total: int, level: float = LEVEL) -> Interval:
    """Return a share less one half, with its Clopper-Pearson interval; its tests are exact."""
    interval = share(wins, total, level)
    return replace(interval, mean=interval.mean - 0.5, low=interval.low - 0.5, high=interval.high - 0.5, kind="half")


def share_of_pairs(won: Array) -> Interval:
    """Return the share of pairs won, less one half. won: [T, S]: 1, 0, or one half for a tie; NaN without a pair.

    One seed may move all tasks, so pairs are not independent; see `with_effective_pairs`. Tasks without a pair do not
    count.
    """
    return with_effective_pairs(over_seeds(won[~np.isnan(won).all(axis=1)] - 0.5))


def with_effective_pairs(share: Interval) -> Interval:
    """Return a share less one half, with the exact interval of the number of independent pairs that it is worth.

    So many independent pairs have the binomial error that the share has over seeds, corrected for its degrees of
    freedom (Korn and Graubard 1998, Survey Methodology 24(2)). Student's t over seeds alone would decide too often,
    since few seeds may agree by luck. Where all pairs are won, or all are lost, there is no spread to judge by, and
    each seed counts as one pair.

    Below `SEEDS_OF_PAIRS` seeds, the standard error is at least that of seeds which win or lose all their pairs at
    once. Two such seeds agree by luck in half of the cases, three in a quarter, and then show no spread.
    """
    if not share.df > 0:
        return share
    won, worth = share.mean + 0.5, float(share.n)
    few = share.seeds < SEEDS_OF_PAIRS
    error = max(share.se, 0.5 / math.sqrt(share.seeds)) if few else share.se
    if min(won, 1 - won) <= ROUNDING:
        worth = min(worth, share.seeds)
    elif error > 0 and share.n > share.seeds:
        tails = [float(stats.t.ppf(0.5 + LEVEL / 2, df)) for df in (share.n - 1, share.df)]
        worth = min(worth, won * (1 - won) / error**2 * (tails[0] / tails[1]) ** 2)
    pairs = max(1, int(worth))
    exact = above_half(won * pairs, pairs)
    return replace(share, kind="half", low=exact.low, high=exact.high, effective_pairs=pairs)


def share_p(wins: float, total: int, value: float) -> float:
    """Return the two-sided p of 'the share equals value': twice the smaller exact tail."""
    above = float(stats.beta.cdf(value, wins, total - wins + 1)) if wins > 0 else 1.0
    below = float(stats.beta.sf(value, wins + 1, total - wins)) if wins < total else 1.0
    return min(1.0, 2 * min(above, below))


def _p(estimate: Interval, value: float) -> float:
    """Return the two-sided p of 'the mean equals value': 1 less the level at which the interval ends at the value.

    Without any spread it cannot be tested: NaN.
    """
    if estimate.kind == "half":
        pairs = estimate.effective_pairs or estimate.n
        return share_p((estimate.mean + 0.5) * pairs, pairs, value + 0.5)
    distance = abs(estimate.mean - value)
    if not (estimate.df > 0 and (estimate.se > 0 or estimate.row_se > 0)):
        return math.nan
    if not estimate.row_se > 0:
        return float(2 * stats.t.sf(distance / estimate.se, estimate.df))
    if not estimate.se > 0:  # all seeds agree: the rows alone are noise
        return float(2 * stats.norm.sf(distance / estimate.row_se))

    def beyond(log_p: float) -> float:
        over_rows = float(stats.norm.isf(math.exp(log_p) / 2)) * estimate.row_se
        return math.hypot(float(stats.t.isf(math.exp(log_p) / 2, estimate.df)) * estimate.se, over_rows) - distance

    smallest = math.log(1e-300)
    return 1e-300 if beyond(smallest) < 0 else math.exp(float(brentq(beyond, smallest, 0.0))) if distance > 0 else 1.0


def _decide(yes: bool, no: bool) -> str:
    return "reproduced" if yes else "contradicted" if no else "inconclusive"
