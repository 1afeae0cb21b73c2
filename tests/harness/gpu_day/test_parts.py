"""What the parts of a day make of what they measure."""

from pathlib import Path

import pytest
import torch

from harness import network
from harness.errors import UsageError
from harness.gpu_day import day, gpu_tests, memory_peaks, real_training, side_by_side, step_rates, sweeping
from harness.gpu_day.day import Day
from harness.models import hub, installed
from harness.store.store import Store

BLOCK = {
    "method": "bitfit", "model": "micro-t5-nano", "model.weights": "random", "task": "micro/sentiment",
    "recipe.batch_size": 2, "seed": 0,
}  # fmt: skip
OUTPUT = """
tests/harness/test_a.py::test_one[flash-bf16] PASSED [ 25%]
tests/harness/test_a.py::test_two FAILED [ 50%]
tests/harness/test_b.py::test_three SKIPPED (no device) [ 75%]
FAILED tests/harness/test_a.py::test_two - AssertionError
"""


def test_the_tests_are_counted_by_what_pytest_prints() -> None:
    row = gpu_tests._row(OUTPUT, 1)
    assert (row["passed"], row["failed"], row["skipped"], row["status"]) == (1, 1, 1, "failed")
    assert row["failures"] == ["test_two"]
    fine = OUTPUT.replace("FAILED", "PASSED")
    assert gpu_tests._row(fine, 0)["status"] == "done"
    assert gpu_tests._row(fine, None)["status"] == "timeout"
    assert "exit code 4" in gpu_tests._row("", 4)["error"]


def test_only_files_with_tests_for_a_gpu_are_collected() -> None:
    names = {path.name for path in gpu_tests._files(Path(__file__).parents[2])}
    assert "test_gpu_measurement.py" in names
    assert len(names) < 12


def test_a_forecasts_error_is_a_share_of_what_was_measured() -> None:
    row = memory_peaks._compared({"forecast_bytes": 110, "allocated_bytes": 100})
    assert row["forecast_error"] == pytest.approx(0.1)
    assert "forecast_error" not in memory_peaks._compared({"forecast_bytes": 110, "status": "oom"})


def test_a_step_is_a_share_of_the_measured_rate_of_its_precision() -> None:
    side = {"method": "lora", "compiled": "", "operations": 5e9, "precision": "bf16", "ms": {"median": 10.0}}
    [shared] = step_rates._shared({"sides": [side]}, [{"operations_per_s": {"bf16": 1e12, "fp32": 1e11}}])["sides"]
    assert shared["share"] == pytest.approx(0.5)
    assert step_rates._shared({"sides": [side]}, [])["sides"][0]["share"] is None


def test_two_at_once_are_compared_with_one_after_the_other() -> None:
    cell = {"status": "done", "step_ms": 10.0, "cells_beside": 1}
    rows = [
        {"name": "one after the other", "status": "done", "seconds": 8.0, "cells": [cell, cell]},
        {"name": "two at once", "status": "done", "seconds": 6.0, "cells": [cell, {**cell, "step_ms": 14.0}]},
    ]
    assert side_by_side.lines(rows) == ["in turn 8.0 s, at once 6.0 s (x0.75); steps 10 and 12 ms"]
    rows[1]["cells"] = [{**cell, "cells_beside": 0}]
    assert side_by_side.lines(rows)[0].endswith("ms, but not at the same time")
    broken = [{**rows[0], "status": "oom", "cells": [{"status": "oom", "error": "full"}]}]
    assert side_by_side.lines(broken) == ["one after the other: oom: full"]


def test_the_real_training_says_what_stands_in_for_what_is_absent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {
        "grid": {"method": "lora", "model": "micro-t5-nano", "model.path": str(tmp_path), "task": "micro/sentiment"},
        "without": {"model": {"model": "micro-llama-nano"}, "task": {"task": "micro/qa"}},
        "present": {"model": "micro-t5-nano", "task": "micro/sentiment"},
    }
    monkeypatch.setattr(Day, "settings", lambda self, part: settings)
    [cell], [note] = real_training._planned(Day(tmp_path, dry=True))
    assert (cell.model.name, cell.task.name) == ("micro-llama-nano", "micro/sentiment")
    assert note.startswith("model=micro-llama-nano instead, since model.path=")


def test_without_package_and_rows_random_weights_and_the_microworld_stand_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(installed, "folder", lambda package: None)
    monkeypatch.setattr(hub, "download", _refuse)
    monkeypatch.setenv("DELTABENCH_DATA", str(tmp_path))
    day_of_a_gpu = Day(tmp_path, dry=False)
    with network.forbidden():
        [cell], notes = real_training._planned(day_of_a_gpu)
    asked = day_of_a_gpu.settings("training")["grid"]
    assert (cell.model.name, cell.model.weights) == (asked["model"], "random")
    assert cell.task.name.startswith("micro/")
    assert cell.recipe.steps == asked["recipe.steps"]
    assert "instead, since it is not on this machine" in notes[0]
    assert asked["task"] in notes[1]


def _refuse(*_: object) -> Path:
    raise UsageError("it is not on this machine.")


def test_a_loss_that_is_no_number_is_seen() -> None:
    assert sweeping._finite({"step": 0, "train_loss": None, "validation_loss": 1.0})
    assert not sweeping._finite({"step": 4, "train_loss": None, "validation_loss": 1.0})
    assert not sweeping._finite({"step": 4, "train_loss": 1.0, "validation_loss": float("inf")})


def test_a_cell_without_a_record_has_a_reason(tmp_path: Path) -> None:
    row = sweeping.facts(Store(tmp_path), "0" * 64)
    assert row["status"] == "missing"
    assert row["error"]


def test_timed_steps_alternate_and_count_their_operations() -> None:
    from harness.gpu_day.on_device import timed_steps

    block, load = {**BLOCK, "method": ["lora", "bitfit"]}, vars(day.load({"input_tokens": 8, "target_tokens": 2}))
    measured = timed_steps.measure(list(day.as_json(day.cells(block))), load, [""], "cpu", 2)
    assert [side["method"] for side in measured["sides"]] == ["lora", "bitfit"]
    assert all(side["ms"]["n"] == 2 and side["operations"] > 0 for side in measured["sides"])
    assert measured["sides"][0]["ratio"]["median"] == 1


def test_the_cost_of_sampling_has_reasons_without_nvml() -> None:
    from harness.gpu_day.on_device import sampling_cost

    load = vars(day.load({"input_tokens": 8, "target_tokens": 2}))
    [cell] = day.as_json(day.cells(BLOCK))
    measured = sampling_cost.measure(cell, load, "cpu", 0.0)
    assert measured["ratio"]["n"] == 2
    if not torch.cuda.is_available():
        assert measured["watts"] is None
        assert measured["why_null"]
