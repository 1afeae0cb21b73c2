"""Intervals and tests against scipy, and their coverage by simulation."""

import math

import numpy as np
import pytest
from scipy import stats

from harness.analysis import statistics
from harness.analysis.statistics import Interval

RANDOM = np.random.default_rng(7)


def coverage(interval, tasks: int, seeds: int, spreads, repeats: int = 1500) -> float:
    """How often an interval of the mean holds the truth (0)."""
    scale = np.asarray(spreads)[:, None] * np.ones((tasks, seeds))
    hits = 0
    for _ in range(repeats):
        found = interval(RANDOM.normal(0, scale))
        hits += found.low <= 0 <= found.high
    return hits / repeats


def test_one_task_is_the_t_interval_of_scipy():
    values = RANDOM.normal(0.8, 0.05, size=6)
    found = statistics.pooled(values[None])
    low, high = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((low, high))
    assert found.n == 6
    assert found.df == 5


def test_two_tasks_pool_their_variance_like_the_two_sample_t_test():
    left, right = RANDOM.normal(0.8, 0.05, size=5), RANDOM.normal(0.6, 0.05, size=5)
    found = statistics.pooled(np.stack([left, -right]))
    low, high = stats.ttest_ind(left, right).confidence_interval(0.95)
    assert (2 * found.low, 2 * found.high) == pytest.approx((low, high))


@pytest.mark.parametrize(("tasks", "seeds"), [(1, 3), (3, 3), (6, 5), (1, 10)])
def test_the_t_interval_covers_what_it_says(tasks, seeds):
    assert 0.93 < coverage(statistics.pooled, tasks, seeds, [0.02] * tasks) < 0.97


def test_unequal_spread_over_tasks_costs_little_coverage():
    assert coverage(statistics.pooled, 3, 3, [0.01, 0.03, 0.05]) > 0.9


def test_a_bootstrap_of_three_seeds_covers_too_little_which_is_why_it_stands_beside():
    assert coverage(lambda v: statistics.bootstrap(v, resamples=200), 1, 3, [0.02], repeats=300) < 0.9


def test_below_ten_seeds_the_t_interval_comes_first_from_ten_the_bootstrap():
    for seeds, kind in ((9, "t"), (10, "bootstrap")):
        main, beside = statistics.interval(RANDOM.normal(size=(2, seeds)))
        assert main.kind == kind
        assert beside.kind != kind
        assert main.n == beside.n == 2 * seeds


def test_the_bootstrap_agrees_with_scipy_on_one_task():
    values = RANDOM.normal(0.5, 0.1, size=40)
    ours = statistics.bootstrap(values[None], resamples=4000)
    theirs = stats.bootstrap((values,), np.mean, method="percentile", n_resamples=4000, rng=1).confidence_interval
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=0.006)


def test_resampling_draws_only_seeds_that_are_there_and_stays_in_its_task():
    values = np.array([[1.0, 2.0, math.nan], [10.0, math.nan, math.nan]])
    drawn = statistics.resample(values, statistics.draws(~np.isnan(values), 200))
    assert set(np.unique(drawn[:, 1])) == {10.0}
    assert set(np.unique(drawn[:, 0])) <= {1.0, 1.5, 2.0}


def test_one_seed_has_a_mean_and_no_interval():
    found = statistics.pooled(np.array([[0.5], [0.7]]))
    assert found.mean == pytest.approx(0.6)
    assert math.isnan(found.low)


def test_a_task_without_a_score_makes_no_mean():
    assert math.isnan(statistics.pooled(np.array([[0.5, 0.6], [math.nan, math.nan]])).mean)


def test_a_missing_seed_weighs_its_task_as_much():
    found = statistics.pooled(np.array([[1.0, 3.0, 2.0], [10.0, 12.0, math.nan]]))
    assert found.mean == pytest.approx((2 + 11) / 2)
    assert found.df == 3


@pytest.mark.parametrize("size", [2, 5, 8])
def test_tau_b_is_scipys_with_and_without_ties(size):
    for _ in range(50):
        left, right = RANDOM.integers(0, 4, size), RANDOM.integers(0, 4, size)
        theirs = stats.kendalltau(left, right, variant="b").statistic
        assert statistics.tau_b(left, right) == pytest.approx(theirs, nan_ok=True)


def test_holm_steps_down_and_leaves_out_what_was_not_tested():
    assert statistics.holm([0.01, 0.04, math.nan, 0.03]) == pytest.approx([0.03, 0.06, math.nan, 0.06], nan_ok=True)
    assert statistics.holm([0.5, 0.6]) == [1.0, 1.0]


def test_holm_keeps_the_family_error():
    """Ten true null hypotheses: some adjusted p below 5 % in at most about 5 % of the families."""
    families = RANDOM.uniform(size=(2000, 10))
    assert np.mean([min(statistics.holm(list(family))) < 0.05 for family in families]) < 0.065


def test_verdicts_follow_the_interval():
    def at(mean: float) -> Interval:
        return Interval(mean, mean - 0.02, mean + 0.02, se=0.008, df=6, sd=0.02, n=9, seeds=3)

    assert statistics.superior(at(0.05), 0.01)[0] == "reproduced"
    assert statistics.superior(at(0.02), 0.01)[0] == "inconclusive"
    assert statistics.superior(at(-0.05), 0.01)[0] == "contradicted"
    assert statistics.at_least(at(-0.02), 0.05)[0] == "reproduced"
    assert statistics.at_least(at(-0.09), 0.05)[0] == "contradicted"
    assert statistics.similar(at(0.0), 0.05)[0] == "reproduced"
    assert statistics.similar(at(0.04), 0.05)[0] == "inconclusive"
    assert statistics.similar(at(-0.1), 0.05)[0] == "contradicted"


def test_p_and_interval_say_the_same():
    for _ in range(200):
        found = statistics.pooled(RANDOM.normal(0.01, 0.02, size=(3, 3)))
        for test in (statistics.superior, statistics.at_least, statistics.similar):
            verdict, p = test(found, 0.01)
            assert (verdict != "inconclusive") == (p < 0.05)


def test_the_seeds_it_would_take_are_enough_and_one_less_is_not():
    found = statistics.pooled(RANDOM.normal(0.01, 0.03, size=(3, 3)))
    distance = 0.01
    seeds = statistics.seeds_needed(found, 3, distance)

    def half(count: int) -> float:
        return stats.t.ppf(0.975, 3 * (count - 1)) * found.sd / math.sqrt(3 * count)

    assert half(seeds) < distance <= half(seeds - 1)
    assert statistics.seeds_needed(found, 3, 0.0) is None


@pytest.mark.parametrize(("wins", "total"), [(0, 9), (4, 9), (9, 9), (15, 30)])
def test_a_share_has_scipys_exact_interval_and_p(wins, total):
    found, test = statistics.share(wins, total), stats.binomtest(wins, total)
    theirs = test.proportion_ci(method="exact")
    assert (found.low, found.high) == pytest.approx((theirs.low, theirs.high))
    tails = [stats.binom.sf(wins - 1, total, 0.5), stats.binom.cdf(wins, total, 0.5)]
    assert statistics.share_p(wins, total, 0.5) == pytest.approx(min(1, 2 * min(tails)))
