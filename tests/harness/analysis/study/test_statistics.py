"""Intervals and tests against scipy, and their coverage by simulation."""

import math
from itertools import combinations

import numpy as np
import pytest
from scipy import stats

from harness.analysis.study import statistics
from harness.analysis.study.statistics import Interval

RANDOM = np.random.default_rng(7)


UNEQUAL = [0, 0, 0.002, 0.02, 0.05, 0.15]
"""Standard deviations of six tasks: some are at their ceiling, one is as noisy as cells with +- 27 points."""


def coverage(interval, spreads, seeds: int, shared: float = 0.0, repeats: int = 1000, hole: bool = False) -> float:
    """How often an interval of the mean holds the truth (0). shared: the correlation of the tasks of one seed."""
    scale, hits = np.asarray(spreads, dtype=float)[:, None], 0
    for _ in range(repeats):
        own, common = RANDOM.normal(size=(len(scale), seeds)), RANDOM.normal(size=(1, seeds))
        values = scale * (math.sqrt(1 - shared) * own + math.sqrt(shared) * common)
        if hole:
            values[RANDOM.integers(len(scale)), RANDOM.integers(seeds)] = np.nan
        found = interval(values)
        hits += found.low <= 0 <= found.high
    return hits / repeats


def test_one_task_is_the_t_interval_of_scipy():
    values = RANDOM.normal(0.8, 0.05, size=6)
    found = statistics.over_seeds(values[None])
    low, high = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((low, high))
    assert found.n == 6
    assert found.df == 5


def test_several_tasks_are_the_t_interval_of_the_seeds_own_means():
    values = RANDOM.normal(0.6, 0.05, size=(3, 5))
    found = statistics.over_seeds(values)
    low, high = stats.ttest_1samp(values.mean(axis=0), 0).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((low, high))
    assert (found.n, found.seeds, found.df) == (15, 5, 4)


def test_tasks_that_share_no_two_seeds_are_welchs_test():
    left, right = RANDOM.normal(0.8, 0.01, size=5), RANDOM.normal(0.6, 0.09, size=4)
    values = np.full((2, 9), np.nan)
    values[0, :5], values[1, 5:] = left, -right
    found = statistics.over_seeds(values)
    low, high = stats.ttest_ind(left, right, equal_var=False).confidence_interval(0.95)
    assert (2 * found.low, 2 * found.high) == pytest.approx((low, high))


@pytest.mark.parametrize("spreads", [[0.02] * 6, UNEQUAL], ids=["equal", "unequal"])
@pytest.mark.parametrize("seeds", [2, 3, 12])
def test_the_t_interval_covers_what_it_says(spreads, seeds):
    assert 0.93 <= coverage(statistics.over_seeds, spreads, seeds) < 0.97


@pytest.mark.parametrize("shared", [0.3, 1.0])
def test_what_a_seed_does_to_all_tasks_costs_no_coverage(shared):
    assert coverage(statistics.over_seeds, [0.02] * 8, 3, shared) >= 0.93


def test_a_missing_cell_costs_no_coverage():
    assert coverage(statistics.over_seeds, UNEQUAL, 5, hole=True) >= 0.93


@pytest.mark.parametrize(("tasks", "seeds"), [(1, 3), (1, 10), (6, 10)])
def test_a_bootstrap_of_few_seeds_covers_too_little_which_is_why_it_stands_beside(tasks, seeds):
    few = coverage(lambda v: statistics.bootstrap(v, resamples=200), [0.02] * tasks, seeds, 0.5, repeats=400)
    assert few < 0.93


def test_a_family_of_ten_says_a_false_reproduced_as_rarely_as_it_says():
    """Five methods without any difference and very unequal tasks: nominal are 2.5 %, a pooled variance has 16 %."""
    false, repeats = 0, 300
    for _ in range(repeats):
        scores = RANDOM.normal(0, np.asarray(UNEQUAL)[:, None], size=(5, 6, 3))
        found = [statistics.over_seeds(a - b) for a, b in combinations(scores, 2)]
        tests = [statistics.superior(one, 0.0) for one in found]
        adjusted = statistics.holm([p for _, p in tests])
        false += any(v == "reproduced" and p < 0.05 for (v, _), p in zip(tests, adjusted, strict=True))
    assert false / repeats < 0.045


def test_the_t_interval_comes_first_whatever_the_number_of_seeds():
    for seeds in (3, 12):
        main, beside = statistics.interval(RANDOM.normal(size=(2, seeds)))
        assert (main.kind, beside.kind) == ("t", "bootstrap")
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
    found = statistics.over_seeds(np.array([[0.5], [0.7]]))
    assert found.mean == pytest.approx(0.6)
    assert math.isnan(found.low)


def test_a_task_without_a_score_makes_no_mean():
    assert math.isnan(statistics.over_seeds(np.array([[0.5, 0.6], [math.nan, math.nan]])).mean)


def test_a_missing_seed_weighs_its_task_as_much():
    found = statistics.over_seeds(np.array([[1.0, 3.0, 2.0], [10.0, 12.0, math.nan]]))
    assert found.mean == pytest.approx((2 + 11) / 2)
    assert found.df == 1  # two seeds that both tasks have
    assert found.se == pytest.approx(1.0)  # their means are 5.5 and 7.5


def test_seeds_that_do_not_differ_have_no_spread_and_no_p():
    found = statistics.over_seeds(np.array([[0.1 + 0.2] * 3, [0.7, 0.7, 0.7]]))
    assert (found.low, found.high, found.se) == (found.mean, found.mean, 0.0)
    assert math.isnan(statistics.superior(found, 0.0)[1])


def test_a_bootstrap_draws_a_seed_with_all_that_it_gave():
    """What a seed adds to one task and takes from the other cancels in every resample."""
    found = statistics.bootstrap(np.array([[1.0, 2.0, 3.0], [-1.0, -2.0, -3.0]]))
    assert (found.low, found.high) == (0.0, 0.0)


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
        found = statistics.over_seeds(RANDOM.normal(0.01, 0.02, size=(3, 3)))
        for test in (statistics.superior, statistics.at_least, statistics.similar):
            verdict, p = test(found, 0.01)
            assert (verdict != "inconclusive") == (p < 0.05)


def test_new_rows_widen_the_interval_and_p_says_the_same():
    for _ in range(20):
        alone = statistics.over_seeds(RANDOM.normal(0.01, 0.02, size=(3, 3)))
        found = statistics.with_rows(alone, 0.008)
        assert found.half() == pytest.approx(math.hypot(alone.half(), 1.959964 * 0.008))
        for test in (statistics.superior, statistics.at_least, statistics.similar):
            verdict, p = test(found, 0.01)
            assert (verdict != "inconclusive") == (p < 0.05)
            assert p >= test(alone, 0.01)[1]
        assert statistics.with_rows(found, 0.0) == alone


def test_seeds_that_do_not_differ_are_judged_by_their_rows():
    found = statistics.with_rows(statistics.over_seeds(np.full((1, 3), 0.3)), 0.02)
    assert statistics.superior(found, 0.25)[1] == pytest.approx(2 * stats.norm.sf(2.5))


def test_all_rows_right_leaves_an_error():
    assert 0 < statistics.row_variance(1.0, 512) < statistics.row_variance(0.5, 512)
    assert statistics.row_variance(0.5, 512) == pytest.approx(0.25 / 512)


def test_tau_has_the_exact_p_of_all_permutations():
    order = [5, 4, 3, 2, 1]
    assert statistics.tau_p(order, [0.9, 0.8, 0.7, 0.6, 0.5]) == pytest.approx(2 / 120)
    some = [0.9, 0.7, 0.8, 0.6, 0.5]
    assert statistics.tau_p(order, some) == pytest.approx(stats.kendalltau(order, some, method="exact").pvalue)
    assert statistics.tau_p([1, 1, 2], [1, 2, 3]) == pytest.approx(4 / 6)
    long = list(range(9))
    assert statistics.tau_p(long, long) < 0.001


@pytest.mark.parametrize(("wins", "total"), [(0, 9), (4, 9), (9, 9), (15, 30)])
def test_a_share_has_scipys_exact_interval_and_p(wins, total):
    found, test = statistics.share(wins, total), stats.binomtest(wins, total)
    theirs = test.proportion_ci(method="exact")
    assert (found.low, found.high) == pytest.approx((theirs.low, theirs.high))
    tails = [stats.binom.sf(wins - 1, total, 0.5), stats.binom.cdf(wins, total, 0.5)]
    assert statistics.share_p(wins, total, 0.5) == pytest.approx(min(1, 2 * min(tails)))


def test_a_share_of_pairs_is_no_surer_than_its_seeds_nor_than_its_pairs():
    by_seed = np.array([1, 1, 1, 0, 1], dtype=float)
    moved = statistics.share_of_pairs(np.tile(by_seed, (6, 1)))  # six tasks that one seed moves together
    exact = statistics.above_half(24, 30)
    assert (moved.mean, moved.n, moved.high) == pytest.approx((0.3, 30, 0.5), abs=0.02)
    assert moved.effective_pairs < by_seed.size
    assert moved.low < exact.low
    assert statistics.superior(exact, 0.1)[0] == "reproduced" != statistics.superior(moved, 0.1)[0]

    alike = statistics.share_of_pairs(np.ones((1, 6)))  # few pairs agree by luck, too
    assert (alike.low, alike.high) == pytest.approx((statistics.above_half(6, 6).low, 0.5))
    assert statistics.superior(alike, 0.1)[1] == pytest.approx(statistics.share_p(6, 6, 0.6))


@pytest.mark.parametrize("tasks", [1, 6, 50])
@pytest.mark.parametrize("margin", [0.0, 0.1])
def test_few_seeds_that_agree_decide_no_share_of_pairs(tasks, margin):
    """Where a seed moves all of its pairs, two agree by luck in half of the cases, three in a quarter."""
    for seeds in range(2, statistics.SEEDS_OF_PAIRS):
        for won in (np.ones((tasks, seeds)), np.zeros((tasks, seeds))):
            share = statistics.share_of_pairs(won)
            verdict, p = statistics.superior(share, margin)
            assert verdict == "inconclusive"
            assert p > 0.05
            assert share.low < margin < share.high
    enough = statistics.share_of_pairs(np.ones((tasks, 8)))
    assert statistics.superior(enough, margin)[0] == "reproduced"


def test_a_share_counts_the_pairs_that_it_is_worth():
    """Independent pairs count as themselves but for the degrees of freedom; six that one seed moves count as one."""
    independent = np.random.default_rng(0).integers(0, 2, (6, 40)).astype(float)
    assert 0.7 * 240 < statistics.share_of_pairs(independent).effective_pairs <= 240
    by_seed = independent[:1]
    as_one = statistics.share_of_pairs(np.tile(by_seed, (6, 1)))
    assert 0.85 * 40 < as_one.effective_pairs <= 40
    assert statistics.superior(as_one, 0.1)[1] >= statistics.share_p(by_seed.sum(), 40, 0.6)
    alike = statistics.share_of_pairs(np.ones((6, 8)))
    assert alike.effective_pairs == 8
    assert statistics.superior(alike, 0.1)[1] == pytest.approx(statistics.share_p(8, 8, 0.6))
    assert statistics.share_of_pairs(by_seed).effective_pairs == 40, "no task moves with another where there is one"


def test_a_share_of_pairs_needs_two_seeds_and_leaves_out_tasks_without_pairs():
    assert math.isnan(statistics.superior(statistics.share_of_pairs(np.ones((6, 1))), 0.1)[1])
    some = np.array([[1, 0, 1], [np.nan] * 3, [1, 1, 0]])
    assert statistics.share_of_pairs(some) == statistics.share_of_pairs(some[[0, 2]])


@pytest.mark.parametrize("df", range(1, 12))
def test_seeds_that_all_agree_are_tested_by_the_rows(df):
    """scipy's t has no quantile so far out at some degrees of freedom."""
    estimate = statistics.Interval(0.09, 0.03, 0.15, se=0.0, df=df, sd=0.0, n=df + 1, seeds=df + 1, row_se=0.03)
    assert statistics.superior(estimate, 0.01) == ("reproduced", pytest.approx(0.00766, abs=1e-4))
