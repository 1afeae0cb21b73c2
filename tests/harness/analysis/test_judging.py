"""Claims judged over several looks, on made-up records."""

from collections.abc import Callable

import pytest

from harness.analysis import judging, report
from harness.analysis.output import verdict_table
from harness.analysis.study import open_rates, study
from harness.analysis.study.more_seeds import looks
from harness.experiments import claims, exhibits
from harness.experiments.verdict import Comparison, Finding
from harness.store.archive import Run

Grid = Callable[..., list[Run]]
# Seed 0 chooses the rates of this exhibit, so its numbers are of seeds from 1 on.
FEW = {"methods": ("none", "full", "lora", "adapter"), "tasks": ("micro/qa", "micro/sentiment")}
APART = {"full": 1.0, "lora": 0.85, "adapter": 0.7, "prefix": 0.5, "prompt": 0.2}
CLOSE = {**APART, "adapter": 0.84}


@pytest.fixture(autouse=True)
def tuned(monkeypatch: pytest.MonkeyPatch) -> None:
    """The one rate of these cells is settled."""
    monkeypatch.setattr(open_rates, "tuned", lambda content: True)


def judged(runs: list[Run], over_looks: bool = True) -> list[Finding]:
    exhibit = exhibits.load("delta-ranking")
    return judging.judge_all(exhibit, study.studies(exhibit, runs), over_looks)


def order(runs: list[Run], over_looks: bool = True) -> list[Comparison]:
    return list(judged(runs, over_looks)[0].comparisons)


def test_one_look_is_judged_as_before(make_grid: Grid) -> None:
    runs = make_grid(**FEW, seeds=range(1, 5), quality=APART)
    assert all(row.look is None for row in order(runs, over_looks=False))
    exhibit = exhibits.load("delta-ranking")
    assert judged(runs, over_looks=False) == report.judge(exhibit, *study.studies(exhibit, runs))
    assert "look" not in report.plain(judged(runs, over_looks=False)[0])["comparisons"][0]


def test_a_clear_order_is_reproduced_at_an_early_look(make_grid: Grid) -> None:
    [finding, *_] = judged(make_grid(**FEW, seeds=range(1, 9), quality=APART, noise=0.005))
    assert finding.verdict == "reproduced"
    assert {row.look for row in finding.comparisons} <= {1, 2, 3}
    assert "the boundary keeps wrong verdicts over all looks at 5%" in finding.sentence
    table = verdict_table.verdicts([finding], finding.model)
    assert looks.note() in table.notes
    assert any("(look 2)" in entry.text for line in table.rows for entry in line)


def test_an_adjusted_p_is_never_below_that_of_one_look(make_grid: Grid) -> None:
    runs = make_grid(**FEW, seeds=range(1, 4), quality=APART, noise=0.03)
    pairs = zip(order(runs), order(runs, over_looks=False), strict=True)
    assert all(more.p >= row.test.p for more, row in pairs)  # type: ignore[operator, union-attr]


def test_a_look_uses_its_first_seeds_alone(make_grid: Grid) -> None:
    """Six and seven seeds give the verdicts of five: nobody gets a look more."""
    five, seven = (order(make_grid(**FEW, seeds=range(1, seeds + 1), quality=CLOSE, noise=0.03)) for seeds in (5, 7))
    assert [(row.verdict, row.p, row.look) for row in five] == [(row.verdict, row.p, row.look) for row in seven]
    assert [row.estimate for row in five] != [row.estimate for row in seven]


def test_a_look_waits_for_all_cells_of_a_comparison(make_grid: Grid) -> None:
    runs = make_grid(**FEW, seeds=range(1, 6), quality=CLOSE, noise=0.03)
    without = [
        run for run in runs if not (run.record["cell"]["method"]["name"] == "lora" and run.record["cell"]["seed"] == 5)
    ]
    looked = {(row.left, row.right): row.look for row in order(without)}
    assert looked["full", "lora"] == 1 or looked["full", "lora"] is None
    assert {look for pair, look in looked.items() if "lora" not in pair} - {1} == {2}


def test_two_seeds_are_before_the_first_look(make_grid: Grid) -> None:
    [finding, *_] = judged(make_grid(**FEW, seeds=range(1, 3), quality=APART, noise=0.001))
    assert finding.verdict == "inconclusive"
    assert {row.look for row in finding.comparisons} == {0}
    assert f"the first look is after {looks.LOOKS[0]} seeds" in finding.sentence


def test_an_open_rate_stays_open_over_all_looks(make_grid: Grid, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(open_rates, "tuned", lambda content: False)
    rows = order(make_grid(**FEW, seeds=range(1, 9), quality=APART, noise=0.005))
    stuck = [row for row in rows if row.reason.startswith(open_rates.ALONE)]
    assert stuck
    assert not any(map(looks.wants_seeds, stuck))
    assert {row.verdict for row in stuck} == {"inconclusive"}


def test_the_index_has_the_looks(make_grid: Grid, tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    exhibit = exhibits.load("delta-ranking")
    made = judging.looks_made(study.studies(exhibit, make_grid(**FEW, seeds=range(1, 7))), 12)
    assert made == {"declared": list(looks.LOOKS), "made": [3, 5], "most": 12}


def test_every_claim_with_a_share_is_judged_around_what_it_calls_none() -> None:
    """`neutral` is the estimate of no effect: one half of the pairs, all of the parameters, or the printed share."""
    assert {claim.neutral for claim in claims.CLAIMS.values()} == {0.0, 0.5, 1.0, "share"}
    for claim in claims.CLAIMS.values():
        assert not isinstance(claim.neutral, str) or claim.neutral in claim.options
