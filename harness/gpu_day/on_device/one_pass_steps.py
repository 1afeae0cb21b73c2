"""Steps of cells that differ in their learning rate alone: in one pass, and one cell after the other, timed in turn.

It is called in a process of its own.
"""

import contextlib
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from harness import run
from harness.config.schema import Cell, Runtime
from harness.measurement import matmul_rate, turns
from harness.one_pass import lockstep
from harness.store import identity
from harness.store.attempt_folder import AttemptFolder
from harness.training import fit
from harness.training.checkpoint import Keeper
from harness.training.fit import Asking, Step

APART, TOGETHER = "one after the other", "in one pass"
BLOCK = 5
"""Steps of a side before the other side has its turn."""


def measure(cell: Mapping[str, Any], count: int, device: str, alternations: int) -> dict[str, Any]:
    """Return for each side the milliseconds of a step of all `count` cells, and the ratios to the first side.

    Raise RuntimeError for cells that cannot train in one pass.
    """
    plain = identity.from_json(cell)
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as ends:
        sides = {side: _waiting(plain, count, device, Path(folder) / side, ends) for side in (APART, TOGETHER)}
        if reason := lockstep.obstacle(sides[TOGETHER]):
            raise RuntimeError(f"these cells cannot train in one pass: {reason}")
        milliseconds = _alternate(sides, torch.device(device), alternations)
    return {
        "sides": [
            {
                "method": plain.method.name, "way": f"{count} cells {side}", "precision": plain.recipe.precision,
                "operations": None, "ms": turns.spread(times), "ratio": turns.ratio(times, milliseconds[APART]),
            }
            for side, times in milliseconds.items()
        ]
    }  # fmt: skip


def _alternate(sides: Mapping[str, Sequence[Step]], device: torch.device, alternations: int) -> dict[str, list[float]]:
    """Return the milliseconds of a step in each block, by side; each side has a first block that does not count."""
    milliseconds: dict[str, list[float]] = {side: [] for side in sides}
    for alternation in range(alternations + 1):
        for side in turns.in_turn(list(sides), alternation):
            matmul_rate.wait(device)
            began = time.perf_counter()
            for _ in range(BLOCK):
                _step(side, sides[side])
            matmul_rate.wait(device)
            if alternation:
                milliseconds[side].append(1000 * (time.perf_counter() - began) / BLOCK)
    return milliseconds


def _step(side: str, waiting: Sequence[Step]) -> None:
    if side == TOGETHER:
        lockstep.take(waiting)
        return
    for step in waiting:
        fit.take(step)


def _waiting(cell: Cell, count: int, device: str, folder: Path, ends: contextlib.ExitStack) -> list[Step]:
    """Return the first step of each cell, which can be taken repeatedly until `ends` closes."""
    trainings = list(_trainings(cell, count, device, folder))
    for training in trainings:
        ends.callback(training.close)
    return [next(training) for training in trainings]


def _trainings(cell: Cell, count: int, device: str, folder: Path) -> Iterator[Asking[Any]]:
    for number in range(count):
        attempt = AttemptFolder(folder / str(number))
        attempt.path.mkdir(parents=True)
        rate = cell.recipe.learning_rate * (number + 1) / count
        own = replace(cell, recipe=replace(cell.recipe, learning_rate=rate))
        yield run.steps(own, Runtime(device=device), attempt, Keeper())
