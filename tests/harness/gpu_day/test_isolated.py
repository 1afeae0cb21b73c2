"""A measurement in a process of its own ends as a row, whatever becomes of the process."""

import time
from pathlib import Path

from harness.gpu_day import isolated
from harness.gpu_day.isolated import Measurement

HERE = "tests.harness.gpu_day.targets"


def test_each_end_is_a_row(tmp_path: Path) -> None:
    many = [Measurement("good", f"{HERE}:good", (3,), {"known": "before"})]
    many += [Measurement(name, f"{HERE}:{name}", ()) for name in ("too_large", "broken", "dying")]
    log = tmp_path / "log.txt"
    rows = {row["name"]: row for row in isolated.measured(many, time.time() + 600, 300.0, (), log, at_once=4)}
    assert {name: row["status"] for name, row in rows.items()} == {
        "good": "done", "too_large": "oom", "broken": "failed", "dying": "failed",
    }  # fmt: skip
    assert (rows["good"]["value"], rows["good"]["known"]) == (3, "before")
    assert rows["broken"]["error"] == "two lines"
    assert "exit code 3" in rows["dying"]["error"]
    assert "this line belongs to the log" in log.read_text()


def test_what_takes_too_long_is_killed(tmp_path: Path) -> None:
    many = [Measurement("endless", f"{HERE}:endless", ())]
    [row] = isolated.measured(many, time.time() + 600, 0.5, (), tmp_path / "log.txt")
    assert (row["status"], row["error"]) == ("timeout", "longer than 0.5 seconds")


def test_what_had_no_time_is_missing(tmp_path: Path) -> None:
    many = [Measurement("late", f"{HERE}:good", (1,))]
    [row] = isolated.measured(many, time.time() - 1, 5.0, (), tmp_path / "log.txt")
    assert (row["status"], row["error"]) == ("missing", isolated.OVER)
