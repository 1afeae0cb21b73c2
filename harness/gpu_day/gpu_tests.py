"""The tests that need a GPU, by pytest in a process of its own. Torch is not imported."""

import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

from harness import assets
from harness.files import plain_files
from harness.gpu_day import isolated
from harness.gpu_day.day import Day, Row
from harness.gpu_day.sweeping import left

NAME = "tests"
MARK = "mark.gpu"
OUTCOME = re.compile(r"^\S+::(\S+) (PASSED|FAILED|ERROR|SKIPPED)", re.MULTILINE)
"""A line of pytest -v. It is written when its test ends, so a run that is cut off has those of the tests before."""


def rows(day: Day, deadline: float) -> Iterator[Row]:
    """Yield one row: the tests that passed, failed and were skipped, and the names of those that failed."""
    if NAME in day.ended(NAME):
        return
    files = _files(assets.root() / "tests")
    if not files or find_spec("pytest") is None:
        why = "pytest is not installed" if files else "this copy has no tests"
        yield {"name": NAME, "status": "absent", "error": f"{why}: run the day in a checkout with the extra `test`"}
        return
    words = [sys.executable, "-m", "pytest", "-v", "--color=no", "-m", "gpu", "-p", "no:cacheprovider"]
    code: int | None = None
    # The tests that ended before the time was over are in the log.
    day.log(NAME).unlink(missing_ok=True)
    with isolated.printing(day.log(NAME)) as log, suppress(subprocess.TimeoutExpired):
        code = subprocess.run(
            [*words, *map(str, files)], cwd=assets.root(), stdout=log, stderr=log, check=False,
            timeout=max(1.0, left(deadline)),
        ).returncode  # fmt: skip
    yield _row(plain_files.read_text(day.log(NAME)), code)


def _files(folder: Path) -> list[Path]:
    """Return the files with tests for a GPU; the others would only be imported."""
    return [path for path in sorted(folder.rglob("test_*.py")) if MARK in plain_files.read_text(path)]


def _row(output: str, code: int | None) -> Row:
    """Return the row of pytest's output. code: its exit code; None where its time was over."""
    outcomes = OUTCOME.findall(output)
    wrong = [name for name, outcome in outcomes if outcome in ("FAILED", "ERROR")]
    counts = {word: sum(outcome == word.upper() for _, outcome in outcomes) for word in ("passed", "skipped")}
    row: Row = {"name": NAME, "status": "done", **counts, "failed": len(wrong), "failures": wrong}
    if wrong:
        return {**row, "status": "failed", "error": f"failed: {', '.join(wrong)}"}
    if code is None:
        return {**row, "status": "timeout", "error": "the time of this part was over before the last test"}
    if code:
        return {**row, "status": "failed", "error": f"pytest ended with exit code {code}; see log/{NAME}.txt"}
    return row


def lines(rows: Sequence[Row]) -> list[str]:
    """Return the lines of the summary."""
    text = []
    for row in rows:
        counted = f"{row['passed']} passed, {row['failed']} failed, {row['skipped']} skipped" if "passed" in row else ""
        text += [counted] if counted else []
        text += [str(row["error"])] if "error" in row else []
    return text
