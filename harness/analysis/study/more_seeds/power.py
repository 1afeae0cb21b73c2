"""The seeds, test rows or pairs that would decide a comparison with 80 % power. Torch-free and pandas-free."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import stats

from harness.analysis.study.statistics import LEVEL, Interval

SEED_LIMIT = 1000
POWER = 0.8


@dataclass(frozen=True)
class Needed:
    """The seeds and rows that would decide a comparison.

    seeds: per task, None: more than the limit. low, high: of the seeds, see `needed`.

    rows: how many times as many test rows it takes before any number of seeds can decide; 1 where the rows suffice.
    """

    seeds: int | None
    low: int | None = None
    high: int | None = None
    rows: float = 1.0


def needed(estimate: Interval, distance: float, level: float = LEVEL, limit: int = SEED_LIMIT) -> Needed | None:
    """Return the seeds per task that decide with 80 % probability, when the true value is `distance` from the margin.

    low and high: the same at the ends of the 80 % interval of the spread (chi-square), which few seeds leave wide.
    None without an answer: no spread, or an estimate on the margin itself.
    """
    if not (distance > 0 and math.isfinite(estimate.sd) and estimate.df > 0):
        return None
    quantiles = stats.norm.ppf(0.5 + level / 2) + stats.norm.ppf(POWER)
    rows = max(1.0, (1.05 * quantiles * estimate.row_se / distance) ** 2)  # 5 %: some room for the seeds' noise
    if reached(estimate.sd, estimate.row_se, distance, limit, level) < POWER and rows > 1:
        return Needed(None, rows=rows)
    tails = stats.chi2.ppf([0.9, 0.1], estimate.df)
    low, high = (estimate.sd * math.sqrt(estimate.df / tail) for tail in tails)
    seeds, fewest, most = (_fewest(sd, estimate.row_se, distance, level, limit) for sd in (estimate.sd, low, high))
    return Needed(seeds, fewest, most)


def reached(sd: float, row_se: float, distance: float, seeds: int, level: float = LEVEL) -> float:
    """Return the probability that the interval of so many seeds excludes a margin that is `distance` from the truth."""
    middles = (np.arange(400) + 0.5) / 400
    drawn = sd * np.sqrt(stats.chi2.ppf(middles, seeds - 1) / (seeds - 1))  # standard deviations as they turn out
    over_rows = float(stats.norm.ppf(0.5 + level / 2)) * row_se
    half = np.hypot(float(stats.t.ppf(0.5 + level / 2, seeds - 1)) * drawn / math.sqrt(seeds), over_rows)
    error = math.hypot(sd / math.sqrt(seeds), row_se)
    if error == 0:
        return float(distance > 0)
    return float(stats.norm.cdf((distance - half) / error).mean())


def _fewest(sd: float, row_se: float, distance: float, level: float, limit: int) -> int | None:
    """Return the fewest seeds up to `limit` with enough power, by bisection: power grows with them."""
    return least(lambda seeds: reached(sd, row_se, distance, seeds, level) >= POWER, 2, limit)


def least(test: Callable[[int], bool], first: int, limit: int) -> int | None:
    """Return the smallest number from `first` to `limit` from which on `test` holds; None without one."""
    low, high = first, first
    while not test(high):
        if high == limit:
            return None
        low, high = high + 1, min(2 * high, limit)
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if test(middle) else (middle + 1, high)
    return high


def share_power(value: float, total: int, decides: Callable[[float, float], bool], level: float = LEVEL) -> float:
    """Return the probability that the interval of a share over `total` pairs decides, when the true share is `value`.

    decides: of the interval's ends.
    """
    likely = np.arange(stats.binom.ppf(1e-6, total, value), stats.binom.ppf(1 - 1e-6, total, value) + 1)
    tail = (1 - level) / 2
    low = np.where(likely > 0, stats.beta.ppf(tail, likely, total - likely + 1), 0.0)
    high = np.where(likely < total, stats.beta.ppf(1 - tail, likely + 1, total - likely), 1.0)
    enough = [decides(*bounds) for bounds in zip(low, high, strict=True)]
    return float(stats.binom.pmf(likely[enough], total, value).sum())
