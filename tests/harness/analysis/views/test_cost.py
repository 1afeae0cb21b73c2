"""Joules stand in the table of costs where a device reported them, and nowhere as 0."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from harness.analysis.study import study
from harness.analysis.views import cost
from harness.experiments import exhibits
from harness.store.archive import Run
from harness.store.record import joules_per_point, run_joules

Grid = Callable[..., list[Run]]


def test_joules_and_joules_per_point_have_columns_where_they_are_known(make_grid: Grid) -> None:
    runs = make_grid(methods=("full", "lora"), tasks=("a",))
    spent = {"full": 900.0, "lora": 300.0}
    known = [
        replace(
            run, record={**run.record, "device": {"energy_j": {"run": spent[run.record["cell"]["method"]["name"]]}}}
        )
        for run in runs
    ]
    (found,) = study.studies(exhibits.load("delta-methods"), known)
    table = cost.table(found)
    assert table.columns[-2:] == ("joules per run", "joules per point")
    rows = {row[0].value: row for row in table.rows}
    assert rows["full"][-2].value == 900
    assert rows["lora"][-2].value == 300
    for name, row in rows.items():
        assert row[-1].value == pytest.approx(spent[name] / row[1].value, rel=0.05)
        assert row[-1].keys
    (bare,) = study.studies(exhibits.load("delta-methods"), runs)
    assert cost.table(bare).columns[-1] == "seconds per step"


@pytest.mark.parametrize(
    "device", [None, {}, {"energy_j": None}, {"energy_j": {"run": None}}, {"energy_j": {"run": 0}}]
)
def test_a_device_that_does_not_report_joules_has_none(make_grid: Grid, device: object) -> None:
    record = {**make_grid(methods=("full",))[0].record, "device": device}
    assert run_joules(record) is None
    assert joules_per_point(record) is None


def test_points_are_those_of_the_reported_sets(make_grid: Grid) -> None:
    run = make_grid(methods=("full",))[0]
    record = {**run.record, "device": {"energy_j": {"run": 500.0}}}
    score = run.record["scores"]["best"]["sets"]["test"]["accuracy"]
    assert joules_per_point(record) == pytest.approx(5 / score)
    assert joules_per_point({**record, "scores": {}}) is None
