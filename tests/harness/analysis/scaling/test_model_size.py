"""Claims over models on records whose truth is known, and one finding for all models."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest

from harness.analysis import judging
from harness.analysis.output import figure_style
from harness.analysis.scaling import joint, model_size, model_size_figure
from harness.analysis.study import open_rates, study
from harness.analysis.study.study import Study
from harness.experiments import claims, exhibits
from harness.experiments.verdict import Finding
from harness.store.archive import Run

SIZES = {"micro-t5-nano": 200_000, "micro-t5-micro": 1_000_000}
NANO, MICRO = SIZES
Make = Callable[..., list[Study]]


def sized(run: Run) -> Run:
    backbone = SIZES[run.record["cell"]["model"]["name"]]
    return replace(run, record={**run.record, "parameters": {**run.record["parameters"], "backbone": backbone}})


@pytest.fixture
def make(make_grid: Callable[..., list[Run]], monkeypatch: pytest.MonkeyPatch) -> Make:
    monkeypatch.setattr(open_rates, "tuned", lambda content: True)

    def do(worth: Mapping[str, Mapping[str, float]], seeds: int = 8) -> list[Study]:
        runs = [
            sized(run)
            for model, quality in worth.items()
            for run in make_grid(
                methods=tuple(quality), models=(model,), quality=quality, seeds=range(seeds), noise=0.004
            )
        ]
        return study.studies(exhibits.load("delta-scale"), runs)

    return do


def judge(made: list[Study], name: str, **options: Any) -> Finding:
    claim = claims.find(name)
    given = {**claim.options, **options}
    return claim.with_options(given).find(joint.of(made), given)


UP = {NANO: {"full": 0.8, "adapter": 0.6, "prompt": 0.2}, MICRO: {"full": 0.95, "adapter": 0.9, "prompt": 0.8}}
DOWN = {NANO: UP[MICRO], MICRO: UP[NANO]}


@pytest.mark.parametrize(("worth", "verdict"), [(UP, "reproduced"), (DOWN, "contradicted")])
def test_a_score_that_rises_with_size_is_told_from_one_that_falls(make: Make, worth: Any, verdict: str) -> None:
    finding = judge(make(worth), "scale-helps", methods=["adapter"])
    assert finding.verdict == verdict, finding.sentence
    assert [(row.left, row.right) for row in finding.comparisons] == [(f"adapter on {MICRO}", f"adapter on {NANO}")]


@pytest.mark.parametrize(("worth", "verdict"), [(UP, "reproduced"), (DOWN, "contradicted")])
def test_a_distance_that_shrinks_is_told_from_one_that_grows(make: Make, worth: Any, verdict: str) -> None:
    assert judge(make(worth), "distance-shrinks", method="prompt", to="full").verdict == verdict


@pytest.mark.parametrize(("worth", "verdict"), [(UP, "reproduced"), (DOWN, "contradicted")])
def test_speed_is_measured_against_the_goal_of_the_smallest_model(make: Make, worth: Any, verdict: str) -> None:
    finding = judge(make(worth), "scale-speeds", methods=["adapter"])
    assert finding.verdict == verdict, finding.sentence


def test_one_model_alone_compares_no_models(make: Make) -> None:
    assert judge(make({NANO: UP[NANO]}), "scale-helps").verdict == "untested"


def test_a_claim_over_models_is_judged_once_and_the_others_for_each_model(make: Make) -> None:
    made = make(UP)
    exhibit = replace(exhibits.load("delta-scale"), claims=(("scale-helps", {}), ("more-samples-help", {})))
    found = judging.judge_all(exhibit, [replace(part, exhibit=exhibit) for part in made])
    assert [(one.claim, one.model) for one in found] == [
        ("more-samples-help", NANO),
        ("more-samples-help", MICRO),
        ("scale-helps", joint.MODEL),
    ]


def test_the_joint_study_leaves_the_studies_as_they_are(make: Make) -> None:
    made = make(UP)
    before = [part.clean.values.copy() for part in made]
    whole = joint.of(made)
    assert set(whole.clean.arms) == {f"{arm} on {model}" for model in SIZES for arm in UP[NANO]}
    assert all((part.clean.values == values).all() for part, values in zip(made, before, strict=True))


def test_the_table_has_the_smallest_model_first_and_a_gap_where_an_arm_did_not_run(make: Make) -> None:
    lacking = {NANO: UP[NANO], MICRO: {name: UP[MICRO][name] for name in ("full", "adapter")}}
    made = make(lacking)
    shown = model_size.table(made[::-1])
    assert shown.columns[:3] == ("method", f"{NANO} score", f"{NANO} steps")
    by_arm = {row[0].text: row for row in shown.rows}
    assert by_arm["prompt"][3].text == "not run"
    assert by_arm["prompt"][2].text == "never"
    with figure_style.style():
        figure = model_size_figure.draw(made)
    assert [tick.get_text() for tick in figure.axes[0].get_xticklabels()] == ["200k", "1M"]
