"""One attempt at a cell, in a process of its own, turned into a record whatever becomes of it. Torch-free.

The worker holds the lease, watches the child (heartbeat, time limit, peak memory) and alone writes the record; the
child leaves an outcome or dies. A worker that is killed leaves an attempt without a record, which the next holder
of the lease closes as `interrupted`.
"""

import os
import signal
import time
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import wait
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

from harness import cell as cells
from harness import child, files, fingerprint, isolate, lease, parents, provenance
from harness.attempt import OUTCOME, AttemptFolder
from harness.config import Cell, Runtime
from harness.store import SCHEMA, Store

ENTRY = "harness.run:run"
TICK_S = 0.2


@dataclass
class Watch:
    """What the worker saw of the child. peak_bytes: of process memory; beside: other cells at most."""

    started: float = field(default_factory=time.monotonic)
    peak_bytes: int | None = None
    beside: int = 0
    status: str | None = None
    message: str = ""

    @property
    def wall_s(self) -> float:
        return time.monotonic() - self.started


@dataclass(frozen=True)
class Setup:
    """How a driver wants its cells run. modules: preloaded in the server that children are forked from.

    entry: the "module:function" that runs a cell. deadline: seconds since the epoch after which nothing starts.
    driver: the process that acts on Ctrl-C for all of its workers.
    """

    runtime: Runtime
    modules: tuple[str, ...]
    entry: str = ENTRY
    deadline: float | None = None
    driver: int = field(default_factory=os.getpid)


def job(config: Any, setup: Setup) -> str:
    """The task function of a launcher: config.key names the cell, config.seen the attempt known to the driver."""
    if os.getpid() != setup.driver:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        isolate.end_with(setup.driver)
    if setup.deadline is not None and time.time() >= setup.deadline:
        return "missing"
    store = Store(setup.runtime.store)
    return attempt(store, store.cell(str(config.key)), setup, int(config.seen))


def attempt(store: Store, cell: Cell, setup: Setup, seen: int = 0) -> str:
    """Try the cell once, unless somebody else does now or did since attempt `seen`; the status afterwards.

    Never raises for the cell's own failure. KeyboardInterrupt leaves an `interrupted` record and goes on.
    """
    key = cells.key(cell)
    held = lease.acquire(store.leases, key)
    if held is None:
        return "running"
    try:
        close_unfinished(store, key, cell)
        if tried(store, key) > seen:
            return str((store.summary(key) or {}).get("status"))
        return str(_try(store, key, cell, setup, held)["status"])
    finally:
        held.release()


def tried(store: Store, key: str) -> int:
    """The number of the latest attempt that ended by itself; 0 for none."""
    ended = (number for number, status in store.attempts(key) if status != "interrupted")
    return max(ended, default=0)


def close_unfinished(store: Store, key: str, cell: Cell) -> None:
    """Attempts without a record, whose worker is gone (we hold the lease): `interrupted`."""
    for folder in store.unfinished(key):
        error = {"type": "Killed", "message": "the process that ran this attempt is gone"}
        store.finish(key, folder, _record(key, cell, folder, {"status": "interrupted", "error": error}))


def _try(store: Store, key: str, cell: Cell, setup: Setup, held: lease.Lease) -> dict[str, Any]:
    folder = store.begin(cell)
    if obstacle := parents.obstacle(store, cell):
        error = {"type": "Blocked", "message": obstacle}
        record = _record(key, cell, folder, {"status": "blocked", "error": error})
        store.finish(key, folder, record)
        return record
    kills = _kernel_kills()
    arguments = (setup.entry, cells.to_json(cell), setup.runtime, folder.path)
    process = isolate.start(child.main, arguments, setup.modules)
    watch = Watch()  # only now: the first start of a process waits for the server's imports
    try:
        _follow(process, key, setup.runtime, held, watch)
    except KeyboardInterrupt:
        watch.status, watch.message = "interrupted", "interrupted by the user"
        raise
    finally:
        isolate.kill(process)
        outcome = _outcome(process, folder, watch, _kernel_kills() > kills)
        record = _record(key, cell, folder, outcome, watch, setup.runtime)
        if watch.status != "lost":
            store.finish(key, folder, record)
        (folder.path / OUTCOME).unlink(missing_ok=True)
    return record


def _follow(process: ForkServerProcess, key: str, runtime: Runtime, held: lease.Lease, watch: Watch) -> None:
    """Until the child has ended, or has to."""
    next_beat = watch.started
    while process.is_alive():
        now = time.monotonic()
        if now >= next_beat:
            next_beat = now + min(lease.HEARTBEAT_S, 1.0)
            watch.beside = max(watch.beside, lease.beside(held.path.parent, key))
            if not held.beat():
                watch.status, watch.message = "lost", "another worker took the cell over"
                return
        if runtime.timeout and watch.wall_s > runtime.timeout:
            watch.status, watch.message = "timeout", f"longer than timeout={runtime.timeout:g} seconds"
            return
        watch.peak_bytes = _peak_bytes(process.pid) or watch.peak_bytes
        wait([process.sentinel], timeout=TICK_S)


def _outcome(process: ForkServerProcess, folder: AttemptFolder, watch: Watch, kernel_killed: bool) -> dict[str, Any]:
    """What the child left, or what its death says."""
    if watch.status is None:
        with suppress(OSError, ValueError):
            return files.read_json(folder.path / OUTCOME)
    code = process.exitcode
    error: dict[str, Any] = {"type": "Killed" if watch.status else "Died", "message": watch.message}
    if watch.status is None:
        error["exit_code"] = code
        error["message"] = f"the process ended with exit code {code} and left no outcome"
        if code is not None and code < 0:
            error["signal"] = signal.Signals(-code).name
            error["message"] = f"the process was ended by {error['signal']}"
    out_of_memory = watch.status is None and kernel_killed and code == -signal.SIGKILL
    return {"status": watch.status or ("oom" if out_of_memory else "failed"), "error": error}


def _record(
    key: str,
    cell: Cell,
    folder: AttemptFolder,
    outcome: dict[str, Any],
    watch: Watch | None = None,
    runtime: Runtime | None = None,
) -> dict[str, Any]:
    """The whole record. `outcome` has the status and either the scores or the error."""
    error = outcome.get("error")
    if error is not None:
        death = {"step": folder.last_step(), "peak_bytes": watch.peak_bytes if watch else None}
        error = {**death, **error, "log": folder.log_tail()}
    names = (cell.method.name, cell.task.name, cell.objective)
    clock = {"wall_s": watch.wall_s, "cells_beside": watch.beside} if watch else {}
    return {
        "schema": SCHEMA,
        "key": key,
        "attempt": folder.number,
        "cell": cells.to_json(cell),
        "scores": {},
        "parameters": {},
        "memory": {},
        "notes": {},
        **outcome,
        "error": error,
        "time": {**(outcome.get("time") or {}), **clock},
        "provenance": {
            **provenance.gather(),
            "fingerprint": fingerprint.fingerprint(*names),
            "fingerprint_parts": dict(fingerprint.parts(*names)),
            "threads": runtime.threads if runtime else None,
            "ended": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        },
    }


def _peak_bytes(pid: int | None) -> int | None:
    """The process's own peak of resident memory (Linux), read while it lives."""
    try:
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    except OSError:
        return None
    return None


def _kernel_kills() -> int:
    """How many processes the kernel has killed for want of memory since it started; 0 where it does not tell."""
    with suppress(OSError):
        for line in Path("/proc/vmstat").read_text().splitlines():
            if line.startswith("oom_kill "):
                return int(line.split()[1])
    return 0
