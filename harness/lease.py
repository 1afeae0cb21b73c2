"""Who runs a cell now: leases that survive crashes, without flock (network file systems). Torch-free.

A lease is a file `<key>.<generation>` made by exclusive creation; the highest generation holds the cell. Whoever
finds it stale creates the next generation: exactly one can. Stale is a holder on this machine that is gone, or one
elsewhere whose heartbeat (the file's time, read against the file server's own clock) is older than `STALE_S`.
"""

import json
import os
import platform
import re
import time
import uuid
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import psutil

STALE_S = 120.0
"""Seconds without a heartbeat after which a holder on another machine counts as gone."""
HEARTBEAT_S = 10.0
_NAME = re.compile(r"[0-9a-f]{64}\.[1-9][0-9]{0,8}")


@dataclass(frozen=True)
class Lease:
    """One held lease; `path` is its file, `token` proves that it is still ours."""

    path: Path
    token: str

    def beat(self) -> bool:
        """Say that the holder lives. False when the lease was taken over."""
        try:
            if not self.held():
                return False
            os.utime(self.path)
        except FileNotFoundError:
            pass
        except OSError:  # a file server that does not answer now; others wait for STALE_S before they take over
            return True
        return True

    def held(self) -> bool:
        """Whether this is still the highest generation, and ours."""
        key, generation = _parts(self.path.name)
        return _generations(self.path.parent, key)[-1:] == [generation] and _read(self.path).get("token") == self.token

    def release(self) -> None:
        """Give the cell back; safe after a takeover and when called twice."""
        if _read(self.path).get("token") == self.token:
            self.path.unlink(missing_ok=True)


def acquire(folder: Path, key: str) -> Lease | None:
    """The lease on `key`, or None while somebody alive holds it."""
    folder.mkdir(parents=True, exist_ok=True)
    generations = _generations(folder, key)
    if generations and alive(_path(folder, key, generations[-1])):
        return None
    lease = Lease(_path(folder, key, max(generations, default=0) + 1), uuid.uuid4().hex)
    try:
        with lease.path.open("x", encoding="utf-8") as file:
            json.dump({**_me(), "token": lease.token}, file)
    except FileExistsError:
        return None
    except OSError:  # the disk is full: half a lease would look like somebody's young one
        lease.path.unlink(missing_ok=True)
        raise
    # A slow reader may have created a low generation after a takeover removed it: the higher one holds.
    if not lease.held():
        lease.release()
        return None
    for generation in generations:
        _path(folder, key, generation).unlink(missing_ok=True)
    return lease


def clear(folder: Path, keys_: Iterable[str]) -> None:
    """Remove the leases of holders that are gone: nobody would come for one of a finished cell."""
    for key in keys(folder).intersection(keys_):
        with suppress(OSError):  # a read-only store
            held = acquire(folder, key)
            if held is not None:
                held.release()


def running(folder: Path, key: str, touch: bool = True) -> bool:
    """Whether somebody alive holds `key`."""
    generations = _generations(folder, key)
    return bool(generations) and alive(_path(folder, key, generations[-1]), touch)


def keys(folder: Path) -> set[str]:
    """Every key that has a lease file, alive or not."""
    return {_parts(name)[0] for name in _names(folder)}


def beside(folder: Path, key: str) -> int:
    """How many other cells this machine runs from the same store now."""
    here = _me()["host"]
    others = (folder / name for name in _names(folder) if _parts(name)[0] != key)
    return sum(_read(path).get("host") == here and alive(path) for path in others)


def alive(path: Path, touch: bool = True) -> bool:
    """Whether the holder of a lease file lives. touch: a file may be made for a moment, to ask the server its clock."""
    holder = _read(path)
    if holder.get("host") == _me()["host"]:
        return _process_lives(holder)
    try:
        return _age_s(path, touch) < STALE_S
    except FileNotFoundError:
        return False


def _process_lives(holder: dict[str, Any]) -> bool:
    """A process number can be used again, so the start time must agree; a zombie does nothing any more."""
    try:
        process = psutil.Process(holder["pid"])
        same = abs(_started(process) - holder["started"]) < 2
        return same and process.status() != psutil.STATUS_ZOMBIE
    except (psutil.Error, KeyError, TypeError, ValueError, OverflowError):
        return False


def _started(process: psutil.Process) -> float:
    """Seconds: since the machine's start where it tells (Linux), as the clock of the day may be set anew."""
    with suppress(OSError, ValueError, IndexError):
        fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
        return int(fields[19]) / os.sysconf("SC_CLK_TCK")
    return process.create_time()


def _age_s(path: Path, touch: bool) -> float:
    """Seconds since the last heartbeat by the clock of the file server, which a fresh file tells; where none can be
    made (a read-only store), by our own."""
    clock = path.parent / f".clock-{uuid.uuid4().hex}"
    try:
        if not touch:
            raise PermissionError
        clock.touch()
    except OSError:
        return time.time() - path.stat().st_mtime
    try:
        return clock.stat().st_mtime - path.stat().st_mtime
    finally:
        clock.unlink(missing_ok=True)


def _me() -> dict[str, Any]:
    return {"host": _host(), "pid": os.getpid(), "started": _started(psutil.Process())}


@cache
def _host() -> str:
    """This machine since its last start, and the process numbers that are visible (containers have their own)."""
    parts = [platform.node()]
    with suppress(OSError):
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text().strip())
    with suppress(OSError):
        parts.append(os.readlink("/proc/self/ns/pid"))
    return " ".join(parts)


def _read(path: Path) -> dict[str, Any]:
    """The holder; {} for a file that is gone or not finished."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _names(folder: Path) -> Iterator[str]:
    with suppress(FileNotFoundError, NotADirectoryError):
        for name in os.listdir(folder):
            if _NAME.fullmatch(name):
                yield name


def _generations(folder: Path, key: str) -> list[int]:
    return sorted(generation for name in _names(folder) for k, generation in [_parts(name)] if k == key)


def _parts(name: str) -> tuple[str, int]:
    key, _, generation = name.rpartition(".")
    return key, int(generation)


def _path(folder: Path, key: str, generation: int) -> Path:
    return folder / f"{key}.{generation}"
