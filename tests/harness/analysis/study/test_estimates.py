"""Normalised scores, ranks and times to a goal."""

import math
from dataclasses import replace

import numpy as np
import pytest

from harness.analysis import report
from harness.analysis.output import table
from harness.analysis.study import convergence_speed, estimates, open_rates, row_errors, statistics, study
from harness.analysis.views import convergence
from harness.analysis.views import ranking as tables
from harness.experiments import claims, exhibits
from tests.benchmarks import rows


@pytest.fixture
def ranking(make_grid):
    def made(**options):
        return study.studies(exhibits.load("delta-ranking"), make_grid(**options))[0]

    return made


def test_floor_is_0_and_ceiling_is_1_by_definition(ranking):
    one = ranking()
    for arm, value in (("none", 0), ("full", 1)):
        found = estimates.normalised(one.clean, arm, "none", "full").main
        assert (found.mean, found.low, found.high) == (value, value, value)


@pytest.mark.parametrize(("metric", "low"), [("accuracy", 0.0), ("macro_f1", 0.0), ("matthews", -1.0)])
def test_no_interval_leaves_the_range_of_its_metric(make_grid, metric, low):
    runs = make_grid(methods=("lora", "full"), tasks=("micro/qa",), seeds=(1, 2))
    for run in runs:
        run.record["task_facts"]["metric"] = metric
        for point in run.record["scores"].values():
            share = 0.99 - 0.6 * (run.record["cell"]["seed"] - 1)
            point["sets"] = {name: {metric: share, "n": 10} for name in ("validation", "test")}
    panel = study.studies(exhibits.load("delta-ranking"), runs)[0].clean
    found = estimates.score(panel, "lora")
    for interval in (found.main, found.beside):
        assert low <= interval.low <= interval.high <= 1.0
    assert found.main.high == 1.0
    assert found.main.low == low


def test_a_share_that_a_probe_measured_is_cut_too(make_grid):
    runs = make_grid(methods=("lora",), tasks=("micro/qa",), seeds=(1, 2))
    for run, share in zip(runs, (0.4, 1.0), strict=True):
        run.record["probes"] = {"overlap": {"status": "done", "sets": {"test": {"rouge_l": share, "grade": 9 * share}}}}
    one = study.studies(exhibits.load("delta-ranking"), runs)[0]
    found = estimates.score(one.probed("overlap", "rouge_l"), "lora").main
    assert (found.low, found.high) == (0.0, 1.0)
    grade = estimates.score(one.probed("overlap", "grade", (1.0, 10.0)), "lora").main
    assert (grade.low, grade.high) == (1.0, 10.0)


def test_normalised_is_the_mean_ratio_over_tasks(ranking):
    panel = ranking().clean
    a, f, c = (np.nanmean(panel.of(arm), axis=1) for arm in ("lora", "none", "full"))
    found = estimates.normalised(panel, "lora", "none", "full")
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
        student = next(one for one in estimates._ratio(joint) if one.kind == "t")
        hits += student.low <= 0.8 <= student.high
    assert 0.92 < hits / repeats < 0.98


def test_without_a_floor_method_guessing_is_the_floor(ranking):
    one = ranking(methods=("full", "lora"))
    assert one.floor is None
    a, c = (np.nanmean(one.clean.of(arm), axis=1) for arm in ("lora", "full"))
    expected = ((a - one.clean.base) / (c - one.clean.base)).mean()
    assert estimates.normalised(one.clean, "lora", one.floor, one.ceiling).main.mean == pytest.approx(expected)


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
    found = estimates.normalised(one.clean, "lora", one.floor, one.ceiling)
    assert math.isnan(found.main.mean)
    assert "3 standard errors" in found.reason


def test_ranks_add_up_and_ties_share(ranking):
    one = ranking()
    ranks = estimates.ranked(one.clean)
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
    assert estimates.score(one.clean, "lora").reason == "no score on micro/qa"
    ranks = estimates.ranked(one.clean)
    assert math.isnan(ranks["lora"].main.mean)
    assert ranks["full"].main.mean < 2


def test_differences_are_paired_by_seed(ranking):
    panel = ranking().clean
    values = panel.of("full") - panel.of("lora")
    found = estimates.difference(panel, "full", "lora").main
    assert statistics.with_rows(found, 0.0) == statistics.over_seeds(values)


def test_test_rows_are_noise_too(ranking):
    """Three tasks of 500 rows: the binomial errors of both sides, as if their answers were independent."""
    panel = ranking().clean
    means = [np.nanmean(panel.of(arm), axis=1) for arm in ("full", "lora")]
    variances = sum(statistics.row_variance(mean, 500) for mean in means)
    error = math.sqrt(variances.sum()) / 3
    assert estimates.difference(panel, "full", "lora").main.row_se == pytest.approx(error)
    assert estimates.score(panel, "lora", 0).main.row_se == pytest.approx(
        math.sqrt(statistics.row_variance(means[1][0], 500))
    )


def test_what_is_no_mean_over_rows_has_no_error_of_rows(make_grid):
    runs = make_grid()
    for run in runs:
        run.record["task_facts"]["metric"] = "matthews"
        for point in run.record["scores"].values():
            for figures in point["sets"].values():
                figures["matthews"] = figures.pop("accuracy")
    one = study.studies(exhibits.load("delta-ranking"), runs)[0]
    assert estimates.difference(one.clean, "full", "lora").main.row_se == 0
    assert any("leaves out the error of the rows" in note for note in tables.ranking(one).notes)


def test_columns_that_differ_in_training_share_their_rows(ranking):
    panel = ranking().clean
    alone = row_errors.of_arms(panel.at([0]), ["lora"])
    twice = replace(panel.at([0, 0]), tasks=("micro/a train_size=10", "micro/a train_size=90"))
    assert row_errors.of_arms(twice, ["lora"]) == pytest.approx(alone)
    apart = replace(twice, tasks=("micro/a:x", "micro/a:y"))
    assert row_errors.of_arms(apart, ["lora"]) == pytest.approx(alone / math.sqrt(2))


@pytest.mark.parametrize(("tasks", "own"), [(1, 1.0), (6, 1.0), (6, 0.0)])
def test_an_interval_for_new_rows_covers_where_one_over_seeds_alone_may_not(tasks, own):
    (alone, bound, paired), (wide, narrow) = rows.coverage(tasks, 100, 8, own, 0.05, repeats=150)
    assert min(bound, paired) >= 0.95
    assert own == 0 or alone < 0.92
    assert narrow < 0.7 * wide, "rows that both get wrong say nothing about the difference"


def test_pairs_of_rows_count_only_where_every_seed_of_both_arms_has_them(ranking):
    answers = rows.answers(np.random.default_rng(1), 1, 300, 4, own=1.0, spread=0.1)
    paired = rows.panel(answers)
    bound = row_errors.of_arms(replace(paired, row_scores=None), ["a", "b"])
    found = row_errors.of_arms(paired, ["a", "b"])
    means = (answers[0] - answers[1]).mean(axis=(0, 1))
    assert 0.5 * means.std() < found * math.sqrt(300) < 1.1 * means.std()
    assert found < 0.9 * bound
    gap = paired.row_scores.copy()
    gap[1, 0, 2] = None
    assert row_errors.of_arms(replace(paired, row_scores=gap), ["a", "b"]) == bound
    one_less = paired.values.copy()
    one_less[1, 0, 2] = np.nan  # a seed that one arm lacks is in neither
    assert row_errors.of_arms(replace(paired, row_scores=gap, values=one_less), ["a", "b"]) < 0.9 * bound
    keys = np.array([[[f"{arm}{seed}" for seed in range(4)]] for arm in "ab"], dtype=object)
    keyed = replace(paired, keys=keys, best=1.0)
    raised = keyed.at_best(["a1"])
    assert row_errors.of_arms(raised, ["a", "b"]) == row_errors.of_arms(replace(raised, row_scores=None), ["a", "b"])


def test_columns_with_the_same_test_rows_are_paired_in_a_difference():
    """As a few training rows against many, or examples in the prompt against as many in training."""
    answers = rows.answers(np.random.default_rng(2), 1, 300, 4, own=1.0, spread=0.1)
    paired = rows.panel(np.swapaxes(answers, 0, 1))  # two columns of one arm, with the same rows
    both = replace(paired, tasks=("micro/a train_size=10", "micro/a shots=4"))
    terms = [(1.0, "a", 0), (-1.0, "a", 1)]
    found = row_errors.of_terms(both, terms)
    means = (answers[0] - answers[1]).mean(axis=(0, 1))
    assert 0.5 * means.std() < found * math.sqrt(300) < 1.1 * means.std()
    alone = [row_errors.of_arms(both.at([column]), ["a"]) for column in (0, 1)]
    unknown = replace(both, row_scores=None)
    bound = [row_errors.of_arms(unknown.at([column]), ["a"]) for column in (0, 1)]
    assert row_errors.of_terms(unknown, terms) == pytest.approx(math.hypot(*bound))
    assert found < 0.9 * math.hypot(*bound)
    apart = replace(both, tasks=("micro/a", "micro/b"))
    assert row_errors.of_terms(apart, terms) == pytest.approx(math.hypot(*alone)), "other rows have nothing in common"


def test_rows_that_all_agree_are_not_certain():
    same = rows.panel(np.ones((2, 1, 3, 50)))
    assert 0 < row_errors.of_arms(same, ["a", "b"]) < 0.05
    bound = row_errors.of_arms(replace(same, row_scores=None), ["a"])
    assert row_errors.of_arms(same, ["a"]) == pytest.approx(bound, rel=0.1)


def test_a_score_has_no_interval_beyond_0_and_100(ranking):
    one = ranking(quality={"full": 1.1, "lora": 1.08}, noise=0.05, tasks=("micro/sentiment",))
    found = estimates.score(one.clean, "full").main
    assert found.high == 1
    text = table.number(estimates.score(one.clean, "full"), 100).text
    assert text.endswith("100.0]")


def test_guessing_is_known_where_one_task_has_no_majority(make_grid):
    """pandas keeps the missing one as NaN, which is not None."""
    runs = make_grid()
    for run in runs:
        facts = run.record["task_facts"]
        facts["majority"] = None if run.record["cell"]["task"]["name"] == "micro/qa" else facts["chance"] + 0.1
    one = study.studies(exhibits.load("delta-ranking"), runs)[0]
    assert dict(zip(one.clean.tasks, one.clean.base, strict=True)) == pytest.approx(
        {"micro/sentiment": 0.6, "micro/inference": 0.44, "micro/qa": 0.25}
    )


def test_a_missing_size_is_missing(make_grid):
    runs = make_grid()
    for run in runs:
        if run.record["cell"]["method"]["name"] == "lora":
            run.record["parameters"] = {}
    one = study.studies(exhibits.load("delta-ranking"), runs)[0]
    assert one.trained("lora") is None
    assert one.trained("full") == (183936, 1.0)
    [row] = [row for row in tables.ranking(one).rows if row[0].value == "lora"]
    assert row[1].text == table.MISSING


def below_chance(runs, method: str, task: str, score: float) -> None:
    for run in runs:
        cell = run.record["cell"]
        if (cell["method"]["name"], cell["task"]["name"]) == (method, task):
            for point in run.record["scores"].values():
                point["sets"]["test"]["accuracy"] = score + cell["seed"] / 1000


def test_the_floor_is_the_best_of_guessing_and_no_tuning(make_grid):
    runs = make_grid(seeds=(1, 2, 3))
    below_chance(runs, "none", "micro/qa", 0.05)
    one = study.studies(exhibits.load("delta-ranking"), runs)[0]
    place = one.clean.tasks.index("micro/qa")
    assert estimates.floor_values(one.clean, "none")[place].tolist() == [0.25] * 3
    others = [index for index in range(3) if index != place]
    assert (estimates.floor_values(one.clean, "none")[others] == one.clean.of("none")[others]).all()
    assert estimates.normalised(one.clean, "none", "none", "full").main.mean < 0


def test_a_ceiling_at_chance_scales_nothing_decides_nothing_and_sets_no_goal(make_grid, monkeypatch):
    monkeypatch.setattr(open_rates, "tuned", lambda content: True)
    runs = make_grid(seeds=range(5))
    below_chance(runs, "full", "micro/qa", 0.27)
    below_chance(runs, "adapter", "micro/qa", 0.92)
    one = study.studies(exhibits.load("delta-ranking"), runs)[0]
    assert one.unlearnt == ("micro/qa",)
    assert one.judged.tasks == ("micro/sentiment", "micro/inference")
    assert estimates.normalised(one.clean, "adapter", "none", "full").main.mean < 1.1
    assert any("left out of normalised scores" in note and "micro/qa" in note for note in tables.ranking(one).notes)
    order, close = report.judge(exhibits.load("delta-ranking"), one)
    assert all(any("left out: micro/qa" in note for note in found.notes) for found in (order, close))
    [row] = [row for row in order.comparisons if (row.left, row.right) == ("full", "adapter")]
    assert row.estimate == pytest.approx(estimates.difference(one.judged, "full", "adapter").main.mean)
    fast = study.studies(exhibits.load("delta-convergence"), runs)[0]
    assert "micro/qa" not in convergence_speed.goals_of(fast)
    assert any("micro/qa" in note for note in convergence.table(fast).notes)


SIDES = {"left": {"method": "lora", "rank": 2}, "right": {"method": "dora", "rank": 2}}
METHODS = {"left": "lora", "right": "dora"}


@pytest.fixture
def ranks(make_run, monkeypatch):
    """Two methods at three ranks on three tasks; the ceiling is at chance on micro/qa, where dora is far ahead."""
    monkeypatch.setattr(open_rates, "tuned", lambda content: True)

    def do(chance=("micro/qa",)):
        runs = []
        for task in ("micro/sentiment", "micro/inference", "micro/qa"):
            worth = {"full": 0.0 if task in chance else 1.0, "lora": 0.8, "dora": 1.6 if task == "micro/qa" else 0.4}
            for seed in range(4):
                options = {"quality": worth, "noise": 0.004}
                runs += [make_run(name, task, seed, **options) for name in ("none", "full")]
                runs += [
                    make_run(name, task, seed, fields={"rank": rank}, **options)
                    for name in ("lora", "dora") for rank in (1, 2, 4)
                ]  # fmt: skip
        (one,) = study.studies(exhibits.load("delta-ranking"), runs)
        return one

    return do


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("scores-above", SIDES), ("scores-at-least", SIDES), ("scores-above", {**SIDES, "each": True}),
        ("at-least-at-each", METHODS), ("at-least-at-half", METHODS), ("less-sensitive-to", METHODS),
    ],
)  # fmt: skip
def test_no_claim_about_scores_counts_a_task_whose_ceiling_is_at_chance(ranks, name, options):
    claim, one, nothing = claims.find(name), ranks(), ranks(chance=("micro/sentiment", "micro/inference", "micro/qa"))
    given = {**claim.options, **options}
    found = claim.with_options(given).test()(one, claim, given)
    assert one.unlearnt == ("micro/qa",)
    assert any("left out: micro/qa" in note for note in found.notes)
    assert "Left out: micro/qa" in found.sentence
    gone = {key for row in one.clean.keys[:, one.clean.tasks.index("micro/qa")] for key in row}
    assert not gone & {key for row in found.comparisons for key in row.keys}
    if name.startswith("scores") or name.startswith("at-least"):
        assert {row.verdict for row in found.comparisons} == {"reproduced"}  # on micro/qa lora is 36 points below
    none = claim.with_options(given).test()(nothing, claim, given)
    assert {(row.verdict, row.reason) for row in none.comparisons} == {("untested", estimates.UNLEARNT)}


def test_claims_over_all_methods_are_untested_where_the_ceiling_learns_nothing(make_grid, monkeypatch):
    monkeypatch.setattr(open_rates, "tuned", lambda content: True)
    runs = make_grid(quality={"none": 0, "full": 0, "lora": 0.9, "adapter": 0.8, "prefix": 0.7, "prompt": 0.3})
    (one,) = study.studies(exhibits.load("delta-ranking"), runs)
    for found in report.judge(exhibits.load("delta-ranking"), one):
        assert found.verdict == "untested"
        assert {row.reason for row in found.comparisons} == {estimates.UNLEARNT}


def test_times_are_the_first_evaluation_at_the_goal_and_never_is_last(make_grid):
    one = study.studies(exhibits.load("delta-convergence"), make_grid(seeds=(1, 2, 3)))[0]
    found = convergence_speed.times(one, 0.9)
    curve = one.curves[(one.curves.arm == "full") & (one.curves.role == "validation")]
    for t, task in enumerate(found.tasks):
        final = curve[(curve.task == task) & (curve.step == curve.step.max())].score.mean()
        assert found.goals[t] == pytest.approx(0.9 * final)
        first = curve[(curve.task == task) & (curve.seed == 1) & (curve.score >= found.goals[t])].step.min()
        assert found.of("full")[t, 0] == first
    assert np.isinf(found.of("prompt")).all()


def test_wins_count_ties_half_and_never_against_never_is_a_tie():
    left, right = np.array([[10, np.inf, 30, np.nan]]), np.array([[20, np.inf, 30, 5]])
    np.testing.assert_array_equal(convergence_speed.wins(left, right), [[1, 0.5, 0.5, np.nan]])
    assert convergence_speed.wins(np.array([[np.inf]]), np.array([[500.0]])) == 0


def test_a_claim_of_the_ceiling_against_the_floor_keeps_the_tasks_that_refute_it(make_grid, monkeypatch):
    """Their outcome would choose the tasks by which they are judged."""
    monkeypatch.setattr(open_rates, "tuned", lambda content: True)
    runs = make_grid(seeds=range(5))
    below_chance(runs, "full", "micro/qa", 0.27)
    one = study.studies(exhibits.load("delta-ranking"), runs)[0]
    assert one.unlearnt == ("micro/qa",)
    claim = claims.find("scores-above")
    given = {**claim.options, "left": "full", "right": "none", "each": True}
    found = claim.with_options(given).find(one, given)
    assert found.verdict == "inconclusive", "it is at chance on one task, and far above on the others"
    assert [row.verdict for row in found.comparisons].count("reproduced") == 2
    assert "Left out" not in found.sentence
