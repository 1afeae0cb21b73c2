"""Tests of an estimate that was chosen among several, and of shares of pairs on which all seeds agree."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from harness.analysis.study import comparisons, estimates, statistics
from harness.analysis.study.estimates import Estimate
from harness.experiments.verdict import Comparison

NO_RATES: Any = SimpleNamespace(scores=SimpleNamespace(), open_rates={})


@pytest.fixture(autouse=True)
def settled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(comparisons.open_rates, "cells_of", lambda study: {})


def compared(estimated: Estimate, margin: float = 0.01, relation: str = "above") -> Comparison:
    (row,) = comparisons.compare(NO_RATES, [("a", "b")], [relation], [estimated], margin)
    return row


def of(values: list[float]) -> Estimate:
    return Estimate(*statistics.interval(np.array([values])))


def test_the_least_sure_of_several_is_contradicted_by_a_smaller_p_alone() -> None:
    below = of([-0.05, -0.09, -0.02, -0.08])
    assert compared(below).verdict == "contradicted"
    p = compared(below).p or np.nan
    assert 0.05 / 3 < p < 0.05
    assert compared(replace(below, among=2)).p == pytest.approx(2 * p)
    assert compared(replace(below, among=3)).verdict == "inconclusive"


def test_the_seeds_that_one_of_several_would_take_are_more_than_it_has() -> None:
    below = replace(of([-0.05, -0.09, -0.02, -0.08]), among=3)
    row = compared(below)
    assert row.verdict == "inconclusive"
    assert (row.seeds or 0) > 4


def test_holm_leaves_the_whole_level_to_the_only_open_comparison() -> None:
    """What has its verdict takes none of the level from the seeds that the others need."""
    open_one, sure = of([0.02, 0.06, -0.01, 0.05]), of([0.20, 0.21, 0.19, 0.20])
    alone = compared(open_one)
    pairs = [("a", "b"), *((f"c{place}", "d") for place in range(9))]
    first, *others = comparisons.compare(NO_RATES, pairs, ["above"] * 10, [open_one, *[sure] * 9], 0.01)
    assert {row.verdict for row in others} == {"reproduced"}
    assert (first.verdict, first.seeds) == ("inconclusive", alone.seeds)
    both = comparisons.compare(NO_RATES, pairs[:2], ["above"] * 2, [open_one, open_one], 0.01)
    assert (both[0].seeds or 0) > (alone.seeds or 0), "two that are open share the level"


def test_the_least_sure_of_several_is_above_as_surely_as_it_says() -> None:
    above = of([0.07, 0.11, 0.04, 0.10])
    assert compared(replace(above, among=3)) == compared(above)


@pytest.mark.parametrize("singles", [2, 4])
def test_being_below_one_of_several_by_luck_is_rare(monkeypatch: pytest.MonkeyPatch, singles: int) -> None:
    """A combination above each of several by just the margin is called below one of them in at most 5 %."""
    monkeypatch.setattr(comparisons.power, "needed", lambda *given: None)  # it takes the time
    draw, tries, wrong = np.random.default_rng(0), 400, 0
    for _ in range(tries):
        lead = 0.01 + 0.03 * draw.normal(size=4) - 0.03 * draw.normal(size=(singles, 4))
        means = [statistics.over_seeds(row[None]) for row in lead]
        doubts = [comparisons.doubt(one.mean, statistics.superior(one, 0.01)[1], 0.01) for one in means]
        least = means[int(np.argmax(doubts))]
        wrong += compared(Estimate(least, least, among=singles)).verdict != "inconclusive"
    assert wrong / tries <= 0.05


@pytest.mark.parametrize(("won", "verdict"), [(0.5, "contradicted"), (0.0, "contradicted"), (1.0, "reproduced")])
def test_seeds_that_all_agree_say_how_many_of_them_decide(won: float, verdict: str) -> None:
    """Their spread is 0, so Student's t would have any two of them decide; the count of pairs does not."""
    few = statistics.share_of_pairs(np.full((1, 3), won))
    row = compared(Estimate(few, few), 0.1)
    assert row.verdict == "inconclusive"
    assert row.seeds is not None
    assert row.seeds > 3
    assert row.fewest is row.most is None
    enough = statistics.share_of_pairs(np.full((1, row.seeds), won))
    assert compared(Estimate(enough, enough), 0.1).verdict == verdict


def test_a_share_at_its_margin_has_no_number_of_seeds() -> None:
    at = statistics.share_of_pairs(np.array([[1.0, 1.0, 1.0, 0.0, 0.0]]))
    assert compared(Estimate(at, at), 0.1).seeds is None


def test_an_absent_estimate_is_untested() -> None:
    assert compared(estimates.absent("no seed was run for both")).verdict == "untested"
