"""Ratios of time become tables, figures and verdicts; what was not measured alone gets none."""

import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from harness.analysis import report
from harness.analysis.figures import latency_figure
from harness.analysis.output import figure_style
from harness.analysis.study import study
from harness.analysis.study.study import Study
from harness.analysis.views import latency
from harness.experiments import claims, exhibits
from harness.experiments.verdict import Finding
from harness.store.archive import Run

COST = {"adapter": (1.3, None), "lora": (1.2, 1.0), "full": (1.0, None), "prefix": (1.1, None)}
Make = Callable[..., Study]


def figures(ratio: float) -> dict[str, Any]:
    ms = {"median": 10 * ratio, "p5": 9.0, "p95": 20.0}
    return {"ms": ms, "ratio": {"median": ratio, "low": ratio - 0.01, "high": ratio + 0.01}, "examples_per_s": 5.0}


def probed(run: Run, draw: random.Random, **circumstances: Any) -> Run:
    """The run with what the probe would have measured, in the record."""
    states: dict[str, Any] = {}
    for state, ratio in zip(latency.STATES, COST[run.record["cell"]["method"]["name"]], strict=True):
        noisy = [ratio + draw.gauss(0, 0.005) for _ in (1, 32)] if ratio else []
        states[state] = {size: figures(one) for size, one in zip(("1", "32"), noisy, strict=False)} or None
    found = {"status": "done", "cells_beside": 0, "busy_beside": 0.01, "device": "cpu", **states, **circumstances}
    return replace(run, record={**run.record, "probes": {"latency": found}})


@pytest.fixture
def make(make_grid: Callable[..., list[Run]]) -> Make:
    def do(seeds: int = 3, **circumstances: Any) -> Study:
        draw = random.Random(0)
        runs = make_grid(methods=tuple(COST), seeds=tuple(range(seeds)))
        (found,) = study.studies(exhibits.load("delta-latency"), [probed(run, draw, **circumstances) for run in runs])
        return found

    return do


def judge(found: Study, name: str, **options: Any) -> Finding:
    claim = claims.find(name)
    given = {**claim.options, **options}
    return claim.with_options(given).test()(found, claim.with_options(given), given)


def test_the_table_has_the_ratios_and_what_cannot_merge(make: Make) -> None:
    table = latency.table(make())
    assert table.columns[:3] == ("method", "unmerged, batch 1", "unmerged, batch 32")
    by_method = {row[0].text: row for row in table.rows}
    assert [row[0].text for row in table.rows] == ["full", "prefix", "lora", "adapter"]
    assert by_method["adapter"][1].value == pytest.approx(1.3, abs=0.02)
    assert by_method["lora"][3].value == pytest.approx(1.0, abs=0.02)
    assert by_method["adapter"][3].text == "—"
    assert by_method["adapter"][5].value == pytest.approx(13, rel=0.05)
    assert all(row[1].keys for row in table.rows)


def test_verdicts_follow_the_ratios(make: Make) -> None:
    here = make()
    assert judge(here, "slow-to-answer", method="adapter").verdict == "reproduced"
    assert judge(here, "slow-to-answer", method="full").verdict == "contradicted"
    assert judge(here, "as-fast-once-merged", method="lora").verdict == "reproduced"
    assert judge(here, "as-fast-once-merged", method="lora", state="unmerged").verdict == "contradicted"
    told = judge(here, "slow-to-answer", method="adapter").sentence
    assert told.startswith("adapter adds inference latency: reproduced; adapter takes +")
    assert "[+" in told


@pytest.mark.parametrize(
    ("circumstances", "reason"),
    [
        ({"cells_beside": 1}, "other cells ran during"),
        ({"busy_beside": 1.5}, "1.5 cores busy"),
        ({"seeds": 1}, "one seed"),
    ],
)
def test_there_is_no_verdict_on_what_was_not_measured_alone_or_once(
    make: Make, circumstances: dict[str, Any], reason: str
) -> None:
    found = judge(make(**circumstances), "slow-to-answer", method="adapter")
    assert found.verdict == "untested"
    assert reason in found.sentence
    assert "adapter takes +" in found.sentence


def test_what_was_not_probed_or_failed_is_missing(make: Make, make_grid: Callable[..., list[Run]]) -> None:
    runs = make_grid(methods=tuple(COST))
    (bare,) = study.studies(exhibits.load("delta-latency"), runs)
    assert judge(bare, "slow-to-answer", method="adapter").verdict == "untested"
    assert judge(bare, "slow-to-answer", method="bitfit").comparisons == ()
    assert len(latency.table(bare).rows) == len(COST)
    failed = [
        replace(one, record={**one.record, "probes": {"latency": {"status": "failed", "error": "no delta"}}})
        for one in runs
    ]
    (here,) = study.studies(exhibits.load("delta-latency"), failed)
    assert any("no delta" in note for note in latency.table(here).notes)


def test_the_figure_is_drawn_with_and_without_probes(make: Make, make_grid: Callable[..., list[Run]]) -> None:
    (bare,) = study.studies(exhibits.load("delta-latency"), make_grid(methods=tuple(COST)))
    with figure_style.style():
        for one, panels in ((make(), 2), (bare, 1)):
            figure = latency_figure.draw([one])
            figure_style.settle(figure)
            assert len(figure.axes) == panels


def test_the_exhibits_claims_are_judged(make: Make) -> None:
    verdicts = {finding.claim: finding.verdict for finding in report.judge(exhibits.load("delta-latency"), make())}
    assert verdicts == {"slow-to-answer": "reproduced", "as-fast-once-merged": "reproduced"}
