"""The best learning rate of a grid as the lowest point of a parabola through the logarithms, with an interval.

The losses of all seeds are averaged at each rate. A parabola is fitted to the logarithm of the loss against the
logarithm of the rate, by least squares, at the best rate of the grid and the rates within a factor of four of it. Its
lowest point is the best rate. There is none where the grid's best rate is its lowest or its highest, where the parabola
has no lowest point, or where that point lies outside of the rates that were tried.

The interval is Student's t with the standard error that a bootstrap of whole seeds gives, times sqrt(S / (S - 1)): a
percentile interval of three to five seeds is far too narrow. Methods that are compared draw the same seeds.
`tests/harness/analysis/tuning/test_optimum.py` simulates its coverage.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from harness.analysis.study.statistics import LEVEL, Array, Interval

WINDOW = math.log10(4.0)
"""How far from the best rate of the grid rates are fitted, in decades."""
RESAMPLES = 2000
LOST = 0.05
"""The largest share of resamples without a best rate at which an interval is given."""
FEWEST = 3
"""The fewest points that have one parabola, and the fewest rates of a grid that has an inner one."""
_ROUNDING = 1e-9


@dataclass(frozen=True)
class Grid:
    """The losses of one method over rates. rates: [K], ascending; values: [K, S], the mean log losses of each seed.

    seeds: [S], their numbers. keys: the cells behind the losses.
    """

    rates: Array
    values: Array
    seeds: tuple[int, ...]
    keys: tuple[str, ...] = ()


@dataclass(frozen=True)
class Optimum:
    """A best rate, or a difference of two, in decades (log10). interval: its mean is NaN where there is none.

    reason: why there is none, or no interval; "" where both are there.
    """

    interval: Interval
    reason: str = ""


EDGE = "the lowest mean loss lies at the end of the rates tried, so the best rate has no bound there"
FLAT = "the parabola through the mean losses has no lowest point among the rates tried"
FEW_RATES = f"fewer than {FEWEST} rates have a loss at every seed"
FEW_SEEDS = "one seed has no spread"
UNSURE = "in more than 5 % of the resamples of the seeds the best rate has no inner place among those tried"


def lowest(logs: Array, means: Array) -> Array:
    """Return the lowest point of each row's parabola, NaN where it has none: [N]. logs: [K] log10 of the rates,
    ascending; means: [N, K].
    """
    places = np.full(len(means), np.nan)
    if len(logs) < FEWEST:
        return places
    best = means.argmin(axis=1)
    for place in range(1, len(logs) - 1):
        rows = np.flatnonzero(best == place)
        if len(rows):
            places[rows] = _vertex(logs, means[rows], place)
    return places


def _vertex(logs: Array, means: Array, place: int) -> Array:
    """Return the lowest point of each row's parabola around one rate: [N]. means: [N, K]."""
    near = np.abs(logs - logs[place]) <= WINDOW + _ROUNDING
    near[place - 1 : place + 2] = True
    x = logs[near] - logs[place]
    bend, slope, _ = np.linalg.pinv(np.vander(x, 3)) @ means[:, near].T
    with np.errstate(divide="ignore", invalid="ignore"):
        at = np.where(bend > _ROUNDING, -slope / (2 * bend), np.nan) + logs[place]
    return np.where((at >= logs[0]) & (at <= logs[-1]), at, np.nan)


def parabola(grid: Grid) -> tuple[Array, Array] | None:
    """Return the rates near the best one, [N], and the fitted log losses there, [N], to be drawn; None without any."""
    means, logs = grid.values.mean(axis=1), np.log10(grid.rates)
    if len(logs) < FEWEST:
        return None
    place = int(means.argmin())
    near = np.abs(logs - logs[place]) <= WINDOW + _ROUNDING
    if near.sum() < FEWEST:
        return None
    fitted = np.polynomial.Polynomial.fit(logs[near], means[near], 2)
    at = np.linspace(logs[near][0], logs[near][-1], 60)
    return 10**at, fitted(at)


def best(grid: Grid) -> Optimum:
    """Return log10 of the best rate."""
    return _optimum([grid], lambda places: places[0])


def ratio(left: Grid, right: Grid) -> Optimum:
    """Return log10 of left's best rate over right's, over the seeds that both have."""
    shared = [seed for seed in left.seeds if seed in right.seeds]
    return _optimum([_at(left, shared), _at(right, shared)], lambda places: places[0] - places[1])


def _at(grid: Grid, seeds: Sequence[int]) -> Grid:
    columns = [grid.seeds.index(seed) for seed in seeds]
    return Grid(grid.rates, grid.values[:, columns], tuple(seeds), grid.keys)


def _optimum(grids: Sequence[Grid], combine: Callable[[list[Array]], Array]) -> Optimum:
    """Return what `combine` makes of the lowest points of the grids, which have the same seeds."""
    seeds = len(grids[0].seeds)
    if not seeds or any(len(grid.rates) < FEWEST for grid in grids):
        return _none(FEW_RATES, seeds)
    whole = [lowest(np.log10(grid.rates), grid.values.mean(axis=1)[None]) for grid in grids]
    for grid, place in zip(grids, whole, strict=True):
        if np.isnan(place[0]):
            at_end = grid.values.mean(axis=1).argmin() in (0, len(grid.rates) - 1)
            return _none(EDGE if at_end else FLAT, seeds)
    estimate = float(combine(whole)[0])
    if seeds < 2:
        return Optimum(Interval(estimate, math.nan, math.nan, n=seeds, seeds=seeds), FEW_SEEDS)
    drawn = combine([_resampled(grid) for grid in grids])
    known = drawn[~np.isnan(drawn)]
    if len(known) < (1 - LOST) * len(drawn):
        return Optimum(Interval(estimate, math.nan, math.nan, n=seeds, seeds=seeds), UNSURE)
    error = float(known.std()) * math.sqrt(seeds / (seeds - 1))
    half = float(stats.t.ppf(0.5 + LEVEL / 2, seeds - 1)) * error
    sd = error * math.sqrt(seeds)
    return Optimum(Interval(estimate, estimate - half, estimate + half, error, seeds - 1, sd, seeds, seeds))


def _none(reason: str, seeds: int) -> Optimum:
    return Optimum(Interval(math.nan, math.nan, math.nan, n=seeds, seeds=seeds), reason)


def _resampled(grid: Grid) -> Array:
    """Return the lowest point in each resample of the seeds: [RESAMPLES]. All grids draw the same ones."""
    drawn = _draws(len(grid.seeds))
    return lowest(np.log10(grid.rates), grid.values[:, drawn].mean(axis=2).T)


def _draws(seeds: int) -> NDArray[np.intp]:
    return np.random.default_rng(0).integers(0, seeds, (RESAMPLES, seeds))
