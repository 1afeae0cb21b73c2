"""Deltas of single tasks stand beside a model that was tuned on all of them, on the same test sets."""

from dataclasses import replace
from typing import Any

import pytest

from harness.analysis.combining import multitask
from harness.analysis.study.study import Study
from harness.experiments import claims
from harness.experiments.verdict import Finding
from tests.harness.analysis.study import claim_records

RATES = (3e-4, 1e-3, 3e-3)
TASKS = ("micro/sentiment-goods", "micro/qa")


def made() -> Study:
    (study,) = claim_records.together(RATES)
    return study


def judge(study: Study, name: str, left: Any) -> Finding:
    claim = claims.find(name)
    options = {**claim.options, "left": left, "right": "full"}
    return claim.with_options(options).find(study, options)


def test_a_model_for_all_is_an_arm_on_the_single_tasks() -> None:
    whole = multitask.ways(made())
    assert set(whole.clean.arms) == {"full", "lora", f"full {multitask.JOINTLY}"}
    assert whole.clean.tasks == TASKS
    assert whole.arm("full") == "full", "it is the ceiling, and the model for all is another method"
    assert len({(row.key, row.task, row.set, row.checkpoint) for row in whole.scores.itertuples()}) == len(whole.scores)
    joint = whole.selected[whole.selected.method == f"full {multitask.JOINTLY}"]
    assert set(joint[joint.role == "test"]["set"]) == {"test"}
    assert joint[joint.role == "validation"].groupby(["key", "task"]).size().eq(1).all()


def test_what_is_tuned_on_all_tasks_is_stored_once() -> None:
    rows = {row[0].value: row for row in multitask.table(made()).rows}
    full, joint, lora = rows["full"], rows[f"full {multitask.JOINTLY}"], rows["lora"]
    assert full[4].value == pytest.approx(4 * 183936 / 1024)
    assert joint[4].value == pytest.approx(full[4].value / 2)
    assert lora[5].value == pytest.approx(100 * 12288 / 183936)
    assert rows["guessing"][1].value == pytest.approx(50.0)


@pytest.mark.parametrize(
    ("name", "left", "verdict"),
    [
        ("delta-per-task-as-separate", "lora", "reproduced"),
        ("delta-per-task-as-joint", {"method": ["lora"]}, "reproduced"),
        ("delta-per-task-as-joint", "adapter", "untested"),
    ],
)
def test_a_delta_for_each_task_against_the_others(name: str, left: Any, verdict: str) -> None:
    finding = judge(made(), name, left)
    assert finding.verdict == verdict, finding.sentence
    right = f"full {multitask.JOINTLY}" if name.endswith("joint") else "full"
    assert {row.right for row in finding.comparisons} == {right}


def test_a_worse_delta_is_said_to_be_worse() -> None:
    study = made()
    scores = study.scores.assign(score=study.scores.score.where(study.scores.method != "lora", study.scores.score / 3))
    assert judge(replace(study, scores=scores), "delta-per-task-as-joint", "lora").verdict == "contradicted"


def test_a_missing_task_stays_missing() -> None:
    """The row has a gap, its mean is not that of the other tasks, and the claim is not tested on fewer tasks."""
    study = made()
    gone = (study.scores.method == "lora") & (study.scores.task == TASKS[0])
    partly = replace(study, scores=study.scores[~gone])
    (row,) = (row for row in multitask.table(partly).rows if row[0].value == "lora")
    assert row[1].value is None
    assert row[2].value is not None
    assert row[3].value is None
    assert judge(partly, "delta-per-task-as-separate", "lora").verdict == "untested"
