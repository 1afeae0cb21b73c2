"""What it would take to decide a comparison, against simulations."""

import math

import numpy as np
import pytest

from harness.analysis.study import statistics
from harness.analysis.study.more_seeds import power
from harness.analysis.study.statistics import Interval


def estimate(sd: float, row_se: float = 0.0, df: int = 4) -> Interval:
    return Interval(0.03, 0.0, 0.06, se=sd / math.sqrt(df + 1), df=df, sd=sd, n=df + 1, seeds=df + 1, row_se=row_se)


def decided(sd: float, row_se: float, distance: float, seeds: int, repeats: int = 400) -> float:
    """The share of simulated studies of so many seeds whose interval ends before a margin `distance` below."""
    random, wins = np.random.default_rng(2), 0
    for _ in range(repeats):
        values = distance + random.normal(0, sd, size=(1, seeds)) + random.normal(0, row_se)
        found = statistics.with_rows(statistics.over_seeds(values), row_se)
        wins += found.low > 0
    return wins / repeats


@pytest.mark.parametrize(("sd", "row_se", "distance"), [(0.02, 0.004, 0.02), (0.01, 0.0, 0.03)])
def test_the_seeds_it_would_take_decide_in_four_of_five_studies_and_fewer_do_not(sd, row_se, distance):
    found = power.needed(estimate(sd, row_se), distance)
    assert found.low <= found.seeds <= found.high
    assert decided(sd, row_se, distance, found.seeds) > 0.74
    assert found.seeds == 2 or decided(sd, row_se, distance, found.seeds - 1) < 0.86


def test_few_seeds_leave_a_wide_range():
    few, many = (power.needed(estimate(0.02, df=df), 0.02) for df in (2, 30))
    assert few.seeds == many.seeds
    assert few.high - few.low > 3 * (many.high - many.low)


def test_rows_that_are_too_few_are_said_and_so_many_more_suffice():
    found = power.needed(estimate(0.01, row_se=0.02), 0.03)
    assert found.seeds is None
    assert found.rows > 1
    assert power.needed(estimate(0.01, row_se=0.02 / math.sqrt(found.rows)), 0.03).seeds


def test_an_estimate_on_the_margin_or_without_spread_has_no_number():
    assert power.needed(estimate(0.02), 0.0) is None
    assert power.needed(Interval(0.1, math.nan, math.nan), 0.1) is None
    assert power.needed(estimate(0.5), 0.001).seeds is None  # more than the limit


def test_the_pairs_it_would_take_decide_in_four_of_five_studies():
    def enough(pairs: int) -> bool:
        return power.share_power(0.7, pairs, lambda low, high: low > 0.5) >= power.POWER

    pairs = power.least(enough, 2, 1000)
    wins = np.random.default_rng(3).binomial(pairs, 0.7, size=2000)
    assert np.mean([statistics.share(int(won), pairs).low > 0.5 for won in wins]) == pytest.approx(0.8, abs=0.05)
