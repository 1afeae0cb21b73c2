"""Normalised scores, ranks and times to a goal."""

import math

import numpy as np
import pytest

from harness import exhibits
from harness.analysis import measures, speed, statistics, study


@pytest.fixture
def ranking(make_grid):
    def made(**options):
        return study.studies(exhibits.load("delta-ranking"), make_grid(**options))[0]

    return made


def test_floor_is_0_and_ceiling_is_1_by_definition(ranking):
    one = ranking()
    for arm, value in (("none", 0), ("full", 1)):
        found = measures.normalised(one.clean, arm, "none", "full").main
        assert (found.mean, found.low, found.high) == (value, value, value)


def test_normalised_is_the_mean_ratio_over_tasks(ranking):
    panel = ranking().clean
    a, f, c = (np.nanmean(panel.of(arm), axis=1) for arm in ("lora", "none", "full"))
    found = measures.normalised(panel, "lora", "none", "full")
    assert found.main.mean == pytest.approx(((a - f) / (c - f)).mean())
    assert found.main.low < found.main.mean < found.main.high
    assert found.main.kind == "t"
    assert found.beside.kind == "bootstrap"


def test_the_normalised_interval_covers_what_it_says():
    """Truth 0.8 with noise in floor, ceiling and method."""
    random, hits, repeats = np.random.default_rng(3), 0, 300
    for _ in range(repeats):
        noise = random.normal(0, 0.02, size=(3, 3, 4))
        joint = noise + np.array([0.5 + 0.8 * 0.4, 0.5, 0.9])[:, None, None]
        student = next(one for one in measures._ratio(joint) if one.kind == "t")
        hits += student.low <= 0.8 <= student.high
    assert 0.92 < hits / repeats < 0.98


def test_without_a_floor_method_guessing_is_the_floor(ranking):
    one = ranking(methods=("full", "lora"))
    assert one.floor is None
    a, c = (np.nanmean(one.clean.of(arm), axis=1) for arm in ("lora", "full"))
    expected = ((a - one.clean.base) / (c - one.clean.base)).mean()
    assert measures.normalised(one.clean, "lora", one.floor, one.ceiling).main.mean == pytest.approx(expected)


@pytest.mark.parametrize(("steps", "floor"), [(0, None), (200, "none")])
def test_a_head_that_nobody_trained_is_no_floor(make_grid, steps, floor):
    runs = make_grid()
    for run in runs:
        run.record["parameters"]["head"] = 128
        if run.record["cell"]["method"]["name"] == "none":
            run.record["scores"]["last"]["step"] = steps
    one = study.studies(exhibits.load("delta-ranking"), runs)[0]
    assert one.floor == floor
    assert "none" not in one.others


def test_no_normalised_score_where_the_ceiling_is_not_above_the_floor(ranking):
    one = ranking(quality={"full": 0.02, "lora": 0.02}, noise=0.01)
    found = measures.normalised(one.clean, "lora", one.floor, one.ceiling)
    assert math.isnan(found.main.mean)
    assert "3 standard errors" in found.reason


def test_ranks_add_up_and_ties_share(ranking):
    one = ranking()
    ranks = measures.ranked(one.clean)
    count = len(one.clean.arms)
    assert sum(found.main.mean for found in ranks.values()) == pytest.approx(count * (count + 1) / 2)
    assert statistics.ranks(np.array([[0.5], [0.9], [0.5]])).ravel().tolist() == [2.5, 1, 2.5]


def test_a_method_that_misses_a_task_has_no_mean_and_no_rank_and_hurts_nobody(make_grid):
    whole = make_grid()
    holed = [
        r
        for r in whole
        if (r.record["cell"]["method"]["name"], r.record["cell"]["task"]["name"]) != ("lora", "micro/qa")
    ]
    one = study.studies(exhibits.load("delta-ranking"), holed)[0]
    assert measures.score(one.clean, "lora").reason == "no score on micro/qa"
    ranks = measures.ranked(one.clean)
    assert math.isnan(ranks["lora"].main.mean)
    assert ranks["full"].main.mean < 2


def test_differences_are_paired_by_seed(ranking):
    panel = ranking().clean
    values = panel.of("full") - panel.of("lora")
    assert measures.difference(panel, "full", "lora").main == statistics.over_seeds(values)


def test_times_are_the_first_evaluation_at_the_goal_and_never_is_last(make_grid):
    one = study.studies(exhibits.load("delta-convergence"), make_grid())[0]
    found = speed.times(one, 0.9)
    curve = one.curves[(one.curves.arm == "full") & (one.curves.role == "validation")]
    for t, task in enumerate(found.tasks):
        final = curve[(curve.task == task) & (curve.step == curve.step.max())].score.mean()
        assert found.goals[t] == pytest.approx(0.9 * final)
        first = curve[(curve.task == task) & (curve.seed == 0) & (curve.score >= found.goals[t])].step.min()
        assert found.of("full")[t, 0] == first
    assert np.isinf(found.of("prompt")).all()


def test_wins_count_ties_half_and_never_against_never_is_a_tie():
    left, right = np.array([[10, np.inf, 30, np.nan]]), np.array([[20, np.inf, 30, 5]])
    assert speed.wins(left, right) == (2.0, 3)
    assert speed.wins(np.array([[np.inf]]), np.array([[500.0]])) == (0.0, 1)
