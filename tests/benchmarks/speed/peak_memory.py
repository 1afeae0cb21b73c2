"""Peak memory of training, each side in a process of its own: what it needs above the loaded model.

The system's counter of the process's peak is set back when everything is loaded (Linux only), and read after some
steps. Library code that is imported late and the allocator's rounding are part of it, so differences below some MiB say
nothing.
"""

import multiprocessing
import tempfile
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

from harness.measurement.turns import in_turn, ratio, spread
from tests.benchmarks.speed.shapes import SHAPES

SIDES = ("ours", "trainer", "bare")
STEPS = 3
MIB = 2**20


def measure(shape: str, method: str, alternations: int, quick: bool = False) -> dict[str, Any]:
    """Return the MiB of each side, above the loaded model and of the whole process. quick: changes nothing."""
    above: dict[str, list[float]] = {side: [] for side in SIDES}
    whole: dict[str, list[float]] = {side: [] for side in SIDES}
    for alternation in range(alternations):
        for side in in_turn(SIDES, alternation):
            with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
                loaded, peak = process.submit(side_peak, shape, method, side).result()
            above[side].append((peak - loaded) / MIB)
            whole[side].append(peak / MIB)
    return {
        "mib_above_loaded": {side: spread(above[side]) for side in SIDES},
        "mib": {side: spread(whole[side]) for side in SIDES},
        "ratio": {side: ratio(above["ours"], above[side]) for side in SIDES[1:]},
    }


def side_peak(shape: str, method: str, side: str) -> tuple[int, int]:
    """Return the process's bytes with everything loaded, and its peak during some steps of one side."""
    import torch

    from tests.benchmarks.speed import ours, theirs

    torch.set_num_threads(1)
    mine = ours.build(SHAPES[shape].cell(method, steps=STEPS, evaluate_every=STEPS), keep_plain=side != "ours")
    if side == "ours":
        loaded = _set_back()
        mine.train(STEPS, every=STEPS)
        return loaded, _status("VmHWM")
    rows, order, recipe = mine.rows(), mine.order, mine.recipe
    other = mine.plan().build(mine.plain)
    mine.model = mine.plain = mine.method = None
    with tempfile.TemporaryDirectory() as folder:
        loaded = _set_back()
        if side == "bare":
            theirs.bare(other, rows, order, recipe)
        else:
            theirs.trainer(other, rows, order, recipe, Path(folder))
    return loaded, _status("VmHWM")


def _set_back() -> int:
    """Set the peak back to what the process holds now, and return that."""
    import gc

    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")
    return _status("VmRSS")


def _status(name: str) -> int:
    """Return a figure of the process in bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))
