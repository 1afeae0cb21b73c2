"""Time per training step: ours, transformers' Trainer with PEFT, and a bare PEFT loop, in one process and in turns.

A step lasts from the end of the one before to its own end, so batches, schedules, callbacks and measurements are part
of it. A block is some steps of a side on the same batches; its figure is the median of its steps.

The process keeps the memory that it frees, as our cells do and a script of the others by itself does not. Otherwise the
figure of each side would be that of the system's pages, and it would change with whatever else needs memory.
"""

import gc
import statistics
import tempfile
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch

from harness.measurement import freed_memory
from harness.measurement.turns import in_turn, ratio, spread
from tests.benchmarks.speed import ours as our_side
from tests.benchmarks.speed import same_start, theirs
from tests.benchmarks.speed.shapes import SHAPES

SIDES = ("ours", "trainer", "bare")


def measure(shape: str, method: str, alternations: int, quick: bool = False) -> dict[str, Any]:
    """Return the milliseconds a step by side, their ratios, and the losses that were compared."""
    torch.set_num_threads(1)
    freed_memory.keep()
    steps = same_start.STEPS if quick else SHAPES[shape].steps
    mine = our_side.build(SHAPES[shape].cell(method, steps=steps, evaluate_every=steps))
    plan = mine.plan()
    other = plan.build(mine.plain)
    same_start.copy(mine, plan, other)
    with tempfile.TemporaryDirectory() as folder:
        found = compare(mine, other, Path(folder))
        return found if "refused" in found else {**found, **_times(mine, other, alternations, Path(folder))}


def compare(mine: our_side.Ours, other: Any, folder: Path) -> dict[str, Any]:
    """Return the losses of the first steps; with `refused` where the sides compute something different."""
    losses = same_start.losses(mine, other, folder)
    difference = same_start.difference(losses)
    found = {"losses": losses, "largest_difference": difference}
    if difference > same_start.CLOSE:
        found["refused"] = (
            f"the losses of the first {same_start.STEPS} steps differ by {difference:.2g}, which is more than "
            f"{same_start.CLOSE:g}: the two sides do not compute the same"
        )
    return found


def _times(mine: our_side.Ours, other: Any, alternations: int, folder: Path) -> dict[str, Any]:
    rows, order, recipe = mine.rows(), mine.order, mine.recipe
    blocks: dict[str, Callable[[], theirs.Clock]] = {
        "ours": lambda: mine.train(recipe.steps, every=recipe.steps)[0],
        "trainer": lambda: theirs.trainer(other, rows, order, recipe, folder),
        "bare": lambda: theirs.bare(other, rows, order, recipe),
    }
    walls: dict[str, list[float]] = {side: [] for side in SIDES}
    cpus: dict[str, list[float]] = {side: [] for side in SIDES}
    for alternation in range(alternations):
        for side in in_turn(SIDES, alternation):
            gc.collect()
            clock = blocks[side]()
            first = 1 if side == "ours" else 0  # our loop also looks at the clock before the first step
            last = first + recipe.steps - 1
            walls[side].append(_median_ms(clock.walls[first:last]))
            cpus[side].append(_median_ms(clock.cpus[first:last]))
    return {
        "steps_of_a_block": recipe.steps,
        "ms": {side: spread(walls[side]) for side in SIDES},
        "ratio": {side: ratio(walls["ours"], walls[side]) for side in SIDES[1:]},
        "processor_ms": {side: spread(cpus[side]) for side in SIDES},
        "processor_ratio": {side: ratio(cpus["ours"], cpus[side]) for side in SIDES[1:]},
    }


def _median_ms(ends: list[float]) -> float:
    """Return the median milliseconds of steps, from the times at which they ended."""
    return 1000 * statistics.median(later - earlier for earlier, later in pairwise(ends))
