"""The record of an attempt, from the result that its process wrote or from the way it died. Torch is not imported."""

import signal
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from harness import failure
from harness.config.schema import Cell, Runtime
from harness.files import plain_files
from harness.processes import termination
from harness.processes.hosts import Process
from harness.store import attempt_folder, fingerprint, identity, provenance
from harness.store.attempt_folder import CHECKPOINT, OUTCOME, AttemptFolder
from harness.store.store import FINAL, SCHEMA, Store


@dataclass
class Watch:
    """The worker's observations of the child.

    - peak_bytes: the peak of process memory.
    - beside: the largest number of other cells on this machine.
    - before: the seconds before its start in which the job ran no cell (lane.py).
    - kills: `kernel_kills` at the last two looks at which the child had memory; earlier kills concern other processes.
    """

    started: float = field(default_factory=time.monotonic)
    peak_bytes: int | None = None
    beside: int = 0
    before: Mapping[str, float] = field(default_factory=dict)
    status: str | None = None
    message: str = ""
    kills: tuple[int, int] = field(default_factory=lambda: (kernel_kills(),) * 2)

    @property
    def wall_s(self) -> float:
        """Return the seconds since the child's start."""
        return time.monotonic() - self.started

    def look(self, pid: int | None) -> None:
        """Observe the child while it runs. A process that the kernel kills loses its memory first and ends later."""
        kills, peak = kernel_kills(), peak_bytes(pid)
        if peak is not None:
            self.peak_bytes, self.kills = peak, (self.kills[1], kills)

    def kernel_killed(self) -> bool:
        """Return whether the kernel has killed a process of ours since the child was last seen alive."""
        return kernel_kills() > self.kills[0]


def hand_on(store: Store, key: str, folder: AttemptFolder) -> None:
    """Move the checkpoint of the last attempt that was cut off to a new attempt, with its saved tensors of earlier
    steps.

    Checkpoints of other attempts are deleted.
    """
    statuses = dict(store.attempts(key))
    for number in range(folder.number - 1, 0, -1):
        path, mine = store.attempt(key, number).path / CHECKPOINT, folder.path / CHECKPOINT
        if path.exists():
            if statuses.get(number) in FINAL or mine.exists():
                path.unlink()
            else:
                path.replace(mine)
                for tensors in path.parent.glob(attempt_folder.PATTERN):
                    tensors.replace(folder.path / tensors.name)


def finish(store: Store, key: str, folder: AttemptFolder, record: dict[str, Any]) -> bool:
    """Write the record, and then remove the files that only an unfinished attempt needs; return whether it was written.

    A checkpoint stays for the next attempt. Returns False where a worker that took the cell over wrote a record first:
    that one counts.
    """
    written = store.finish(key, folder, record)
    standing = record if written else store.record(key, folder.number) or record
    kind = (standing.get("error") or {}).get("kind")
    folder.tidy(checkpoint=standing["status"] in FINAL or kind in failure.LASTING)
    return written


def outcome(process: Process, folder: AttemptFolder, watch: Watch) -> dict[str, Any]:
    """Return the child's result (perhaps written in the moment of its interruption), or a description of its death."""
    if result := left(folder):
        return result
    if watch.status == "interrupted":
        return interrupted(watch.message)
    if watch.status is not None:
        kind = "time" if watch.status == "timeout" else watch.status
        return {"status": watch.status, "error": {"kind": kind, "type": "Killed", "message": watch.message}}
    error = failure.death(process.exitcode)
    if process.exitcode == -signal.SIGKILL and watch.kernel_killed():
        error |= {"kind": "memory", "message": "the kernel killed the process because memory ran out"}
    return {"status": failure.status(error["kind"]), "error": error}


def interrupted(message: str) -> dict[str, Any]:
    """Return the result of an attempt that was ended before it had one."""
    return {"status": "interrupted", "error": {"kind": "interrupted", "type": "Interrupted", "message": message}}


def interruption(error: BaseException) -> str:
    """Return who ended an attempt with an exception that ends its worker, too."""
    if isinstance(error, KeyboardInterrupt):
        return f"interrupted by {termination.cause()}; the same command resumes"
    return f"interrupted by the launcher ({type(error).__name__}: {error})"


def left(folder: AttemptFolder) -> dict[str, Any] | None:
    """Return the result that the child wrote before it ended; None without one."""
    with suppress(OSError, ValueError):
        return plain_files.read_json(folder.path / OUTCOME)
    return None


def record(
    key: str,
    cell: Cell,
    folder: AttemptFolder,
    outcome: dict[str, Any],
    watch: Watch | None = None,
    runtime: Runtime | None = None,
) -> dict[str, Any]:
    """Return the whole record. `outcome` has the status and either the scores or the error."""
    error = outcome.get("error")
    if error is not None:
        death = {**folder.traced(), "peak_bytes": watch.peak_bytes if watch else None}
        error = {**death, **error, "log": folder.log_tail()}
    code = outcome.get("code") or dict(fingerprint.parts(fingerprint.Subject.of_cell(cell)))
    keeps = outcome.get("keeps_freed_memory")
    outcome = {name: value for name, value in outcome.items() if name not in ("code", "keeps_freed_memory")}
    clock = {"wall_s": watch.wall_s, "cells_beside": watch.beside, **watch.before} if watch else {}
    return {
        "schema": SCHEMA,
        "key": key,
        "attempt": folder.number,
        "cell": identity.to_json(cell),
        "scores": {},
        "parameters": {},
        "memory": {},
        "notes": {},
        **outcome,
        **folder.resumed(),
        "error": error,
        "time": {**(outcome.get("time") or {}), **clock},
        "provenance": {
            **provenance.gather(),
            "fingerprint": fingerprint.joined(code),
            "fingerprint_parts": code,
            "threads": runtime.threads if runtime else None,
            **({"compile": True} if runtime and runtime.compile else {}),
            "keeps_freed_memory": keeps,
            "ended": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        },
    }


def peak_bytes(pid: int | None) -> int | None:
    """Return the process's own peak of resident memory in bytes (Linux); None where it has ended."""
    try:
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    except OSError:
        return None
    return None


def kernel_kills() -> int:
    """Return how many processes the kernel has killed because memory ran out.

    It counts those of our control group, else those of the machine since its start; 0 where there is no counter.
    """
    with suppress(OSError):
        for line in _counter().read_text().splitlines():
            if line.startswith("oom_kill "):
                return int(line.split()[1])
    return 0


@cache
def _counter() -> Path:
    """Return the file that counts them: of version 2 or 1 of control groups, or of the whole machine."""
    groups = Path("/sys/fs/cgroup")
    with suppress(OSError):
        for line in Path("/proc/self/cgroup").read_text().splitlines():
            _, kinds, place = line.split(":", 2)
            version_2 = groups / place.lstrip("/") / "memory.events"
            version_1 = groups / "memory" / place.lstrip("/") / "memory.oom_control"
            file = version_2 if not kinds else version_1 if "memory" in kinds.split(",") else None
            if file is not None and file.is_file() and "oom_kill " in file.read_text():
                return file
    return Path("/proc/vmstat")
