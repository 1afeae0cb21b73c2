"""Who runs a cell now: leases that survive crashes, without flock (network file systems). Torch-free.

A lease is a file `<key>.<generation>` made by exclusive creation; the highest generation holds the cell. Whoever
finds it stale creates the next generation: exactly one can. Stale is a holder on this machine that is gone, or one
elsewhere whose heartbeat (the file's time) has not changed for `STALE_S`.

No clock is trusted for that alone. The heartbeat's age is read against the file server's own clock; a lease from the
future gets the server's time now, so that it ages from here on; and whoever would take a lease over watches it first,
because a clock that was set forward makes every lease look old.
"""

import os
import platform
import re
import threading
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import psutil

from harness import atomic_files

STALE_S = 60.0
"""Seconds without a heartbeat after which a holder on another machine counts as gone."""
HEARTBEAT_S = 1.0
WATCH_S = 5.0
"""Seconds for which a lease that looks stale must show no heartbeat before it is taken over: several heartbeats."""
LOOKS = 10
"""In that time. They are counted, as an observer may be frozen too."""
AHEAD_S = 2.0
"""Seconds by which a heartbeat may be newer than the server's clock: some file systems tell whole seconds."""
_NAME = re.compile(r"[0-9a-f]{64}\.[1-9][0-9]{0,8}")


@dataclass(frozen=True)
class Lease:
    """One held lease; `path` is its file, `token` proves that it is still ours."""

    path: Path
    token: str

    def beat(self) -> bool:
        """Say that the holder lives. False when the lease was taken over."""
        if not self.held():
            return False
        with suppress(OSError):  # a file server that does not answer now; others wait for STALE_S
            os.utime(self.path)
        return True

    def held(self) -> bool:
        """Whether this is still the highest generation, and ours; also where the file server does not answer now."""
        key, generation = _parts(self.path.name)
        try:
            if _generations(self.path.parent, key)[-1:] != [generation]:
                return False
            return atomic_files.read_json(self.path).get("token") == self.token
        except (FileNotFoundError, ValueError):
            return False
        except OSError:
            return True

    def release(self) -> None:
        """Give the cell back; safe after a takeover and when called twice."""
        if _read(self.path).get("token") == self.token:
            self.path.unlink(missing_ok=True)


def acquire(folder: Path, key: str) -> Lease | None:
    """The lease on `key`, or None while somebody alive holds it. One that looks stale is watched for `WATCH_S`."""
    folder.mkdir(parents=True, exist_ok=True)
    generations = _generations(folder, key)
    if generations:
        last = _path(folder, key, generations[-1])
        if alive(last) or not _stays_stale(last):
            return None
        if not last.exists():  # its holder let go of it while we watched
            return acquire(folder, key)
    lease = Lease(_path(folder, key, max(generations, default=0) + 1), uuid.uuid4().hex)
    # Whole from the start: a holder that is killed here leaves no half lease, which would look like a young one.
    if not atomic_files.create(lease.path, atomic_files.encode({**me(), "token": lease.token}), durable=False):
        return None
    # A slow reader may have created a low generation after a takeover removed it: the higher one holds.
    if not lease.held():
        lease.release()
        return None
    for generation in generations:
        _path(folder, key, generation).unlink(missing_ok=True)
    return lease


@contextmanager
def beating(held: Lease) -> Iterator[None]:
    """A heartbeat while the block runs, for a holder that has no loop of its own to beat in."""
    over = threading.Event()

    def beat() -> None:
        while not over.wait(HEARTBEAT_S) and held.beat():
            pass

    thread = threading.Thread(target=beat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


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
    here = me()["host"]
    others = (folder / name for name in _names(folder) if _parts(name)[0] != key)
    return sum(_read(path).get("host") == here and alive(path) for path in others)


def alive(path: Path, touch: bool = True) -> bool:
    """Whether the holder of a lease file lives. touch: the file server may be asked for its clock, by a file that is
    there for a moment, and a heartbeat from the future may be set to it."""
    holder = _read(path)
    if holder.get("host") == me()["host"]:
        return lives(holder)
    try:
        return _unchanged_s(path) < STALE_S and _age_s(path, touch) < STALE_S
    except FileNotFoundError:
        return False


def _stays_stale(path: Path) -> bool:
    """Whether a lease that looks stale shows no heartbeat while we watch it. One of this machine needs no watching.

    All leases of the folder are watched together, so that many of one machine that died cost the time once.
    """
    if _read(path).get("host") == me()["host"] or (path, _beaten(path)) in _silent:
        return True
    before = {one: _beaten(one) for one in (path, *(path.parent / name for name in _names(path.parent)))}
    for _ in range(LOOKS):
        time.sleep(WATCH_S / LOOKS)
        if _beaten(path) not in (before[path], None):
            return False
    _silent.update((one, time_ns) for one, time_ns in before.items() if time_ns and _beaten(one) == time_ns)
    return True


_silent: set[tuple[Path, int | None]] = set()
"""Leases that were watched, with the time of their last heartbeat."""
_sighted: dict[Path, tuple[int | None, float]] = {}
"""Lease of another machine -> its last heartbeat, and when this process saw that first by its own steady clock."""


def _unchanged_s(path: Path) -> float:
    """Seconds for which this process has seen no heartbeat."""
    beaten, now = _beaten(path), time.monotonic()
    if beaten is None:
        _sighted.pop(path, None)
        raise FileNotFoundError(path)
    if _sighted.get(path, (None, 0.0))[0] != beaten:
        _sighted[path] = beaten, now
    return now - _sighted[path][1]


def _beaten(path: Path) -> int | None:
    """The time of the last heartbeat in nanoseconds; None where the lease is gone."""
    with suppress(OSError):
        return path.stat().st_mtime_ns
    return None


def lives(holder: Mapping[str, Any]) -> bool:
    """Whether a process of this machine lives. Its number can be used again, so the start time must agree; a zombie
    does nothing any more."""
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
    made (a read-only store), by our own. A heartbeat from the future becomes one of now."""
    clock = path.parent / f".clock-{uuid.uuid4().hex}"
    try:
        if not touch:
            raise PermissionError
        clock.touch()
    except OSError:
        return time.time() - path.stat().st_mtime
    try:
        age = clock.stat().st_mtime - path.stat().st_mtime
    finally:
        clock.unlink(missing_ok=True)
    if age < -AHEAD_S:
        with suppress(OSError):  # another user's file: `_unchanged_s` serves this process
            os.utime(path)
    return age


def me() -> dict[str, Any]:
    """This process, as a lease names its holder."""
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
        return atomic_files.read_json(path)
    except (OSError, ValueError):
        return {}


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
