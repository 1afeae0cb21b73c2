"""The benchmark of a sweep of thousands of cells runs on a few of them; its slope is the driver's."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.benchmarks import many_cells

SCRIPT = Path(many_cells.__file__)


def test_the_slope_is_that_of_the_second_half_before_the_last_cell_ends() -> None:
    loading = [(0.0, 0, 10, 0), (1.0, 2, 5000, 0), (2.0, 4, 9000, 0)]
    running = [(float(done), done, 10_000 + 7 * done, 0) for done in range(5, 10)]
    assert many_cells.slope([*loading, *running, (11.0, 10, 99_999, 0)]) == pytest.approx(7)


def test_a_few_cells_run_and_their_memory_is_printed() -> None:
    done = subprocess.run([sys.executable, SCRIPT, "4"], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "4 of 4 cells ended in" in done.stdout
    assert "bytes a cell" in done.stdout
