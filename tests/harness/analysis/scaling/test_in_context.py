"""Examples in the prompt and in training, on records whose truth is known."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from harness.analysis.scaling import in_context
from harness.analysis.study import open_rates, study
from harness.analysis.study.study import Study
from harness.experiments import claims, exhibits
from harness.experiments.verdict import Finding
from harness.store.archive import Run

Make = Callable[..., Study]


def placed(run: Run, **task: Any) -> Run:
    cell = run.record["cell"]
    content = {**cell["task"], "digest": str(task), **task}
    key = run.record["key"][:-8] + f"{abs(hash(str(task))) % 10**8:08d}"
    return replace(run, record={**run.record, "key": key, "cell": {**cell, "task": content}})


@pytest.fixture
def make(make_run: Callable[..., Run], monkeypatch: pytest.MonkeyPatch) -> Make:
    monkeypatch.setattr(open_rates, "tuned", lambda content: True)

    def do(shown: float, trained: float, sizes: tuple[int, ...] = (4, 16)) -> Study:
        runs = []
        for seed in range(6):
            for number in (0, 4, 16):
                quality = {"none": shown if number else 0.1}
                run = make_run("none", "micro/sentiment", seed, quality=quality, noise=0.004)
                runs.append(placed(run, shots=number, train_size=None))
            for number in sizes:
                run = make_run("lora", "micro/sentiment", seed, quality={"lora": trained}, noise=0.004)
                runs.append(placed(run, shots=0, train_size=number))
        (made,) = study.studies(exhibits.load("icl"), runs)
        return made

    return do


def judge(made: Study) -> Finding:
    claim = claims.find("tuning-above-in-context")
    given = {**claim.options, "left": "lora", "right": "none"}
    return claim.with_options(given).find(made, given)


@pytest.mark.parametrize(("shown", "trained", "verdict"), [(0.3, 0.8, "reproduced"), (0.8, 0.3, "contradicted")])
def test_the_better_way_is_told(make: Make, shown: float, trained: float, verdict: str) -> None:
    finding = judge(make(shown, trained))
    assert finding.verdict == verdict, finding.sentence
    assert [(row.left, row.right) for row in finding.comparisons] == [
        ("lora on 4 rows", "none with 4 in the prompt"),
        ("lora on 16 rows", "none with 16 in the prompt"),
    ]


def test_a_number_that_only_one_way_has_is_not_compared(make: Make) -> None:
    assert [row.left for row in judge(make(0.3, 0.8, sizes=(16, 32))).comparisons] == ["lora on 16 rows"]


def test_one_row_is_one_row(make: Make) -> None:
    finding = judge(make(0.3, 0.8, sizes=(1, 4)))
    assert "all seeds train on the same 1 or 4 rows: intervals leave out" in " ".join(finding.notes)
    assert in_context._rows(1) == "1 row"


def test_the_table_has_both_ways_and_gaps_where_a_number_is_missing(make: Make) -> None:
    shown = in_context.table(make(0.3, 0.8))
    assert shown.columns == ("task", "method", "examples", "0 rows", "4 rows", "16 rows")
    assert [(row[1].value, row[2].text, row[3].text == "—") for row in shown.rows] == [
        ("none", in_context.SHOWN, False),
        ("lora", in_context.TRAINED, True),
    ]
