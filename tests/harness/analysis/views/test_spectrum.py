"""Intruder dimensions are counted where all changed something, at a threshold of analysis."""

import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from harness.analysis import report
from harness.analysis.figures import spectrum_figure
from harness.analysis.output import figure_style
from harness.analysis.study import open_rates, study
from harness.analysis.study.study import Study
from harness.analysis.views import spectrum
from harness.experiments import claims, exhibits
from harness.experiments.verdict import Finding
from harness.store.archive import Run

INTRUDERS = {"full": 1, "lora": 4}
Make = Callable[..., Study]


def measured(method: str, draw: random.Random, low: float) -> dict[str, Any]:
    """Of each matrix some of the first ten vectors are as unlike the pretrained ones as `low`; one is never touched."""
    rows = []
    for name in ("a", "b", "untouched by lora"):
        still = method == "lora" and name.startswith("untouched")
        count = 0 if still else INTRUDERS[method] + draw.choice((0, 1))
        values = [low] * count + [0.95] * (10 - count)
        rows.append({"name": name, "role": "q", "change": 0.0 if still else 0.2, "likeness": values})
    return {"status": "done", "matrices": rows}


@pytest.fixture
def make(make_grid: Callable[..., list[Run]], monkeypatch: pytest.MonkeyPatch) -> Make:
    monkeypatch.setattr(open_rates, "tuned", lambda content: True)

    def do(seeds: int = 3, low: float = 0.2) -> Study:
        draw = random.Random(0)
        runs = make_grid(methods=tuple(INTRUDERS), seeds=tuple(range(seeds)))
        probed = [
            replace(
                run,
                record={
                    **run.record,
                    "probes": {spectrum.PROBE: measured(run.record["cell"]["method"]["name"], draw, low)},
                },
            )
            for run in runs
        ]
        (found,) = study.studies(exhibits.load("spectrum"), probed)
        return found

    return do


def judge(found: Study, **options: Any) -> Finding:
    claim = claims.find("more-intruders")
    given = {**claim.options, "left": "lora", "right": "full", **options}
    return claim.with_options(given).test()(found, claim.with_options(given), given)


def test_only_matrices_that_all_changed_count(make: Make) -> None:
    here = make()
    assert spectrum.shared(here) == {"a", "b"}
    assert spectrum.estimate(spectrum.counts(here, 0.5), "lora").main.mean == pytest.approx(4.5, abs=0.5)


def test_the_threshold_decides(make: Make) -> None:
    here = make(low=0.4)
    assert spectrum.estimate(spectrum.counts(here, 0.3), "lora").main.mean == 0
    assert spectrum.estimate(spectrum.counts(here, 0.5), "lora").main.mean >= 4
    assert spectrum.estimate(spectrum.counts(here, 1.0), "lora").main.mean == 10


def test_the_table_has_a_row_per_arm_with_its_cells(make: Make) -> None:
    table = spectrum.table(make())
    assert [row[0].text for row in table.rows] == ["full", "lora"]
    assert all(row[2].keys for row in table.rows)
    assert any("first 10 left singular vectors" in note and "2 matrices" in note for note in table.notes)


def test_verdicts_follow_the_counts(make: Make) -> None:
    assert judge(make()).verdict == "reproduced"
    assert judge(make(), left="full", right="lora").verdict == "contradicted"
    assert judge(make(), margin=3.0).verdict in ("inconclusive", "contradicted")
    told = judge(make()).sentence
    assert told.startswith("Weights tuned by lora have more intruder dimensions than those tuned by full: reproduced")
    assert "lora has 2.78 [2.54, 3.02] more per matrix than full" in told


def test_one_seed_or_no_probe_decides_nothing(make: Make, make_grid: Callable[..., list[Run]]) -> None:
    assert judge(make(seeds=1)).verdict == "untested"
    (bare,) = study.studies(exhibits.load("spectrum"), make_grid(methods=tuple(INTRUDERS)))
    assert spectrum.shared(bare) == frozenset()
    assert judge(bare).verdict == "untested"
    assert judge(make(), left="prefix").comparisons == ()
    with figure_style.style():
        figure_style.settle(spectrum_figure.draw([bare]))


def test_the_figure_and_the_exhibits_claims(make: Make) -> None:
    here = make()
    with figure_style.style():
        figure = spectrum_figure.draw([here])
        figure_style.settle(figure)
    assert len(figure.axes) == len(here.clean.tasks)
    verdicts = {finding.claim: finding.verdict for finding in report.judge(exhibits.load("spectrum"), here)}
    assert verdicts == {"more-intruders": "reproduced"}
