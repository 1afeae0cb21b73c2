"""PSCP is the score times its penalties, and the published means give the winners that the paper's code gives."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from harness.analysis.study import estimates, open_rates, study
from harness.analysis.study.study import Study
from harness.analysis.tradeoffs import pscp, pscp_views
from harness.experiments import claims, exhibits
from harness.experiments.verdict import Finding
from harness.store.archive import Run

Make = Callable[..., Study]
EXTRA = {"full": 0.0, "lora": 0.5, "layernorm": 0.0, "prompt": None}


@pytest.fixture
def make(make_grid: Callable[..., list[Run]], monkeypatch: pytest.MonkeyPatch) -> Make:
    monkeypatch.setattr(open_rates, "tuned", lambda content: True)

    def do(**quality: float) -> Study:
        changed = []
        for run in make_grid(methods=tuple(EXTRA), seeds=(0, 1, 2, 3), quality=quality, noise=0.003):
            extra = EXTRA[run.record["cell"]["method"]["name"]]
            found = {"status": "done", "sets": {"test": {} if extra is None else {"extra": extra}}}
            memory = {"train": {"live_bytes": 4 * 183936}}
            changed.append(replace(run, record={**run.record, "probes": {pscp.PROBE: found}, "memory": memory}))
        (made,) = study.studies(exhibits.load("peft-bench"), changed)
        return made

    return do


def judge(made: Study, **options: Any) -> Finding:
    claim = claims.find("higher-pscp")
    given = {**claim.options, **options}
    return claim.with_options(given).find(made, given)


def test_the_published_winner_depends_on_the_exponent(make: Make) -> None:
    rows = {row.method: row for row in pscp.printed(make())}
    first = {b: max(rows, key=lambda name: rows[name].pscp(b)) for b in (0.0, 0.5, 1.0, 2.0, 4.0)}
    assert first == {0.0: "lora", 0.5: "lora", 1.0: "layernorm", 2.0: "layernorm", 4.0: "layernorm"}
    assert rows["lora"].pscp(1.0) == pytest.approx(60.08, abs=0.005)
    assert rows["layernorm"].pscp(1.0) == pytest.approx(60.19, abs=0.005)


def test_at_exponent_0_it_is_the_score(make: Make) -> None:
    made = make(full=1.0, lora=0.9)
    score = estimates.score(made.clean, "lora").main.mean
    assert estimates.score(pscp.panel(made, 0.0), "lora").main.mean == pytest.approx(score)


def test_each_cost_is_over_its_constant(make: Make) -> None:
    made = make(full=1.0, lora=0.9)
    share = pscp.shares(made)
    score = estimates.score(made.clean, "lora").main.mean
    product = (1 + 12288 / 183936 / share[0]) * (1 + 0.5 / share[1]) * (1 + 1 / share[2])
    assert estimates.score(pscp.panel(made, 2.0), "lora").main.mean == pytest.approx(score * product**-2)


def test_without_a_count_of_operations_there_is_no_pscp(make: Make) -> None:
    made = make(full=1.0, lora=0.9, prompt=0.9)
    assert "prompt" not in pscp.means(made, 1.0)
    shown = pscp_views.table(made)
    row = next(row for row in shown.rows if row[0].value == "prompt")
    assert [entry.text for entry in row[-3:]] == ["—"] * 3


@pytest.mark.parametrize(("exponent", "verdict"), [(0.0, "reproduced"), (4.0, "contradicted")])
def test_the_verdict_depends_on_the_exponent(make: Make, exponent: float, verdict: str) -> None:
    finding = judge(make(full=1.0, lora=1.0, layernorm=0.7), left="lora", right="layernorm", exponent=exponent)
    assert finding.verdict == verdict, finding.sentence
    assert any("by the published means" in note for note in finding.notes)


def test_its_interval_is_for_new_test_rows_too(make: Make) -> None:
    """At exponent 0 it is that of the scores; penalties shrink the error of the rows as they shrink the score."""
    made = make(full=1.0, lora=0.9, layernorm=0.6)
    scores = estimates.difference(made.judged, "lora", "layernorm").main
    (row,) = judge(made, left="lora", right="layernorm", exponent=0.0).comparisons
    assert scores.row_se > 0
    assert (row.low, row.high) == pytest.approx((scores.low, scores.high))
    halved = [pscp._difference(made.judged, replace(made.judged, values=made.judged.values / 2), "lora", "layernorm")]
    assert halved[0].main.row_se == pytest.approx(scores.row_se / 2)
    assert not any("test rows" in note for note in judge(made, left="lora", right="layernorm", exponent=1.0).notes)


def test_the_table_of_winners_names_both_and_their_lead(make: Make) -> None:
    made = make(full=1.0, lora=0.95, layernorm=0.6)
    shown = pscp_views.winners(made)
    by_exponent = {row[0].text: row for row in shown.rows}
    assert by_exponent["0.5"][4].text == "LoRA"
    assert by_exponent["1"][4].text == "LNTuning"
    assert by_exponent["0"][1].value == "full"


def test_the_figure_has_a_panel_of_the_published_means(make: Make) -> None:
    figure = pscp_views.figure([make(full=1.0, lora=0.9, layernorm=0.8)])
    assert [axes.get_title() for axes in figure.axes][-1] == "published means"
