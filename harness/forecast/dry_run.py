"""What the cells of an exhibit will take, told before any of them runs. Torch-free.

Time and memory by finished cells most like them (duration.py). Where there are none, as for grids that want a GPU, by
a forecast from the cells alone (gpu_hours.py).
"""

from collections.abc import Iterable, Sequence
from itertools import chain
from pathlib import Path

from harness.config.schema import Cell, Runtime
from harness.config.step_load import gib
from harness.execution import progress, sweep
from harness.experiments.exhibits import HERE, Block, Exhibit
from harness.experiments.rate_tuning import Planned
from harness.forecast import duration, gpu_hours
from harness.probes import registry as probes
from harness.store import archive, identity
from harness.store.store import FINAL, Store


def plan(
    exhibit: Exhibit,
    scale: str,
    blocks: Sequence[Block],
    planned: Planned,
    runtime: Runtime,
    jobs: int | None,
    folder: Path,
) -> str:
    """Return the text of a plan: the cells, how many are done, time and memory of the rest, the folder of results."""
    store, found = Store(runtime.store), planned.cells
    keyed = {identity.key(cell): cell for cell in found}
    left = [cell for key, cell in keyed.items() if store.status(key) not in FINAL]
    at_once = min(jobs or sweep.slots(runtime), max(len(left), 1))
    summary = sweep.summary(store, found)
    if planned.waiting:
        summary += f"\n{planned.waiting} more cells when these have chosen their learning rate"
    wanted = probes.parse(runtime.probe) if runtime.keep == "delta" else ()
    if again := sum(probes.lacks_snapshots(store, key, cell, wanted) for key, cell in keyed.items() if wanted):
        summary += f"\n{again} finished cells get another attempt, which saves the tensors that a probe needs"
    by = chain(
        duration.from_store(store, list(keyed)),
        duration.from_reference(store, archive.reference(exhibit.cells_of)),
        duration.from_references(store),
    )
    took = _took(by, left, planned.waiting, at_once)
    return f"{summary}\n{took or _unseen(scale, blocks, len(left), at_once)}\nrecords: {store.path}\nresults: {folder}"


def _took(by: Iterable[duration.Known], left: Sequence[Cell], waiting: int, at_once: int) -> str | None:
    """In a sentence; None where no finished cell is like one of these."""
    if not left and not waiting:
        return "0 to run, nothing is left to do"
    found = duration.walls(left, by)
    if len(found) < len(left) or not found:
        return None
    now = sum(wall for wall, _ in found.values())
    later = waiting * now / len(found)
    told = f"{len(left)} to run, {at_once} at once; about {progress.clock(now / at_once)}"
    told += f" and {progress.clock(later / at_once)} for those {waiting}" if later else ""
    used = duration.whose(found)
    most = max((one.memory for one in used if one.memory), default=None)
    return f"{told}{f'; {gib(most)} for each process' if most else ''}{''.join(one.of for one in used)}"


def _unseen(scale: str, blocks: Sequence[Block], left: int, at_once: int) -> str:
    """Where no finished cell is like one of these."""
    told = f"{left} to run, {at_once} at once"
    if scale in HERE:
        return f"{told}; how long is unknown until one of them has finished"
    on = gpu_hours.device()
    return f"{told}\n{gpu_hours.text(gpu_hours.lines(gpu_hours.cells_of(blocks), on), on)}"


def without_rows(exhibit: Exhibit, blocks: Sequence[Block], why: object, folder: Path) -> str:
    """Return the text of a plan where the rows of a task are not here, so that no cell has a key yet."""
    on = gpu_hours.device()
    found = gpu_hours.lines(gpu_hours.cells_of(blocks), on)
    return (
        f"{why}\nwithout its rows no cell can be looked up in the store; the forecast of all cells of {exhibit.name}:\n"
        f"{gpu_hours.text(found, on)}\nresults: {folder}"
    )
