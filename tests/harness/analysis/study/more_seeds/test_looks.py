"""Verdicts over several looks: the boundary, its error by simulation, and Holm's adjustment over all comparisons."""

import math

import numpy as np
import pytest
from scipy import stats

from harness.analysis.study import open_rates, statistics
from harness.analysis.study.more_seeds import looks
from harness.analysis.study.more_seeds.next_steps import ONE_SEED
from harness.experiments.verdict import Comparison, OwnTest


def p_values(paths: int, seed: int = 0, effect: float = 0.0) -> np.ndarray:
    """[paths, looks] two-sided p of Student's t after 3, 5, 8, … seeds, where the truth is `effect` deviations away."""
    values = np.random.default_rng(seed).standard_normal((paths, looks.LOOKS[-1])) + effect
    seeds = np.array(looks.LOOKS)
    sums, squares = values.cumsum(axis=1)[:, seeds - 1], (values**2).cumsum(axis=1)[:, seeds - 1]
    errors = np.sqrt((squares - sums**2 / seeds) / (seeds - 1) / seeds)
    return np.asarray(2 * stats.t.sf(np.abs(sums / seeds) / errors, seeds - 1))


def crossed(p: np.ndarray, error: float) -> float:
    """The share of paths that the boundary of this error decides at some look."""
    return float((p < [looks.level(error, look) for look in range(len(looks.LOOKS))]).any(axis=1).mean())


def made(*p: float, verdict: str = "reproduced", **fields: float) -> list[OwnTest | None]:
    """The tests of the first looks, and none at the others."""
    tests: list[OwnTest | None] = [OwnTest(verdict, value, **fields) for value in p]
    return tests + [None] * (len(looks.LOOKS) - len(p))


def test_the_looks_spend_the_whole_error_and_nine_tenths_by_thirty_seeds() -> None:
    assert sum(looks.shares()) == pytest.approx(1)
    assert sum(looks.shares()[: looks.LOOKS.index(looks.USUAL_MOST) + 1]) == pytest.approx(0.9)
    assert min(looks.shares()) > 0.04


def test_levels_grow_with_the_error_and_are_no_stricter_than_bonferronis() -> None:
    table = np.array([looks.LEVELS[error] for error in sorted(looks.LEVELS)])
    assert (np.diff(table, axis=0) > 0).all()
    for error, levels in looks.LEVELS.items():
        assert (np.array(levels) > 0.9 * error * np.array(looks.shares())).all(), error
        assert max(levels) < error


def test_the_first_level_is_the_first_share() -> None:
    """Nothing comes before the first look, so its level is known exactly."""
    for error, levels in looks.LEVELS.items():
        assert levels[0] == pytest.approx(error * looks.shares()[0], rel=0.15 if error < 0.001 else 0.03)


def test_wrong_verdicts_over_all_looks_stay_at_five_percent_and_naive_ones_do_not() -> None:
    p = p_values(20_000)
    assert crossed(p, 0.05) < 0.053  # 5 % and two standard errors
    assert crossed(p, 0.05) > 0.045  # the boundary wastes nothing
    assert crossed(p, 0.005) < 0.0065
    assert (p[:, :6] < 0.05).any(axis=1).mean() > 0.15


def test_a_real_effect_is_decided_sooner_or_later() -> None:
    assert crossed(p_values(2_000, effect=1.0)[:, :], 0.05) > 0.99


@pytest.mark.parametrize("look", [0, 3, 7])
def test_the_adjusted_p_is_the_error_at_which_the_look_decides(look: int) -> None:
    for error in (1e-6, 0.0003, 0.004, 0.05, 0.25):
        assert looks.repeated(looks.level(error, look), look) == pytest.approx(error)
    assert looks.repeated(0.0, look) == 0
    assert looks.repeated(1.0, look) == pytest.approx(1)


def test_a_verdict_stands_from_the_look_that_gave_it() -> None:
    judged = looks.judge({("a",): made(0.5, 0.0001, 0.9), ("b",): made(0.5)})
    assert (judged["a",].verdict, judged["a",].look) == ("reproduced", 2)
    assert (judged["b",].verdict, judged["b",].look) == ("inconclusive", 1)


def test_the_level_of_one_look_does_not_decide() -> None:
    """p = 0.03 is below 5 %, and above what this look may spend."""
    assert looks.judge({("a",): made(0.03)})["a",].verdict == "inconclusive"


def test_holm_counts_every_comparison_of_the_exhibit() -> None:
    p = 0.9 * looks.level(0.05, 1)
    assert looks.judge({("a",): made(1.0, p)})["a",].verdict == "reproduced"
    many = {("a",): made(1.0, p)} | {(str(other),): made(0.6) for other in range(9)}
    assert looks.judge(many)["a",].verdict == "inconclusive"
    decided = {("a",): made(1.0, p)} | {(str(other),): made(1e-9) for other in range(9)}
    assert looks.judge(decided)["a",].verdict == "reproduced"


def test_before_the_first_look_nothing_is_decided() -> None:
    judged = looks.judge({("a",): made()})["a",]
    assert (judged.verdict, judged.look) == ("inconclusive", 0)
    assert math.isnan(judged.p)


def test_no_p_is_too_small() -> None:
    assert looks.judge({("a",): made(0.0)})["a",].verdict == "reproduced"


@pytest.mark.parametrize(
    ("seeds", "most", "following"), [(0, 30, 3), (3, 30, 5), (4, 30, 5), (20, 25, None), (100, 100, None)]
)
def test_the_next_look(seeds: int, most: int, following: int | None) -> None:
    assert looks.following(seeds, most) == following


def test_a_forecast_is_a_declared_look_and_grows_with_the_noise() -> None:
    quiet, loud = (OwnTest("inconclusive", 0.2, sd=sd, se=sd, df=2, distance=0.02) for sd in (0.005, 0.03))
    few, many = looks.forecast(quiet, 1), looks.forecast(loud, 1)
    assert few is not None
    assert many is not None
    assert few < many
    assert {few, many} < set(looks.LOOKS)
    assert looks.forecast(OwnTest("inconclusive", 0.9, sd=1.0, se=1.0, df=2, distance=0.001), 1) is None


def test_the_forecast_decides_in_four_of_five_cases() -> None:
    seeds = looks.forecast(OwnTest("inconclusive", 0.2, sd=1.0, se=0.5, df=2, distance=1.0), 1)
    assert seeds is not None
    p = p_values(2_000, effect=1.0)[:, : looks.LOOKS.index(seeds) + 1]
    levels = [looks.level(0.05, look) for look in range(p.shape[1])]
    assert (p < levels).any(axis=1).mean() > 0.78


def test_noise_of_rows_alone_ends_the_search_and_a_wide_interval_over_seeds_does_not() -> None:
    rows = {"sd": 0.01, "df": 4.0, "row_se": 0.02, "distance": 0.005}
    assert looks.rows_needed(OwnTest("inconclusive", 0.8, se=0.004, **rows), 1) > 1
    assert looks.rows_needed(OwnTest("inconclusive", 0.8, se=0.04, **rows), 1) is None
    assert looks.rows_needed(OwnTest("inconclusive", 0.8, se=0.004, **{**rows, "row_se": 0.0}), 1) is None


def row(verdict: str = "inconclusive", reason: str = "", test: OwnTest | None = None, **fields: object) -> Comparison:
    return Comparison("left", "right", "above", verdict, reason=reason, test=test, **fields)


@pytest.mark.parametrize(
    ("compared", "wants"),
    [
        (row(test=OwnTest("inconclusive", 0.3)), True),
        (row("reproduced", test=OwnTest("reproduced", 0.001)), False),
        (row(test=OwnTest("inconclusive", 0.3), rows=2.0), False),
        (row(reason=open_rates.EDGE, test=OwnTest("inconclusive", 0.3)), False),
        (row(reason=open_rates.EDGE, test=OwnTest("reproduced", 0.03, at_best=True)), True),
        (row("untested", ONE_SEED), True),
        (row("untested", "no seed was run for both"), False),
        (row("contradicted"), False),
    ],
)
def test_which_comparisons_want_seeds(compared: Comparison, wants: bool) -> None:
    assert looks.wants_seeds(compared) is wants


def test_counts_of_what_is_decided_and_what_is_missing() -> None:
    rows = [
        row("reproduced"),
        row(test=OwnTest("inconclusive", 0.3)),
        row(test=OwnTest("inconclusive", 0.3), rows=2.0),
        row(reason=open_rates.ALONE, test=OwnTest("inconclusive", 0.3)),
        row("untested", "this probe was not run"),
    ]
    assert list(looks.counts(rows).values()) == [1, 1, 1, 1, 1]


def test_the_p_values_of_the_paths_are_those_of_the_t_test() -> None:
    values = np.random.default_rng(0).standard_normal((4, looks.LOOKS[-1]))
    assert p_values(4)[2, 1] == pytest.approx(stats.ttest_1samp(values[2, :5], 0).pvalue)


@pytest.mark.slow
def test_verdicts_for_and_against_and_within_the_margin_are_wrong_in_five_percent() -> None:
    """At the edge of each margin, with noise of seeds alone, and with noise of rows, the same at all looks."""
    random = np.random.default_rng(3)
    for rule, truth in ((statistics.superior, 0.01), (statistics.at_least, -0.01), (statistics.similar, 0.01)):
        for row_se in (0.0, 0.01):
            wrong = 0
            for _ in range(600):
                scores = random.normal(truth + random.normal(0, row_se) if row_se else truth, 0.01, (1, 20))
                parts = [statistics.over_seeds(scores[:, :seeds]) for seeds in looks.LOOKS[:5]]
                tests = [rule(statistics.with_rows(part, row_se), 0.01) for part in parts]
                judged = looks.judge({("a",): made_of(tests)})["a",]
                wrong += judged.verdict in looks.DECIDED
            assert wrong / 600 < 0.068, (rule.__name__, row_se)


def made_of(tests: list[tuple[str, float]]) -> list[OwnTest | None]:
    own: list[OwnTest | None] = [OwnTest(verdict, p) for verdict, p in tests]
    return own + [None] * (len(looks.LOOKS) - len(own))
