"""One attempt at a cell, in a process of its own, turned into a record whatever becomes of it. Torch-free.

The worker holds the lease, watches the child (heartbeat, time limit, peak memory) and alone writes the record; the
child leaves an outcome or dies. A worker that is killed leaves an attempt without a record, which the next holder
of the lease closes as `interrupted`.
"""

import os
import signal
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import wait
from multiprocessing.context import ForkServerProcess
from typing import Any

from harness import failure
from harness.config.schema import Cell, Runtime
from harness.errors import UsageError
from harness.execution import outcome as ending
from harness.models import digest, weight_files
from harness.processes import child, forkserver, gpu_leases
from harness.store import fingerprint, identity, lease
from harness.store.attempt_folder import AttemptFolder
from harness.store.store import Store, obstacle

ENTRY = "harness.run:run"
TICK_S = 0.2
PAUSE_S = 1.0
"""Before a cell is tried again."""
LAST_WORDS_S = 1.0
"""For a cell that hangs, to say where."""


@dataclass(frozen=True)
class Setup:
    """How a driver wants its cells run. modules: preloaded in the server that children are forked from.

    entry: the "module:function" that runs a cell. deadline: seconds since the epoch after which nothing starts.
    driver: the process that acts on Ctrl-C for all of its workers. devices: those to lease from, `gpus` for each cell;
    () where the launcher gives them. outlives: jobs go on when the driver is gone.
    """

    runtime: Runtime
    modules: tuple[str, ...]
    entry: str = ENTRY
    deadline: float | None = None
    driver: forkserver.Driver = field(default_factory=forkserver.Driver.here)
    devices: tuple[str, ...] = ()
    gpus: float = 1.0
    outlives: bool = False


def job(config: Any, setup: Setup) -> list[str]:
    """The task function of a launcher: config.key lists cells, config.seen the attempts known to the driver."""
    if not setup.driver.is_me():
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        if not setup.outlives and setup.driver.lives():  # a container may not see it
            forkserver.end_with(setup.driver)
    store = Store(setup.runtime.store)
    return [_one(store, str(key), setup, int(seen)) for key, seen in zip(config.key, config.seen, strict=True)]


def _one(store: Store, key: str, setup: Setup, seen: int) -> str:
    with gpu_leases.held(setup.devices, setup.gpus) as environment:
        if setup.deadline is not None and time.time() >= setup.deadline:
            return "missing"
        return attempt(store, store.cell(key), setup, seen, environment)


def attempt(store: Store, cell: Cell, setup: Setup, seen: int = 0, environment: Mapping[str, str] | None = None) -> str:
    """Try the cell once, unless somebody else does now or did since attempt `seen`; the status afterwards.

    Never raises for the cell's own failure. What ends the worker itself (KeyboardInterrupt, a scheduler's signal)
    leaves an `interrupted` record and goes on. environment: set in the child.
    """
    key = identity.key(cell)
    held = lease.acquire(store.leases, key)
    if held is None:
        return "running"
    try:
        close_unfinished(store, key, cell)
        if tried(store, key) > seen:
            return str((store.summary(key) or {}).get("status"))
        again = 0
        while True:
            record = _try(store, key, cell, setup, held, environment or {})
            if record is None:
                return store.status(key)
            limit = failure.retries((record["error"] or {}).get("kind"), setup.runtime.retry)
            if again >= limit or (setup.deadline is not None and time.time() >= setup.deadline):
                return str(record["status"])
            again += 1
            time.sleep(PAUSE_S)
            if not held.beat():
                return store.status(key)
    finally:
        held.release()


def tried(store: Store, key: str) -> int:
    """The number of the latest attempt that ended by itself; 0 for none."""
    ended = (number for number, status in store.attempts(key) if status != "interrupted")
    return max(ended, default=0)


def close_unfinished(store: Store, key: str, cell: Cell) -> None:
    """Attempts without a record, whose worker is gone (we hold the lease): `interrupted`, or what the child left."""
    for folder in store.unfinished(key):
        error = {"kind": "interrupted", "type": "Killed", "message": "the process that ran this attempt is gone"}
        outcome = ending.left(folder) or {"status": "interrupted", "error": error}
        ending.finish(store, key, folder, ending.record(key, cell, folder, outcome))


def _try(
    store: Store, key: str, cell: Cell, setup: Setup, held: lease.Lease, environment: Mapping[str, str]
) -> dict[str, Any] | None:
    """The record of one attempt; None where another worker has taken the cell over.

    This process may be frozen anywhere (with its machine, or by a file server) for longer than its lease lasts. Whoever
    takes over closes every attempt that is there without a record, so an attempt that began while the lease was still
    ours gets exactly one record, whoever writes first.
    """
    folder = store.begin(cell)
    if not held.held():  # nobody else knows of this attempt, or closes it
        store.finish(key, folder, ending.record(key, cell, folder, _taken_over()))
        return None
    if reason := obstacle(store, cell):
        error = {"kind": "blocked", "type": "Blocked", "message": reason}
        record = ending.record(key, cell, folder, {"status": "blocked", "error": error})
        return record if store.finish(key, folder, record) else None
    ending.hand_on(store, key, folder)
    arguments = (setup.entry, identity.to_json(cell), setup.runtime, folder.path, environment, _learnt(cell, held))
    process = forkserver.start(child.main, arguments, setup.modules)
    watch = ending.Watch()  # only now: the first start of a process waits for the server's imports
    written = False
    try:
        _follow(process, folder, key, setup.runtime, held, watch)
    except BaseException as error:  # Ctrl-C, or a scheduler's signal that takes the job off this machine
        who = "the user" if isinstance(error, KeyboardInterrupt) else f"the launcher ({type(error).__name__}: {error})"
        if watch.status is None:
            watch.status, watch.message = "interrupted", f"interrupted by {who}"
        raise
    finally:
        forkserver.kill(process)
        if watch.status == "timeout":
            folder.discard_outcome()  # written after the time was over, while the child was asked where it was
        complete = ending.left(folder) is not None
        record = ending.record(key, cell, folder, ending.outcome(process, folder, watch), watch, setup.runtime)
        if complete or (watch.status != "lost" and held.held()):
            written = ending.finish(store, key, folder, record)
        if not written:
            with suppress(OSError):  # nobody may listen any more
                told = f"cell {key[:12]}: another worker took it over; attempt {folder.number} is not used"
                print(told, file=sys.stderr)
    return record if written else None


def _learnt(cell: Cell, held: lease.Lease) -> child.Learnt:
    """Read large files once, not in every child. What is wrong with them is for the child to say."""
    with lease.beating(held), suppress(UsageError, OSError):
        weight_files.verify(cell.model)
    code = fingerprint.learnt(cell.method.name, cell.task.name, cell.objective)
    return child.Learnt(code, digest.known())


def _taken_over() -> dict[str, Any]:
    error = {"kind": "interrupted", "type": "Lost", "message": "another worker took the cell over"}
    return {"status": "interrupted", "error": error}


def _follow(
    process: ForkServerProcess, folder: AttemptFolder, key: str, runtime: Runtime, held: lease.Lease,
    watch: ending.Watch,
) -> None:  # fmt: skip
    """Until the child has ended, or has to. The time limit does not touch a child that has left its outcome already."""
    next_beat = watch.started
    while process.is_alive():
        now = time.monotonic()
        if now >= next_beat:
            next_beat = now + lease.HEARTBEAT_S
            watch.beside = max(watch.beside, lease.beside(held.path.parent, key))
            if not held.beat():
                watch.status, watch.message = "lost", "another worker took the cell over"
                return
        if runtime.timeout and watch.wall_s > runtime.timeout:
            if ending.left(folder) is None:
                watch.status, watch.message = "timeout", f"longer than timeout={runtime.timeout:g} seconds"
                _ask_where(process)
            return
        watch.look(process.pid)
        wait([process.sentinel], timeout=TICK_S)


def _ask_where(process: ForkServerProcess) -> None:
    """The stacks of a process that hangs go to its log."""
    with suppress(OSError):
        if process.pid is not None:
            os.kill(process.pid, signal.SIGUSR1)
            wait([process.sentinel], timeout=LAST_WORDS_S)
