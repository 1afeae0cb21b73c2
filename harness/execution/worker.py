"""One attempt at a cell, in a process of its own, turned into a record whatever happens. Torch is not imported.

The worker holds the lease, watches the child (heartbeat, time limit, peak memory) and alone writes the record. The
child writes its result or dies. A worker that is killed leaves an attempt without a record, which the next holder of
the lease records as `interrupted`.
"""

import os
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import wait
from typing import Any

from harness import failure
from harness.config.schema import Cell, Runtime
from harness.environment import STOP_AT
from harness.errors import UsageError
from harness.execution import companions, outcome, shared_reading
from harness.execution.attempts import tried
from harness.execution.lane import Lane
from harness.execution.time_limit import Gate, TimeLimit
from harness.models import digest, weight_files
from harness.processes import child, forkserver, gpu_leases, termination
from harness.processes.hosts import Hosts, Process
from harness.store import fingerprint, identity, lease
from harness.store.attempt_folder import AttemptFolder
from harness.store.store import Store, obstacle

ENTRY = "harness.run:run"
TICK_S = 0.2
PAUSE_S = 1.0
"""Seconds before a cell is tried again."""
LAST_WORDS_S = 1.0
"""Seconds in which a cell that hangs may write its stack."""


@dataclass(frozen=True)
class Setup:
    """The driver's settings for its cells.

    - modules: those preloaded in the server that children are forked from.
    - entry: the "module:function" that runs a cell.
    - limit: the end of the command's time; None for no end.
    - driver: the process that handles Ctrl-C for all of its workers.
    - devices: those to lease from, `gpus` for each cell; () where the launcher assigns them.
    - outlives: jobs go on when the driver has ended.
    - begun: when the sweep began, in seconds since the epoch; None where cells of it have run.
    """

    runtime: Runtime
    modules: tuple[str, ...]
    entry: str = ENTRY
    limit: TimeLimit | None = None
    driver: forkserver.Driver = field(default_factory=forkserver.Driver.here)
    devices: tuple[str, ...] = ()
    gpus: float = 1.0
    outlives: bool = False
    begun: float | None = None


@dataclass(frozen=True)
class Pending:
    """A cell that waits. seen: its latest attempt that ended by itself. begun: its latest attempt, which may not have
    ended; None where the driver does not say.
    """

    key: str
    seen: int
    begun: int | None = None

    def is_taken(self, store: Store) -> bool:
        """Return whether another job runs the cell, or has begun it since the driver looked.

        What a lost worker had begun is handed over again by the driver, who counts the losses.
        """
        if store.is_running(self.key) or tried(store, self.key) > self.seen:
            return True
        return self.begun is not None and max(store.numbers(self.key), default=0) > self.begun


def job(config: Any, setup: Setup, pending: Sequence[Pending] = ()) -> list[str]:
    """Run a launcher's job: the cells that config.key lists, with the attempts known to the driver in config.seen.

    pending: instead of these, all cells of a sweep. Each job then runs those that no other job has begun. Returns the
    statuses of the cells that ran. It is the launcher's task function.
    """
    if not setup.driver.is_me():
        termination.ignore_terminal()
        if not setup.outlives and setup.driver.lives():  # a container may not see it
            forkserver.end_with(setup.driver)
    store = Store(setup.runtime.store)
    gate = Gate(store, setup.limit)
    listed = pending or [Pending(str(key), int(seen)) for key, seen in zip(config.key, config.seen, strict=True)]
    apart = setup.entry != ENTRY or setup.limit is not None or setup.runtime.compile
    several = 1 if apart else setup.runtime.one_pass
    groups = companions.groups(store, [waiting.key for waiting in listed], several)
    statuses, tried_together = [], set[str]()
    with Hosts() as hosts:
        lane = Lane(None if setup.outlives else setup.begun, hosts)
        for waiting in listed:
            if waiting.key not in tried_together and not waiting.is_taken(store) and len(groups[waiting.key]) > 1:
                tried_together |= _run_group(store, groups[waiting.key], setup, lane)
            if waiting.key in tried_together or not waiting.is_taken(store):
                statuses.append(_run_cell(store, waiting, setup, gate, lane))
    return statuses


def _run_group(store: Store, keys: Sequence[str], setup: Setup, lane: Lane) -> set[str]:
    """Lease a device for cells that train in one pass, and try them; return which. Those without a result then run
    alone.
    """
    with gpu_leases.leased(setup.devices, setup.gpus) as environment:
        return companions.attempt(store, keys, setup.runtime, setup.modules, environment, lane, _learnt)


def _run_cell(store: Store, waiting: Pending, setup: Setup, gate: Gate, lane: Lane) -> str:
    """Lease a device for a cell and try the cell, where it may still begin; return its status."""
    if not gate.opens(waiting.key):
        return "missing"
    with gpu_leases.leased(setup.devices, setup.gpus) as environment:
        if setup.limit is not None and setup.limit.over():  # a device was free too late
            return "missing"
        return attempt(store, store.cell(waiting.key), setup, waiting.seen, environment, lane)


def attempt(
    store: Store, cell: Cell, setup: Setup, seen: int = 0, environment: Mapping[str, str] | None = None,
    lane: Lane | None = None,
) -> str:  # fmt: skip
    """Try the cell once, unless another process does now or did since attempt `seen`; return its status afterwards.

    A cell's own failure is never raised. An exception that ends the worker itself (KeyboardInterrupt, a scheduler's
    signal) is raised again after an `interrupted` record is written. environment: variables that are set in the child.
    lane: the job that runs the cell.
    """
    key, lane = identity.key(cell), lane or Lane()
    cell_lease = lease.acquire(store.leases, key)
    if cell_lease is None:
        return "running"
    try:
        close_unfinished(store, key, cell)
        if tried(store, key) > seen:
            return str((store.summary(key) or {}).get("status"))
        again = 0
        while True:
            record = _try(store, key, cell, setup, cell_lease, environment or {}, lane)
            if record is None:
                return store.status(key)
            limit = failure.retries((record["error"] or {}).get("kind"), setup.runtime.retry)
            if again >= limit or (setup.limit is not None and setup.limit.over()):
                return str(record["status"])
            again += 1
            time.sleep(PAUSE_S)
            if not cell_lease.beat():
                return store.status(key)
    finally:
        cell_lease.release()


def close_unfinished(
    store: Store, key: str, cell: Cell, why: str = "the process that ran this attempt has ended"
) -> None:
    """Record attempts whose worker has ended (we hold the lease): the child's result, or `interrupted` with the
    reason.
    """
    for folder in store.unfinished(key):
        result = outcome.left(folder) or outcome.interrupted(why)
        outcome.finish(store, key, folder, outcome.record(key, cell, folder, result))


def _try(
    store: Store, key: str, cell: Cell, setup: Setup, cell_lease: lease.Lease, environment: Mapping[str, str],
    lane: Lane,
) -> dict[str, Any] | None:  # fmt: skip
    """Run one attempt and return its record; None where another worker has taken the cell over.

    This process may be suspended anywhere (with its machine, or by a file server) for longer than its lease lasts. The
    worker that takes over records every attempt without a record. So an attempt that began while the lease was still
    ours gets exactly one record, by the first to write it.
    """
    folder = store.begin(cell)
    if not cell_lease.held():  # no other worker knows of this attempt or records it
        store.finish(key, folder, outcome.record(key, cell, folder, _taken_over()))
        return None
    if reason := obstacle(store, cell):
        error = {"kind": "blocked", "type": "Blocked", "message": reason}
        record = outcome.record(key, cell, folder, {"status": "blocked", "error": error})
        return record if store.finish(key, folder, record) else None
    outcome.hand_on(store, key, folder)
    if setup.limit is not None:
        environment = {**environment, STOP_AT: str(setup.limit.deadline)}
    arguments = (
        setup.entry,
        identity.to_json(cell),
        setup.runtime,
        folder.path,
        environment,
        _learnt(cell, cell_lease),
    )
    shared = shared_reading.text(cell, setup.runtime) if setup.entry == ENTRY else None
    process = lane.hosts.start(child.main, arguments, setup.modules, shared_reading.READER, shared)
    watch = outcome.Watch(
        before=lane.before()
    )  # starts here, because the first start of a process waits for the server's imports
    written = False
    try:
        _follow(process, folder, key, setup, cell_lease, watch)
    except BaseException as error:  # Ctrl-C, or a scheduler's signal that ends the job
        if watch.status is None:
            watch.status, watch.message = "interrupted", outcome.interruption(error)
        raise
    finally:
        forkserver.kill(process)
        if watch.status == "timeout":
            folder.discard_outcome()  # written after the time limit, while the child wrote its stack
        complete = outcome.left(folder) is not None
        record = outcome.record(key, cell, folder, outcome.outcome(process, folder, watch), watch, setup.runtime)
        lane.ended()
        if complete or (watch.status != "lost" and cell_lease.held()):
            written = outcome.finish(store, key, folder, record)
        if not written:
            with suppress(OSError):  # the other end of the stream may be closed
                message = f"cell {key[:12]}: another worker took it over; attempt {folder.number} is not used"
                print(message, file=sys.stderr)
    return record if written else None


def _learnt(cell: Cell, cell_lease: lease.Lease) -> child.Learnt:
    """Read large files once here instead of in every child. Their errors are left to the child to report."""
    with lease.beating(cell_lease), suppress(UsageError, OSError):
        weight_files.verify(cell.model)
    code = fingerprint.learnt(cell)
    return child.Learnt(code, digest.known())


def _taken_over() -> dict[str, Any]:
    """Return the outcome of an attempt whose cell another worker took over."""
    error = {"kind": "interrupted", "type": "Lost", "message": "another worker took the cell over"}
    return {"status": "interrupted", "error": error}


def _follow(
    process: Process, folder: AttemptFolder, key: str, setup: Setup, cell_lease: lease.Lease,
    watch: outcome.Watch,
) -> None:  # fmt: skip
    """Wait until the child has ended or must end. The time limits do not apply to a child that has written its
    result.
    """
    runtime, next_beat = setup.runtime, watch.started
    while process.is_alive():
        now = time.monotonic()
        if now >= next_beat:
            next_beat = now + lease.HEARTBEAT_S
            watch.beside = max(watch.beside, lease.beside(cell_lease.path.parent, key))
            if not cell_lease.beat():
                watch.status, watch.message = "lost", "another worker took the cell over"
                return
        if runtime.timeout and watch.wall_s > runtime.timeout:
            if outcome.left(folder) is None:
                watch.status, watch.message = "timeout", f"longer than timeout={runtime.timeout:g} seconds"
                _ask_where(process)
            return
        if setup.limit is not None and time.time() >= setup.limit.end:
            if outcome.left(folder) is None:
                watch.status, watch.message = "interrupted", "the time of the command was over"
            return
        watch.look(process.pid)
        wait([process.sentinel], timeout=TICK_S)


def _ask_where(process: Process) -> None:
    """Make a process that hangs write its stacks to its log."""
    with suppress(OSError):
        if process.pid is not None:
            os.kill(process.pid, signal.SIGUSR1)
            wait([process.sentinel], timeout=LAST_WORDS_S)
