"""How an attempt ended, as a record: from what its process left, or from the way it died. Torch-free."""

import signal
import time
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

from harness import atomic_files, failure
from harness.config.schema import Cell, Runtime
from harness.store import attempt_folder, fingerprint, identity, provenance
from harness.store.attempt_folder import CHECKPOINT, OUTCOME, AttemptFolder
from harness.store.store import FINAL, SCHEMA, Store


@dataclass
class Watch:
    """What the worker saw of the child. peak_bytes: of process memory; beside: other cells at most.

    kills: `kernel_kills` at the last two looks at which the child had memory; an early one is of another process.
    """

    started: float = field(default_factory=time.monotonic)
    peak_bytes: int | None = None
    beside: int = 0
    status: str | None = None
    message: str = ""
    kills: tuple[int, int] = field(default_factory=lambda: (kernel_kills(),) * 2)

    @property
    def wall_s(self) -> float:
        return time.monotonic() - self.started

    def look(self, pid: int | None) -> None:
        """At the child while it runs. A process that the kernel has killed loses its memory first and ends later."""
        kills, peak = kernel_kills(), peak_bytes(pid)
        if peak is not None:
            self.peak_bytes, self.kills = peak, (self.kills[1], kills)

    def kernel_killed(self) -> bool:
        """Whether the kernel has killed some process of ours since the child was last seen well."""
        return kernel_kills() > self.kills[0]


def hand_on(store: Store, key: str, folder: AttemptFolder) -> None:
    """Give a new attempt the checkpoint of the last one that was cut off, with the deltas that one kept on its way; no
    other checkpoint is of use any more.
    """
    statuses = dict(store.attempts(key))
    for number in range(folder.number - 1, 0, -1):
        path, mine = store.attempt(key, number).path / CHECKPOINT, folder.path / CHECKPOINT
        if path.exists():
            if statuses.get(number) in FINAL or mine.exists():
                path.unlink()
            else:
                path.replace(mine)
                for kept in path.parent.glob(attempt_folder.PATTERN):
                    kept.replace(folder.path / kept.name)


def finish(store: Store, key: str, folder: AttemptFolder, record: dict[str, Any]) -> bool:
    """The record, and then nothing of what only an unfinished attempt needs. A checkpoint stays for the next one.

    False where the attempt has a record already, by somebody who took the cell over: that one stands.
    """
    written = store.finish(key, folder, record)
    standing = record if written else store.record(key, folder.number) or record
    kind = (standing.get("error") or {}).get("kind")
    folder.tidy(checkpoint=standing["status"] in FINAL or kind in failure.LASTING)
    return written


def outcome(process: ForkServerProcess, folder: AttemptFolder, watch: Watch) -> dict[str, Any]:
    """What the child left (perhaps in the moment it was interrupted), or what its death says."""
    if found := left(folder):
        return found
    if watch.status is not None:
        kind = "time" if watch.status == "timeout" else watch.status
        return {"status": watch.status, "error": {"kind": kind, "type": "Killed", "message": watch.message}}
    error = failure.death(process.exitcode)
    if process.exitcode == -signal.SIGKILL and watch.kernel_killed():
        error |= {"kind": "memory", "message": "the kernel ended the process, for want of memory"}
    return {"status": failure.status(error["kind"]), "error": error}


def left(folder: AttemptFolder) -> dict[str, Any] | None:
    """What the child wrote before it ended."""
    with suppress(OSError, ValueError):
        return atomic_files.read_json(folder.path / OUTCOME)
    return None


def record(
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
        death = {**folder.traced(), "peak_bytes": watch.peak_bytes if watch else None}
        error = {**death, **error, "log": folder.log_tail()}
    code = outcome.get("code") or dict(fingerprint.parts(cell.method.name, cell.task.name, cell.objective))
    outcome = {name: value for name, value in outcome.items() if name != "code"}
    clock = {"wall_s": watch.wall_s, "cells_beside": watch.beside} if watch else {}
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
            "ended": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        },
    }


def peak_bytes(pid: int | None) -> int | None:
    """The process's own peak of resident memory (Linux), read while it lives."""
    try:
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    except OSError:
        return None
    return None


def kernel_kills() -> int:
    """How many processes the kernel has killed for want of memory: in our control group, else on the machine since it
    started; 0 where it does not tell."""
    with suppress(OSError):
        for line in _counter().read_text().splitlines():
            if line.startswith("oom_kill "):
                return int(line.split()[1])
    return 0


@cache
def _counter() -> Path:
    """The file that counts them: of version 2 or 1 of control groups, or of the whole machine."""
    groups = Path("/sys/fs/cgroup")
    with suppress(OSError):
        for line in Path("/proc/self/cgroup").read_text().splitlines():
            _, kinds, place = line.split(":", 2)
            version_2 = groups / place.lstrip("/") / "memory.events"
            version_1 = groups / "memory" / place.lstrip("/") / "memory.oom_control"
            found = version_2 if not kinds else version_1 if "memory" in kinds.split(",") else None
            if found is not None and found.is_file() and "oom_kill " in found.read_text():
                return found
    return Path("/proc/vmstat")
