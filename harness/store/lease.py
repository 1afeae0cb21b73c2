"""Leases on cells, which survive crashes and need no flock (network file systems). Torch is not imported.

A lease is a file `<key>.<generation>` made by exclusive creation; the highest generation holds the cell. A process that
sees a stale lease creates the next generation: exactly one can. A lease is stale where its holder on this machine has
ended, or where the heartbeat of a holder elsewhere (the file's time) has not changed for `STALE_S`.

No clock is trusted for that alone. The heartbeat's age is measured by the file server's own clock. A lease from the
future gets the server's current time, so that it ages from then on. A process that would take a lease over watches it
first, because a clock that was set forward makes every lease look old.
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

from harness.files import atomic_files, plain_files, strict_json

STALE_S = 60.0
"""Seconds without a heartbeat after which a holder on another machine counts as ended."""
HEARTBEAT_S = 1.0
"""Seconds between two heartbeats."""
WATCH_S = 5.0
"""Seconds for which a lease that looks stale must show no heartbeat before it is taken over: several heartbeats."""
LOOKS = 10
"""The number of readings in that time. They are counted, because the observer may be suspended too."""
AHEAD_S = 2.0
"""Seconds by which a heartbeat may be newer than the server's clock: some file systems store whole seconds."""
_NAME = re.compile(r"[0-9a-f]{64}\.[1-9][0-9]{0,8}")


@dataclass(frozen=True)
class Lease:
    """A lease that this process acquired. path: its file. token: the proof that it still belongs to this process."""

    path: Path
    token: str

    def beat(self) -> bool:
        """Write a heartbeat. Returns False where the lease was taken over."""
        if not self.held():
            return False
        with suppress(OSError):  # the file server may not answer now; others wait for STALE_S
            os.utime(self.path)
        return True

    def held(self) -> bool:
        """Return whether this is still the highest generation and ours; True as well where the file server does not
        answer.
        """
        key, generation = _parts(self.path.name)
        try:
            if _generations(self.path.parent, key)[-1:] != [generation]:
                return False
            return plain_files.read_json(self.path).get("token") == self.token
        except (FileNotFoundError, ValueError):
            return False
        except OSError:
            return True

    def release(self) -> None:
        """Release the cell; this is safe after a takeover and when called twice."""
        if _read(self.path).get("token") == self.token:
            self.path.unlink(missing_ok=True)


def acquire(folder: Path, key: str) -> Lease | None:
    """Acquire the lease on `key`; return None while a live process holds it.

    A lease that looks stale is watched for `WATCH_S` first.
    """
    folder.mkdir(parents=True, exist_ok=True)
    generations = _generations(folder, key)
    if generations:
        last = _path(folder, key, generations[-1])
        if alive(last) or not _stays_stale(last):
            return None
        if not last.exists():  # its holder released it while we watched
            return acquire(folder, key)
    lease = Lease(_path(folder, key, max(generations, default=0) + 1), uuid.uuid4().hex)
    # Creation is atomic: a holder that is killed here leaves no half-written lease, which would look like a new one.
    if not atomic_files.create(lease.path, strict_json.encode({**me(), "token": lease.token}), durable=False):
        return None
    # A slow reader may have created a low generation after a takeover removed it; the higher one counts.
    if not lease.held():
        lease.release()
        return None
    for generation in generations:
        _path(folder, key, generation).unlink(missing_ok=True)
    return lease


@contextmanager
def beating(lease: Lease) -> Iterator[None]:
    """Write heartbeats while the block runs, for a holder without a loop of its own."""
    stopped = threading.Event()

    def beat() -> None:
        while not stopped.wait(HEARTBEAT_S) and lease.beat():
            pass

    thread = threading.Thread(target=beat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stopped.set()
        thread.join()


def clear(folder: Path, keys_: Iterable[str]) -> None:
    """Remove the leases of ended holders on these keys: no worker would come for the lease of a finished cell."""
    for key in keys(folder).intersection(keys_):
        with suppress(OSError):  # a read-only store
            lease = acquire(folder, key)
            if lease is not None:
                lease.release()


def running(folder: Path, key: str, touch: bool = True) -> bool:
    """Return whether a live process holds `key`. touch: see `alive`."""
    generations = _generations(folder, key)
    return bool(generations) and alive(_path(folder, key, generations[-1]), touch)


def keys(folder: Path) -> set[str]:
    """Return every key that has a lease file, whether its holder lives or not."""
    return {_parts(name)[0] for name in _names(folder)}


def beside(folder: Path, key: str) -> int:
    """Return how many other cells this machine is running from the same store."""
    here = me()["host"]
    others = (folder / name for name in _names(folder) if _parts(name)[0] != key)
    return sum(_read(path).get("host") == here and alive(path) for path in others)


def alive(path: Path, touch: bool = True) -> bool:
    """Return whether the holder of a lease file lives.

    touch: the file server may be asked for its clock, by a file that exists for a moment, and a heartbeat from the
    future may be set to that clock.
    """
    holder = _read(path)
    if holder.get("host") == me()["host"]:
        return lives(holder)
    try:
        return _unchanged_s(path) < STALE_S and _age_s(path, touch) < STALE_S
    except FileNotFoundError:
        return False


def _stays_stale(path: Path) -> bool:
    """Return whether a lease that looks stale shows no heartbeat while we watch it. One of this machine needs no
    watching.

    All leases of the folder are watched together, so that many leases of one machine that died cost the time once.
    """
    if _read(path).get("host") == me()["host"] or (path, _beaten(path)) in _silent:
        return True
    before = {file: _beaten(file) for file in (path, *(path.parent / name for name in _names(path.parent)))}
    for _ in range(LOOKS):
        time.sleep(WATCH_S / LOOKS)
        if _beaten(path) not in (before[path], None):
            return False
    _silent.update((file, time_ns) for file, time_ns in before.items() if time_ns and _beaten(file) == time_ns)
    return True


_silent: set[tuple[Path, int | None]] = set()
"""Leases that were watched, with the time of their last heartbeat."""
_sighted: dict[Path, tuple[int | None, float]] = {}
"""Lease of another machine -> its last heartbeat, and when this process first saw that one by its own steady clock."""


def _unchanged_s(path: Path) -> float:
    """Return the seconds for which this process has seen no heartbeat. Raises FileNotFoundError where the lease is
    gone.
    """
    beaten, now = _beaten(path), time.monotonic()
    if beaten is None:
        _sighted.pop(path, None)
        raise FileNotFoundError(path)
    if _sighted.get(path, (None, 0.0))[0] != beaten:
        _sighted[path] = beaten, now
    return now - _sighted[path][1]


def _beaten(path: Path) -> int | None:
    """Return the time of the last heartbeat in nanoseconds; None where the lease is gone."""
    with suppress(OSError):
        return path.stat().st_mtime_ns
    return None


def lives(holder: Mapping[str, Any]) -> bool:
    """Return whether a process of this machine lives.

    A process id can be reused, so the start time must agree. A zombie counts as ended.
    """
    try:
        process = psutil.Process(holder["pid"])
        same = abs(_started(process) - holder["started"]) < 2
        return same and process.status() != psutil.STATUS_ZOMBIE
    except (psutil.Error, KeyError, TypeError, ValueError, OverflowError):
        return False


def _started(process: psutil.Process) -> float:
    """Return seconds since the machine's start on Linux, as the wall clock may be changed; elsewhere since
    the epoch.
    """
    with suppress(OSError, ValueError, IndexError):
        fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
        return int(fields[19]) / os.sysconf("SC_CLK_TCK")
    return process.create_time()


def _age_s(path: Path, touch: bool) -> float:
    """Return the seconds since the last heartbeat by the file server's clock, which a new file shows.

    Where no file can be made (a read-only store), our own clock is used. A heartbeat from the future becomes a current
    one.
    """
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
    """Return this process in the form in which a lease names its holder."""
    return {"host": _host(), "pid": os.getpid(), "started": _started(psutil.Process())}


@cache
def _host() -> str:
    """Return a name of this machine since its last start and of its process namespace (containers have their own)."""
    parts = [platform.node()]
    with suppress(OSError):
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text().strip())
    with suppress(OSError):
        parts.append(os.readlink("/proc/self/ns/pid"))
    return " ".join(parts)


def _read(path: Path) -> dict[str, Any]:
    """Return the holder; {} for a file that is gone or not finished."""
    try:
        return plain_files.read_json(path)
    except (OSError, ValueError):
        return {}


def _names(folder: Path) -> Iterator[str]:
    with suppress(FileNotFoundError, NotADirectoryError):
        for name in os.listdir(folder):
            if _NAME.fullmatch(name):
                yield name


def _generations(folder: Path, key: str) -> list[int]:
    """Return the generations of the lease on `key`, in order."""
    return sorted(generation for name in _names(folder) for k, generation in [_parts(name)] if k == key)


def _parts(name: str) -> tuple[str, int]:
    key, _, generation = name.rpartition(".")
    return key, int(generation)


def _path(folder: Path, key: str, generation: int) -> Path:
    return folder / f"{key}.{generation}"
