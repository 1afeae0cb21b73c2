"""A soup is compared with its own ingredients: the best of them by validation, and their mean."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from harness.analysis.combining import soups
from harness.analysis.study import estimates, study
from harness.analysis.study.study import Study
from harness.experiments import claims, exhibits
from harness.experiments.verdict import Finding
from harness.store.archive import Run

Make = Callable[..., Study]
RATES = (3e-4, 1e-3, 3e-3)
REPORTED = {3e-4: 0.6, 1e-3: 0.8, 3e-3: 0.9}
VALIDATION = {3e-4: 0.5, 1e-3: 0.9, 3e-3: 0.7}


def with_scores(run: Run, reported: float, validation: float) -> Run:
    sets = {"test": {"accuracy": reported, "n": 500}, "validation": {"accuracy": validation, "n": 250}}
    scores = {name: {**point, "sets": sets} for name, point in run.record["scores"].items()}
    return replace(run, record={**run.record, "scores": scores})


@pytest.fixture
def make(make_run: Callable[..., Run]) -> Make:
    def do(soup: float, missing: bool = False) -> Study:
        runs = []
        for seed in range(4):
            parts = [
                with_scores(make_run("full", "micro/qa", seed, learning_rate=rate), REPORTED[rate], VALIDATION[rate])
                for rate in RATES
            ]
            own = with_scores(make_run("soup", "micro/qa", seed, quality={"soup": 0.5}), soup + 0.002 * seed, 0.5)
            parents = [[name, part.record["key"]] for name, part in zip("abc", parts, strict=True)]
            cell = {**own.record["cell"], "parents": parents}
            parameters = {**own.record["parameters"], "delta": 0}
            runs += parts[: 2 if missing else 3]
            runs.append(replace(own, record={**own.record, "cell": cell, "parameters": parameters}))
        (made,) = study.studies(exhibits.load("delta-soup"), runs)
        return made

    return do


def judge(made: Study, name: str, **options: Any) -> Finding:
    claim = claims.find(name)
    given = {**claim.options, **options}
    return claim.with_options(given).find(made, given)


def test_the_best_ingredient_is_chosen_on_validation(make: Make) -> None:
    made = make(0.85)
    (arm,) = soups.soups(made)
    assert estimates.score(soups.leads(made, soups.BEST), arm).main.mean == pytest.approx(0.85 + 0.003 - 0.8)
    assert estimates.score(soups.leads(made, soups.MEAN), arm).main.mean == pytest.approx(0.85 + 0.003 - 2.3 / 3)
    (row,) = soups.table(made).rows
    assert [entry.value for entry in row[2:4]] == [pytest.approx(80.0), pytest.approx(100 * 2.3 / 3)]


@pytest.mark.parametrize(
    ("soup", "against", "verdict"),
    [
        (0.85, "best", "reproduced"),
        (0.79, "best", "contradicted"),
        (0.79, "mean", "reproduced"),
        (0.7, "mean", "contradicted"),
    ],
)
def test_a_soup_beats_or_does_not(make: Make, soup: float, against: str, verdict: str) -> None:
    finding = judge(make(soup), "soup-beats", against=against)
    assert finding.verdict == verdict, finding.sentence


def test_to_match_is_not_to_be_far_below(make: Make) -> None:
    assert judge(make(0.797), "soup-matches", against="best").verdict == "reproduced"
    assert judge(make(0.6), "soup-matches", against="best").verdict == "contradicted"


def test_a_missing_ingredient_leaves_it_untested(make: Make) -> None:
    made = make(0.9, missing=True)
    assert judge(made, "soup-beats", against="best").verdict == "untested"
    assert judge(made, "soup-beats", against="mean").verdict == "untested"


def test_cells_without_a_soup_decide_nothing(make_grid: Callable[..., list[Run]]) -> None:
    (made,) = study.studies(exhibits.load("delta-soup"), make_grid(methods=("full", "lora")))
    assert judge(made, "soup-beats").verdict == "untested"
    assert soups.table(made).rows == ()
