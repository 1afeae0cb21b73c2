"""A day on the disk: rows are written as they come, and a repeated command goes on where the last one ended."""

from pathlib import Path

import pytest

from harness.errors import UsageError
from harness.experiments.grids import grid
from harness.gpu_day import day as days
from harness.gpu_day.day import Day
from harness.gpu_day.day_parts import PARTS

ABOUT = {"dry": True, "device": "cpu", "started": "2026-01-01T00:00:00Z"}


def test_the_last_row_of_a_name_counts_and_some_are_not_measured_again(tmp_path: Path) -> None:
    day = Day(tmp_path, dry=True)
    day.begin(ABOUT)
    for name, status in [("a", "failed"), ("b", "oom"), ("c", "missing"), ("a", "done"), ("d", "withdrawn")]:
        day.keep("memory", {"name": name, "status": status})
    assert {row["name"]: row["status"] for row in day.rows("memory")} == {"a": "done", "b": "oom", "c": "missing"}
    assert day.ended("memory") == {"a", "b"}
    assert day.rows("steps") == []


def test_a_folder_holds_the_day_of_one_device(tmp_path: Path) -> None:
    day = Day(tmp_path, dry=True)
    day.begin(ABOUT)
    day.begin({**ABOUT, "started": "2027-01-01T00:00:00Z"})
    assert day.about()["started"] == ABOUT["started"]
    with pytest.raises(UsageError, match="dry=True, and this one has dry=False"):
        Day(tmp_path, dry=False).begin({**ABOUT, "dry": False})
    assert day.about()["dry"] is True


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match=r"--out .*/file/day: it cannot be written \(Not a directory\)"):
        Day(tmp_path / "file" / "day", dry=True).begin(ABOUT)


@pytest.mark.parametrize("dry", [True, False])
@pytest.mark.parametrize("name", [part.name for part in PARTS if part.name != "tests"])
def test_the_shapes_of_each_part_are_cells(tmp_path: Path, name: str, dry: bool) -> None:
    settings = Day(tmp_path, dry).settings(name)
    blocks = [*settings.get("groups", {}).values(), *(grid_of(settings.get("grid")))]
    assert blocks
    for block in blocks:
        own = {axis: value for axis, value in block.items() if axis not in ("kernel", "compiled")}
        if "glue" not in str(own["task"]):  # its rows are not on every machine
            assert days.cells({**own, "method": own["method"] if dry or own["method"] != "*" else "lora"})


def grid_of(blocks: object) -> list[dict[str, object]]:
    return blocks if isinstance(blocks, list) else [blocks] if isinstance(blocks, dict) else []


def test_a_row_names_method_and_model() -> None:
    [cell] = grid.expand([{"method": "lora", "model": "micro-t5-nano", "task": "micro/sentiment", "seed": 0}])
    assert days.named(cell) == "lora on micro-t5-nano"
