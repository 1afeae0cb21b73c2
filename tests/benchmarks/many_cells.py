"""A sweep of thousands of cells that take milliseconds: the driver's memory, and how well `--for` is met.

python tests/benchmarks/many_cells.py [cells] [seconds]     2,000 cells with two jobs at once; seconds: as `--for`

Printed are the cells that ended, the seconds of the whole command, and the memory of the driver and of its workers by
the number of ended cells. The slope is a least-squares line through the second half, where all modules are loaded.
"""

import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import psutil

sys.path.insert(0, str(Path(__file__).parents[2]))

from harness.config.schema import Cell, MethodConfig, ModelConfig, RecipeConfig, Runtime, TaskConfig
from harness.execution import sweep
from harness.execution.sweep_plan import SweepOptions
from harness.processes import forkserver
from harness.store.attempt_folder import AttemptFolder

ENDED = "ended.txt"
NAME = "tests.benchmarks.many_cells"
Sample = tuple[float, int, int, int]
"""(seconds, ended cells, bytes of the driver, bytes of its workers together)."""


def run(cell: Cell, runtime: Runtime, folder: AttemptFolder) -> dict[str, Any]:
    """Stand in for a training."""
    with (Path(cell.task.data_dir or ".") / ENDED).open("a") as file:
        file.write("x")
    scores = {"step": 0, "sets": {"test": {"accuracy": 0.5, "n": 2}}}
    return {"scores": {"best": scores, "last": scores}, "time": {"train_s": 0.001}}


def accept(pairs: Sequence[Any], device: str) -> list[None]:
    """Accept the device and every pair of a method and a model, in place of the check before a sweep."""
    return [None] * (1 + len(pairs))


def cells(count: int, folder: Path) -> list[Cell]:
    """Return so many cells that differ by their seed."""
    method = MethodConfig("stub", {"rank": 4})
    model = ModelConfig(name="stub", family="stub", revision="r1")
    task = TaskConfig("micro/sentiment", digest="d1", data_dir=str(folder))
    return [Cell(method, model, task, "seq2seq", RecipeConfig(name="stub"), seed) for seed in range(count)]


def measure(count: int, seconds: float | None, folder: Path) -> tuple[float, list[Sample]]:
    """Run the cells; return the seconds of the whole command and samples of its memory."""
    samples: list[Sample] = []
    over = threading.Event()
    begun = time.perf_counter()

    def watch() -> None:
        while not over.wait(0.5):
            samples.append((time.perf_counter() - begun, ended(folder), *memory()))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        many = cells(count, folder)
        runtime = Runtime(store=str(folder / "store"))
        stubs = {"entry": f"{NAME}:run", "check": f"{NAME}:accept"}
        sweep.run_cells(many, SweepOptions(runtime, jobs=2, deadline_s=seconds, **stubs))
    finally:
        wall = time.perf_counter() - begun
        over.set()
        watcher.join()
    return wall, samples


def ended(folder: Path) -> int:
    """Return how many cells have ended."""
    path = folder / ENDED
    return path.stat().st_size if path.exists() else 0


def memory() -> tuple[int, int]:
    """Return the resident bytes of this process, and those of its workers together."""
    workers = 0
    for child in psutil.Process().children():
        try:
            workers += child.memory_info().rss
        except psutil.NoSuchProcess:
            continue
    return psutil.Process().memory_info().rss, workers


def slope(samples: Sequence[Sample]) -> float:
    """Return the bytes that the driver grows by for each cell, in the second half of the cells, before the last ends:
    what the whole sweep is summed up with afterwards does not count.
    """
    last = samples[-1][1]
    half = [(done, driver) for _, done, driver, _ in samples if last <= 2 * done < 2 * last]
    done, driver = np.array(half or [(0, 0)], dtype=float).T
    return float(np.polyfit(done, driver, 1)[0]) if len(set(done)) > 1 else float("nan")


def main(words: Sequence[str]) -> None:
    """Measure and print."""
    count, seconds = int(words[0]) if words else 2_000, float(words[1]) if len(words) > 1 else None
    forkserver.preload = lambda families: (NAME,)  # stubs need no torch
    with tempfile.TemporaryDirectory() as place:
        wall, samples = measure(count, seconds, Path(place))
        done = ended(Path(place))
    aim = "" if seconds is None else f" of {seconds:g} ({wall / seconds:.2f})"
    print(f"{done} of {count} cells ended in {wall:.1f} s{aim}")
    for elapsed, many, driver, workers in samples[:: max(1, len(samples) // 10)]:
        print(f"{elapsed:7.1f} s {many:6d} cells  driver {driver / 2**20:6.1f} MiB  workers {workers / 2**20:6.1f} MiB")
    print(f"driver, second half: {slope(samples):.0f} bytes a cell")


if __name__ == "__main__":
    main(sys.argv[1:])
