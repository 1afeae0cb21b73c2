"""Intruders of tasks learnt in sequence: a cell's place follows from its parents, and a gap stays one."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest

from harness.analysis.forgetting import accumulation
from harness.analysis.study import open_rates, study
from harness.analysis.study.study import Study
from harness.experiments import claims, exhibits
from harness.experiments.verdict import Finding
from harness.store.archive import Run
from tests.harness.analysis.robustness.test_tied_rates import with_validation

TUNING = 200
TASKS = ("micro/inference", "micro/sentiment", "micro/qa")
Make = Callable[..., Study]


def seen(run: Run, intruders: int, parents: Sequence[str]) -> Run:
    """The record with a matrix of which so many of the first ten vectors are intruders, and with its parents."""
    likeness = [0.1] * intruders + [0.9] * (10 - intruders)
    row = {"name": "a", "role": "q", "change": 0.3, "rank_share": 0.1, "likeness": likeness}
    probes = {"spectrum": {"status": "done", "matrices": [row], "why_null": {}}}
    cell = {**run.record["cell"], "parents": [["before", key] for key in parents]}
    return replace(run, record={**run.record, "cell": cell, "probes": probes})


@pytest.fixture
def make(make_run: Callable[..., Run], monkeypatch: pytest.MonkeyPatch) -> Make:
    monkeypatch.setattr(open_rates, "tuned", lambda content: True)

    def do(
        counts: Sequence[int] = (1, 3, 6),
        without: Sequence[tuple[int, int]] = (),
        trials: Mapping[float, tuple[float, int]] | None = None,
    ) -> Study:
        """A sequence of lora. counts: intruders after each task; without: (stage, seed) that have no record.

        trials: rate -> the validation score and the intruders of the last stage on the tuning seed.
        """
        runs = []
        for rate, (score, count) in (trials or {}).items():
            last = make_run("continual", TASKS[-1], TUNING, learning_rate=rate, fields={"parts": ["lora"]})
            before = make_run("continual", TASKS[1], TUNING, fields={"parts": ["lora"]})
            first = make_run("lora", TASKS[0], TUNING)
            chain = [seen(first, counts[0], []), seen(before, counts[1], [first.record["key"]])]
            runs += [*chain, with_validation(seen(last, count, [before.record["key"]]), score)]
        for seed in range(4):
            parents: list[str] = []
            for stage, (task, count) in enumerate(zip(TASKS, counts, strict=True)):
                made = make_run(
                    "continual" if stage else "lora", task, seed, fields={"parts": ["lora"]} if stage else {}
                )
                made = seen(made, count + (seed == 0 and stage > 0), parents)
                parents = [made.record["key"]]
                runs += [] if (stage, seed) in without else [made]
        exhibit = replace(exhibits.load("intruders-accumulate"), declared_tuning=frozenset({TUNING}))
        (here,) = study.studies(exhibit, runs)
        return here

    return do


def judge(made: Study, **options: Any) -> Finding:
    claim = claims.find("intruders-accumulate")
    given = {**claim.options, "method": "lora", **options}
    return claim.with_options(given).find(made, given)


def test_a_stage_is_the_length_of_its_chain(make: Make) -> None:
    rows = accumulation.table(make()).rows
    assert [row[0].text for row in rows] == ["lora, 1 task", "lora, 2 tasks", "lora, 3 tasks"]
    assert rows[2][1].text == "micro/inference, then micro/sentiment, then micro/qa"
    assert [row[4].value for row in rows] == [pytest.approx(count) for count in (1.0, 3.25, 6.25)]


@pytest.mark.parametrize(("counts", "verdict"), [((1, 3, 6), "reproduced"), ((6, 3, 1), "contradicted")])
def test_they_accumulate_or_do_not(make: Make, counts: Sequence[int], verdict: str) -> None:
    found = judge(make(counts))
    assert found.verdict == verdict, found.sentence
    assert [(row.left, row.right) for row in found.comparisons] == [("lora, 3 tasks", "lora, 1 task")]


@pytest.mark.parametrize(("other", "verdict"), [(10, "reproduced"), (0, "inconclusive")])
def test_they_accumulate_at_each_rate_that_validation_cannot_tell_apart(make: Make, other: int, verdict: str) -> None:
    """Another rate of the last task can leave fewer intruders than the first task had."""
    found = judge(make((4, 5, 9), trials={3e-4: (0.7, 0), 1e-3: (0.87, 9), 3e-3: (0.86, other), 1e-2: (0.6, 0)}))
    assert found.verdict == verdict, found.sentence
    (note,) = [text for text in found.notes if "cannot tell" in text]
    assert "1e-3, 3e-3" in note


def test_a_method_without_a_sequence_is_untested(make: Make) -> None:
    assert judge(make(), method="full").verdict == "untested"


def test_a_broken_chain_leaves_a_gap(make: Make) -> None:
    """Without its second cell a seed has no third stage, which is not taken for a second one."""
    made = make(without=[(1, 0)])
    rows = accumulation.table(made).rows
    assert [row[4].value for row in rows] == [pytest.approx(count) for count in (1.0, 3.0, 6.0)]
    assert len(rows[2][4].keys) == 3
    lost = make(without=[(1, seed) for seed in range(4)])
    assert [row[0].text for row in accumulation.table(lost).rows] == ["lora, 1 task"]
    assert judge(lost).verdict == "untested"
