"""The control flow of a day: shares of the time, failures that cost one part, resuming, exit codes, the summary."""

import json
import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from harness.gpu_day import __main__ as command
from harness.gpu_day import day_parts as parts
from harness.gpu_day import day_summary
from harness.gpu_day.day import Day, Row
from harness.gpu_day.day_parts import Part
from harness.processes import forkserver

GPU = {
    "device": "GPU X", "device_bytes": 80 * 2**30, "driver": "1.2", "cuda": "13", "packages": {"torch": "2"},
    "git": "abcdef",
}  # fmt: skip
Rows = Callable[[Day, float], Iterator[Row]]


def part(name: str, rows: Rows, weight: float = 1.0) -> Part:
    return Part(name[0], name, rows, lambda known: [f"{row['name']}: {row['status']}" for row in known], weight)


def measuring(asked: list[str], **statuses: str) -> Rows:
    """Return a part's function that measures the rows which are not there yet."""

    def rows(day: Day, deadline: float) -> Iterator[Row]:
        for name, status in statuses.items():
            if name not in day.ended("good"):
                asked.append(name)
                yield {"name": name, "status": status}

    return rows


def failing(day: Day, deadline: float) -> Iterator[Row]:
    yield {"name": "first", "status": "done"}
    raise ValueError("the second cannot be measured")


@pytest.fixture
def go(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., int]:
    def run(made: Sequence[Part], *words: str) -> int:
        for module in (command, day_summary, parts, command.day_export):
            monkeypatch.setattr(module, "PARTS", tuple(made))
        monkeypatch.setenv("HF_HUB_OFFLINE", "1")
        day = ["--dry", "--minutes", "1", "--out", str(tmp_path / "day")]
        return command.main([*day, *words])

    return run


def test_a_part_that_fails_costs_no_other(
    go: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[str] = []
    assert go([part("broken", failing), part("good", measuring(asked, one="done", two="oom"))]) == 1
    day = Day(tmp_path / "day", dry=True)
    assert [row["status"] for row in day.rows("broken")] == ["done", "failed"]
    assert "the second cannot be measured" in day.rows("broken")[1]["error"]
    assert asked == ["one", "two"]
    printed = capsys.readouterr().out
    assert "dry run on the CPU" in printed
    assert "two: oom" in printed


def test_a_mended_part_leaves_no_failure(go: Callable[..., int], tmp_path: Path) -> None:
    assert go([part("good", failing)]) == 1
    assert go([part("good", measuring([], first="done"))]) == 0
    assert [row["name"] for row in Day(tmp_path / "day", dry=True).rows("good")] == ["first"]


def test_the_same_command_goes_on(go: Callable[..., int]) -> None:
    asked: list[str] = []
    assert go([part("good", measuring(asked, one="done", two="oom", three="missing"))]) == 1
    assert go([part("good", measuring(asked, one="done", two="oom", three="done"))]) == 0
    assert asked == ["one", "two", "three", "three"]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_an_interrupted_day_keeps_its_rows(
    go: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str], number: int, code: int
) -> None:
    def interrupted(day: Day, deadline: float) -> Iterator[Row]:
        yield {"name": "first", "status": "done"}
        os.kill(os.getpid(), number)
        yield {"name": "second", "status": "done"}

    assert go([part("good", interrupted), part("later", failing)]) == code
    assert "first: done" in capsys.readouterr().out
    assert [row["name"] for row in Day(tmp_path / "day", dry=True).rows("good")] == ["first"]


def test_what_a_part_leaves_goes_to_the_later_ones() -> None:
    made = [part("first", failing, 1), part("second", failing, 3)]
    assert parts.shares(made, 0, 100) == 25
    assert parts.shares(made, 1, 90) == 90


def test_the_deadline_of_a_part_is_its_share(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    seen: list[float] = []

    def rows(day: Day, deadline: float) -> Iterator[Row]:
        seen.append(deadline - time.time())
        yield {"name": f"row {len(seen)}", "status": "done"}

    made = [part("first", rows, 1.0), part("second", rows, 3.0)]
    monkeypatch.setattr(day_summary, "PARTS", made)
    monkeypatch.setattr(command.day_export, "write", lambda day: day.folder)
    day = Day(tmp_path, dry=False)
    day.begin({**GPU, "dry": False, "started": "2026-01-01T00:00:00Z"})
    assert command.measured(day, made, time.time() + 100) == 0
    assert 15 < seen[0] <= 25 < 60 < seen[1] <= 100
    assert "GPU X (80.00 GiB), driver 1.2, CUDA 13, torch 2, deltabench abcdef" in capsys.readouterr().out


def test_without_a_gpu_one_sentence_and_nothing_is_written(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr(forkserver, "call", lambda *_: {"why": "torch 2 is built without CUDA"})
    assert command.main(["--out", str(tmp_path / "day")]) == 2
    told = capsys.readouterr().err
    assert told.startswith(
        "error: there is no NVIDIA GPU here that deltabench can use (torch 2 is built without CUDA)."
    )
    assert len(told.splitlines()) == 1
    assert not (tmp_path / "day").exists()


def test_a_part_that_does_not_exist_is_refused(go: Callable[..., int], capsys: pytest.CaptureFixture[str]) -> None:
    assert go([part("good", failing)], "--only", "bad") == 2
    assert "no part has this name. Parts are good." in capsys.readouterr().err


@pytest.mark.parametrize("minutes", ["0", "-3", "nan", "inf"])
def test_a_time_that_is_none_is_refused(
    minutes: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert command.main(["--dry", "--minutes", minutes, "--out", str(tmp_path / "day")]) == 2
    assert "give a number above 0 and below 10000, such as 9." in capsys.readouterr().err
    assert not (tmp_path / "day").exists()


def test_the_day_is_published_whole(go: Callable[..., int], tmp_path: Path) -> None:
    go([part("good", measuring([], one="done", two="failed"))])
    folder = tmp_path / "day" / "export"
    content = json.loads((folder / "rows.json").read_text())
    assert content["about"]["packages"]["torch"]
    assert [row["status"] for row in content["good"]] == ["done", "failed"]
    assert "| two | failed |" in (folder / "README.md").read_text()


def test_what_is_published_names_no_folder_of_this_machine(go: Callable[..., int], tmp_path: Path) -> None:
    def rows(day: Day, deadline: float) -> Iterator[Row]:
        yield {"name": "one", "status": "failed", "error": f"see {day.folder}/log/good.txt"}

    go([part("good", rows)])
    texts = [path.read_text() for path in (tmp_path / "day" / "export").iterdir()]
    assert len(texts) == 2
    assert [text for text in texts if str(tmp_path) in text] == []


def test_a_device_names_its_folder() -> None:
    assert command.day_export.slug("NVIDIA A100-SXM4-80GB") == "nvidia-a100-sxm4-80gb"


@pytest.mark.slow
def test_a_dry_run_measures_every_part(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Takes one to three minutes, by what else the machine does."""
    assert command.main(["--dry", "--minutes", "8", "--out", str(tmp_path)]) == 0
    day = Day(tmp_path, dry=True)
    rows = {each.name: day.rows(each.name) for each in parts.PARTS}
    assert all(rows.values())
    assert {row["status"] for each in rows.values() for row in each} == {"done"}
    assert all(row["reads_back"] and row["finite"] for row in rows["cells"])
    eager = [row["forecast_error"] for row in rows["memory"] if row["attention"] == "eager"]
    assert eager == pytest.approx([0.0, 0.0], abs=1e-6)
    assert all(len(row["cells"]) == 2 for row in rows["sharing"])
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) <= 30
    assert max(map(len, lines)) <= 120
