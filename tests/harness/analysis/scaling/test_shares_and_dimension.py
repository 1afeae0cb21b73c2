"""Printed shares and intrinsic dimensions on records whose truth is known."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from harness.analysis.scaling import dimension, joint
from harness.analysis.study import open_rates, study
from harness.analysis.study.study import Study
from harness.experiments import claims, exhibits
from harness.experiments.verdict import Finding
from harness.store.archive import Run

NANO, MICRO = "micro-t5-nano", "micro-t5-micro"
SIZES = {NANO: 200_000, MICRO: 1_000_000}
Make = Callable[..., list[Study]]


def sized(run: Run) -> Run:
    parameters = {**run.record["parameters"], "backbone": SIZES[run.record["cell"]["model"]["name"]]}
    return replace(run, record={**run.record, "parameters": parameters})


@pytest.fixture
def make(make_run: Callable[..., Run], monkeypatch: pytest.MonkeyPatch) -> Make:
    monkeypatch.setattr(open_rates, "tuned", lambda content: True)

    def do(
        worth: Mapping[str, Mapping[int, float]], exhibit: str = "delta-subspace", alone: Sequence[str] = ()
    ) -> list[Study]:
        runs = [make_run("full", task, 0, model=model) for model in alone for task in ("micro/inference", "micro/qa")]
        for model, by_size in worth.items():
            for seed in range(12):
                quality = {"full": 1.0}
                runs.append(make_run("full", "micro/qa", seed, model=model, quality=quality, noise=0.002))
                for size, value in by_size.items():
                    fields: dict[str, Any] = {"dimension": size}
                    runs.append(
                        make_run(
                            "intrinsic", "micro/qa", seed, model=model, fields=fields, quality={"intrinsic": value},
                            noise=0.002,
                        )
                    )  # fmt: skip
        return study.studies(exhibits.load(exhibit), [sized(run) for run in runs])

    return do


def judge(name: str, made: Study, **options: Any) -> Finding:
    claim = claims.find(name)
    given = {**claim.options, **options}
    return claim.with_options(given).find(made, given)


FAST, SLOW = {20: 0.95, 100: 1.0}, {20: 0.3, 100: 0.95}


def test_the_dimension_is_the_smallest_that_reaches_nine_tenths(make: Make) -> None:
    (made,) = make({NANO: {20: 0.3, 100: 0.95, 500: 1.0}})
    assert list(dimension.arms(made).values()) == [20, 100, 500]
    assert (dimension.of(made, "full", dimension.arms(made)) == 100).all()
    (none,) = make({NANO: {20: 0.1, 100: 0.3}})
    assert np.isinf(dimension.of(none, "full", dimension.arms(none))).all()
    assert dimension.table([none]).rows[0][2].text == "over 100"


@pytest.mark.parametrize(("small", "large", "verdict"), [(SLOW, FAST, "reproduced"), (FAST, SLOW, "contradicted")])
def test_a_dimension_that_shrinks_is_told_from_one_that_grows(
    make: Make, small: dict[int, float], large: dict[int, float], verdict: str
) -> None:
    finding = judge("dimension-shrinks", joint.of(make({NANO: small, MICRO: large})))
    assert finding.verdict == verdict, finding.sentence


def test_models_that_were_run_on_other_tasks_share_a_table(make: Make) -> None:
    made = make({NANO: FAST, MICRO: SLOW}, alone=[NANO])
    shown = dimension.table(made)
    assert {tuple(one.clean.tasks) for one in made} == {("micro/inference", "micro/qa"), ("micro/qa",)}
    assert shown.columns[2:] == ("micro/qa",), "a task without a dimension has no column"
    assert {row[2].text for row in shown.rows} == {"20", "100"}


def test_one_model_has_nothing_to_shrink_against(make: Make) -> None:
    assert judge("dimension-shrinks", joint.of(make({NANO: FAST}))).verdict == "untested"


@pytest.mark.parametrize(("share", "verdict"), [(0.3, "reproduced"), (0.95, "contradicted")])
def test_a_share_is_tested_as_a_lower_bound(make: Make, share: float, verdict: str) -> None:
    (made,) = make({NANO: {100: 0.5}})
    finding = judge("reaches-share", made, left="intrinsic", right="full", share=share)
    assert finding.verdict == verdict, finding.sentence
    assert any("% of the score of full" in note for note in finding.notes)


def test_guessing_reaches_no_share_of_guessing(make: Make) -> None:
    (made,) = make({NANO: {100: 0.0, 500: 0.0}})
    options = {"left": {"method": "intrinsic", "dimension": 100}, "right": {"method": "intrinsic", "dimension": 500}}
    finding = judge("reaches-share", made, **options, share=0.9)
    assert finding.verdict == "untested", finding.sentence
    assert "no task is left on which" in finding.comparisons[0].reason


def test_a_share_can_be_of_some_tasks_alone(make: Make) -> None:
    (made,) = make({NANO: {100: 0.5}})
    options = {"left": "intrinsic", "right": "full", "share": 0.3}
    assert judge("reaches-share", made, **options, tasks=["micro/qa"]).verdict == "reproduced"
    assert judge("reaches-share", made, **options, tasks=["micro/other"]).verdict == "untested"


@pytest.mark.parametrize(("high", "verdict"), [(0.08, "by construction"), (0.001, "contradicted")])
def test_a_count_is_inside_the_printed_range_or_not(make: Make, high: float, verdict: str) -> None:
    (made,) = make({NANO: {100: 0.5}})
    finding = judge("trains-between", made, left="intrinsic", low=0.0, high=high)
    assert finding.verdict == verdict
    assert f"{verdict}; intrinsic" in finding.sentence
    assert finding.sentence.endswith(" %.")
    assert judge("trains-between", made, left="lora", low=0.0, high=high).verdict == "untested"
