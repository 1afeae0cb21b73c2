"""Time the steps of cells that differ in their learning rate alone: in one pass, and one cell after the other.

python -m tests.benchmarks.one_pass [--cells 4] [--steps 20] [--rounds 5] [method=lora model=micro-t5-nano …]

The two sides alternate in one process on the same rows. Printed are the median milliseconds of a step of all cells, and
how many times faster one pass is, with its range over the rounds.
"""

import argparse
import contextlib
import statistics
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from harness import run
from harness.config.schema import Cell, Runtime
from harness.experiments import grid
from harness.one_pass import lockstep
from harness.store.attempt_folder import AttemptFolder
from harness.training import fit
from harness.training.checkpoint import Keeper
from harness.training.fit import Asking, Step

DEFAULT = {"method": "lora", "model": "micro-t5-nano", "task": "micro/sentiment", "seed": 0}


def main() -> None:
    """Print the times of the two sides."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cells", type=int, default=4)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("choice", nargs="*")
    given = parser.parse_args()
    [cell] = grid.expand([{**DEFAULT, **dict(word.split("=", 1) for word in given.choice)}])
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as open_trainings:
        sides = {}
        for name in ("apart", "together"):
            trainings = list(_trainings(cell, given.cells, Path(folder) / name))
            for training in trainings:
                open_trainings.callback(training.close)
            sides[name] = [next(training) for training in trainings]
        if reason := lockstep.obstacle(sides["together"]):
            raise SystemExit(f"these cells cannot train in one pass: {reason}")
        times = _alternate(sides, given.steps, given.rounds)
    ratios = [apart / together for apart, together in zip(times["apart"], times["together"], strict=True)]
    for name, seconds in times.items():
        print(f"{name}: {1e3 * statistics.median(seconds) / given.steps:.1f} ms for a step of {given.cells} cells")
    print(f"one pass is {statistics.median(ratios):.2f} times faster ({min(ratios):.2f} to {max(ratios):.2f})")


def _alternate(sides: dict[str, list[Step]], steps: int, rounds: int) -> dict[str, list[float]]:
    """Return the seconds of each round by side; a first one is not counted."""
    times: dict[str, list[float]] = {name: [] for name in sides}
    for number in range(rounds + 1):
        for name, waiting in sides.items():
            began = time.perf_counter()
            for _ in range(steps):
                if name == "together":
                    lockstep.take(waiting)
                else:
                    for step in waiting:
                        fit.take(step)
            if number:
                times[name].append(time.perf_counter() - began)
    return times


def _trainings(cell: Cell, count: int, folder: Path) -> Iterator[Asking[Any]]:
    """Yield cells that have begun to train at different rates; the step that each asks for can be taken repeatedly."""
    for number in range(count):
        attempt = AttemptFolder(folder / str(number))
        attempt.path.mkdir(parents=True)
        rate = cell.recipe.learning_rate * (number + 1) / count
        yield run.steps(replace(cell, recipe=replace(cell.recipe, learning_rate=rate)), Runtime(), attempt, Keeper())


if __name__ == "__main__":
    main()
