"""The table of a task with several test sets, by what was generated and by the options' likelihood."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from harness.analysis.study import study
from harness.analysis.views import suite
from harness.experiments import exhibits
from harness.store.archive import Run

SHARES = {"lora": (0.5, 0.7), "dora": (0.6, 0.8)}


def probed(run: Run, share: float) -> Run:
    sets = {name: {"accuracy": share, "n": 10} for name in run.record["task_facts"]["tests"]}
    return replace(run, record={**run.record, "probes": {"likelihood": {"status": "done", "sets": sets}}})


@pytest.fixture
def runs(make_run: Callable[..., Run]) -> dict[tuple[str, int], Run]:
    return {(method, seed): make_run(method, "micro/qa", seed) for method in SHARES for seed in (0, 1)}


def made(runs: list[Run]) -> Any:
    (one,) = study.studies(exhibits.load("dora-table15"), runs)
    return suite.by_likelihood(one)


def test_without_the_probe_there_is_no_table_of_likelihoods(runs: dict[tuple[str, int], Run]) -> None:
    assert made(list(runs.values())).rows == ()


def test_likelihoods_stand_by_set_and_can_be_followed(runs: dict[tuple[str, int], Run]) -> None:
    table = made([probed(run, SHARES[method][seed]) for (method, seed), run in runs.items()])
    means = {str(row[0].value): row[-1] for row in table.rows}
    assert {name: round(entry.value, 1) for name, entry in means.items()} == {"lora": 60.0, "dora": 70.0}
    assert set(means["lora"].keys) == {runs["lora", seed].record["key"] for seed in (0, 1)}


def test_a_probe_of_some_cells_says_nothing_of_the_others(runs: dict[tuple[str, int], Run]) -> None:
    table = made([probed(run, 0.5) if method == "lora" else run for (method, _), run in runs.items()])
    means = {str(row[0].value): row[-1].value for row in table.rows}
    assert means["lora"] == 50.0
    assert means["dora"] is None
