"""Cells that differ in their learning rate alone, tried in one process. Torch is not imported.

This is a shortcut before the usual way: whatever happens, a cell without a result is `interrupted`, and runs alone.
"""

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from multiprocessing.connection import wait
from multiprocessing.context import ForkServerProcess

from harness.config.schema import Cell, RecipeConfig, Runtime
from harness.execution import outcome
from harness.execution.lane import Lane
from harness.processes import child, forkserver
from harness.store import identity, lease
from harness.store.store import Store, obstacle

ENTRY = "harness.one_pass.cells:run_all"
ALONE = "the process that trained it with other cells ended before it had a result; the first cell's log says why"
TICK_S = 0.2
Learn = Callable[[Cell, lease.Lease], child.Learnt]


def groups(store: Store, keys: Sequence[str], size: int) -> Mapping[str, Sequence[str]]:
    """Return key -> the keys of its group, itself included: at most `size` cells that may train in one pass."""
    if size == 1:
        return {key: [key] for key in keys}
    alike: dict[str, list[str]] = {}
    for key in keys:
        cell = store.cell(key)
        alike.setdefault(_but_rate(cell) if _may(cell.recipe) else key, []).append(key)
    parts = [members[i : i + size] for members in alike.values() for i in range(0, len(members), size)]
    return {key: part for part in parts for key in part}


def attempt(
    store: Store, keys: Sequence[str], runtime: Runtime, modules: Sequence[str], environment: Mapping[str, str],
    lane: Lane, learn: Learn,
) -> set[str]:  # fmt: skip
    """Try cells that nobody has tried yet in one process, where there are two or more; return the keys of these."""
    with _leased(store, keys) as leases:
        if len(leases) < 2:
            return set()
        _try(store, leases, runtime, modules, environment, lane, learn)
        return set(leases)


def _try(
    store: Store, leases: Mapping[str, lease.Lease], runtime: Runtime, modules: Sequence[str],
    environment: Mapping[str, str], lane: Lane, learn: Learn,
) -> None:  # fmt: skip
    """Run the cells, and write a record for each."""
    cells = {key: store.cell(key) for key in leases}
    learnt = [learn(cell, leases[key]) for key, cell in cells.items()]
    folders = {key: store.begin(cell) for key, cell in cells.items()}
    sent = [identity.to_json(cell) for cell in cells.values()], runtime, [folder.path for folder in folders.values()]
    process = forkserver.start(child.several, (ENTRY, *sent, environment, learnt), modules)
    watch, why = outcome.Watch(before=lane.before()), ALONE
    try:
        _follow(process, leases, watch, runtime.timeout * len(cells))
    except BaseException as error:  # Ctrl-C, or a scheduler's signal that ends the job
        why = outcome.interruption(error)
        raise
    finally:
        forkserver.kill(process)
        lane.ended()
        for key, folder in folders.items():
            if leases[key].held() or outcome.left(folder) is not None:
                record = outcome.record(
                    key, cells[key], folder, outcome.left(folder) or outcome.interrupted(why), watch, runtime
                )
                outcome.finish(store, key, folder, record)


def _follow(
    process: ForkServerProcess, leases: Mapping[str, lease.Lease], watch: outcome.Watch, timeout: float
) -> None:
    """Wait until the process has ended or must end: a lease is lost, or the cells took too long together."""
    next_beat = watch.started
    while process.is_alive():
        now = time.monotonic()
        if now >= next_beat:
            next_beat = now + lease.HEARTBEAT_S
            watch.beside = max(watch.beside, *(lease.beside(mine.path.parent, key) for key, mine in leases.items()))
            lost = [key for key, mine in leases.items() if not mine.beat()]
            if lost:
                return
        if timeout and watch.wall_s > timeout:
            return
        watch.look(process.pid)
        wait([process.sentinel], timeout=TICK_S)


@contextmanager
def _leased(store: Store, keys: Sequence[str]) -> Iterator[dict[str, lease.Lease]]:
    """Yield key -> lease of the cells that may begin: no attempt at them has begun, and no parent is missing."""
    leases: dict[str, lease.Lease] = {}
    try:
        for key in keys:
            taken = None if store.numbers(key) else lease.acquire(store.leases, key)
            if taken is not None:
                leases[key] = taken
                if store.numbers(key) or obstacle(store, store.cell(key)):
                    leases.pop(key).release()
        yield leases
    finally:
        for mine in leases.values():
            mine.release()


def _may(recipe: RecipeConfig) -> bool:
    """Return whether one pass can take a recipe's steps: whole batches, and an update apart from the gradients."""
    whole = recipe.accumulate == 1 and recipe.parallel == "none" and not recipe.gradient_checkpointing
    return whole and recipe.steps > 0 and recipe.optimizer != "lomo" and recipe.awake_layers is None


def _but_rate(cell: Cell) -> str:
    """Return everything of a cell but its learning rate, as text."""
    fields = identity.to_json(cell)
    return json.dumps({**fields, "recipe": {**fields["recipe"], "learning_rate": None}}, sort_keys=True)
