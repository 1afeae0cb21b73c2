"""Claims on records whose truth is known."""

import pytest

from harness.analysis import report
from harness.analysis.study import study
from harness.experiments import claims, exhibits
from harness.experiments.verdict import overall

EVEN = dict.fromkeys(("full", "lora", "adapter", "prefix", "prompt"), 0.8)
REVERSED = {"full": 0.2, "lora": 0.4, "adapter": 0.6, "prefix": 0.8, "prompt": 1.0}
APART = {"full": 1.0, "lora": 0.85, "adapter": 0.7, "prefix": 0.5, "prompt": 0.2}


RATES = (1e-5, 1e-3, 1e-1)
"""The middle one is the best of every method."""


def judged(name, runs, claim=None):
    exhibit = exhibits.load(name)
    found = [finding for one in study.studies(exhibit, runs) for finding in report.judge(exhibit, one)]
    return next(one for one in found if claim is None or one.claim == claim)


def test_every_sentence_is_english():
    """Options stand in it as a reader writes them, not as Python does."""
    rows = [(claims.find(name), options) for one in exhibits.catalogue().values() for name, options in one.claims]
    sentences = [row.with_options({**row.options, **options}).sentence for row, options in rows]
    assert len(sentences) > 45
    for sentence in sentences:
        assert not set('[]{}"') & set(sentence), sentence
        assert sentence.endswith("."), sentence


def order(runs):
    return judged("delta-ranking", runs, "order-of-scores")


def test_a_true_order_is_reproduced(make_grid):
    found = order(make_grid(rates=RATES, seeds=range(7), quality=APART))
    assert found.verdict == "reproduced"
    assert found.statistics["tau_b"] == pytest.approx(1)
    assert len(found.comparisons) == 10
    assert all(row.p < 0.05 for row in found.comparisons)


def test_the_opposite_order_contradicts(make_grid):
    found = order(make_grid(rates=RATES, seeds=range(4), quality=REVERSED))
    assert found.verdict == "contradicted"
    assert found.statistics["tau_b"] == pytest.approx(-1)
    assert {row.verdict for row in found.comparisons} == {"contradicted"}


def test_equal_methods_reproduce_nothing(make_grid):
    found = order(make_grid(rates=RATES, seeds=range(4), quality=EVEN, noise=0.03))
    assert found.verdict != "reproduced"
    assert not any(row.verdict == "reproduced" for row in found.comparisons)


def test_an_open_question_says_how_many_seeds_it_takes_and_they_suffice(make_grid):
    close = {**APART, "lora": 0.725}
    few = order(make_grid(rates=RATES, seeds=range(4), quality=close, noise=0.02))
    row = next(row for row in few.comparisons if (row.left, row.right) == ("lora", "adapter"))
    assert row.verdict == "inconclusive"
    assert row.seeds is None or row.seeds > 3
    assert few.verdict == "inconclusive"
    assert "inconclusive" in few.sentence


def test_one_seed_cannot_test_anything_and_says_so(make_grid):
    found = order(make_grid(rates=RATES, seeds=(0, 1)))
    assert found.verdict == "untested"
    assert {row.reason for row in found.comparisons} == {"one seed has no spread"}
    assert "tau_low" not in found.statistics


def test_a_missing_method_leaves_its_pairs_out_and_is_named(make_grid):
    found = order(make_grid(rates=RATES, seeds=range(4), methods=("none", "full", "lora", "prompt"), quality=APART))
    assert len(found.comparisons) == 3
    assert "adapter, prefix" in found.notes[0]
    assert any("tau cannot reach" in note for note in found.notes)


def test_a_method_without_a_score_on_one_task_is_untested(make_grid):
    runs = [
        r
        for r in make_grid(rates=RATES, seeds=range(4))
        if not (r.record["cell"]["method"]["name"] == "lora" and "qa" in r.record["cell"]["task"]["name"])
    ]
    found = order(runs)
    rows = [row for row in found.comparisons if "lora" in (row.left, row.right)]
    assert {row.verdict for row in rows} == {"untested"}
    assert found.verdict != "reproduced"


def test_two_variants_of_a_method_have_no_place_in_the_order(make_grid, make_run):
    runs = make_grid(rates=RATES, seeds=range(4)) + [
        make_run("lora", run.record["cell"]["task"]["name"], run.record["cell"]["seed"], fields={"rank": 2})
        for run in make_grid(methods=("lora",))
    ]
    found = order(runs)
    assert "lora" in found.notes[0]
    assert not any("lora" in (row.left, row.right) for row in found.comparisons)


def test_comparable_in_most_cases(make_grid):
    claim = "comparable-in-most-cases"
    assert (
        judged("delta-ranking", make_grid(rates=RATES, seeds=range(4), quality=EVEN, noise=0.005), claim).verdict
        == "reproduced"
    )
    far = judged("delta-ranking", make_grid(rates=RATES, seeds=range(4), quality={**EVEN, "full": 1.6}), claim)
    assert far.verdict != "reproduced"
    assert far.statistics["share"] == 0


def test_a_share_of_cases_has_no_bound_beyond_0_and_1(make_grid):
    uneven = make_grid(rates=RATES, seeds=range(3), quality={**EVEN, "full": 1.2}, noise=0.1)
    (row,) = judged("delta-ranking", uneven, "comparable-in-most-cases").comparisons
    assert row.low == -0.5 < row.estimate < row.high
    assert "[0%, " in judged("delta-ranking", uneven, "comparable-in-most-cases").sentence


def test_convergence_order(make_grid):
    found = judged("delta-convergence", make_grid(rates=RATES, seeds=range(16)))
    by_pair = {(row.left, row.right): row for row in found.comparisons}
    assert by_pair["full", "lora"].verdict == "reproduced"
    assert by_pair["full", "prompt"].estimate == 1
    assert by_pair["adapter", "lora"].relation == "similar to"
    assert by_pair["adapter", "lora"].verdict != "contradicted"
    assert by_pair["prefix", "prompt"].estimate == 0.5  # neither gets there: a tie, and no evidence


def test_too_few_pairs_are_called_hopeless(make_grid):
    found = judged("delta-convergence", make_grid(rates=RATES, seeds=range(3)))
    assert all("whatever their curves" in row.reason for row in found.comparisons if row.verdict == "inconclusive")
    assert found.verdict != "reproduced"
    assert "cannot be decided" in found.sentence


def test_the_pairs_of_one_seed_test_no_order_of_speed(make_grid):
    """Seed 0 chooses the rates."""
    found = judged("delta-convergence", make_grid(rates=RATES, seeds=(0, 1)))
    assert {(row.verdict, row.reason) for row in found.comparisons} == {("untested", "one seed has no spread")}


def test_without_the_ceiling_there_is_no_goal(make_grid):
    found = judged("delta-convergence", make_grid(rates=RATES, methods=("lora", "prompt")))
    assert found.verdict == "untested"


def test_every_comparison_can_be_followed_to_its_cells(make_grid):
    runs = make_grid(rates=RATES, seeds=range(4))
    keys = {run.record["key"] for run in runs}
    for row in order(runs).comparisons:
        assert len(row.keys) == 18
        assert set(row.keys) <= keys


@pytest.mark.parametrize(
    ("verdicts", "expected"),
    [
        ([], "untested"),
        (["untested"], "untested"),
        (["reproduced", "reproduced"], "reproduced"),
        (["reproduced", "untested"], "inconclusive"),
        (["reproduced", "inconclusive"], "inconclusive"),
        (["reproduced", "contradicted"], "contradicted"),
    ],
)
def test_one_verdict_from_many(verdicts, expected):
    assert overall(verdicts) == expected
