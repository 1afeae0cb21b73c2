"""Temporary folders named after their process, so that a later process removes those of a killed one.

Torch is not imported.

A name contains the machine, the process and its start. joblib's semaphores and folders in shared memory have the
process id in their names too, and are removed with the folder of that process.
"""

import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from multiprocessing import process as processes
from multiprocessing.util import Finalize
from pathlib import Path

from harness.errors import UsageError
from harness.store import lease

SHARED_MEMORY = Path("/dev/shm")
LONGEST = 88
"""The most characters of a folder in which a socket can be made: an address has at most 107, and the name takes 18."""
_NAME = re.compile(r"deltabench-([0-9a-f]{8})-([1-9][0-9]{0,9})-([0-9]{1,15})-[\w]+")


@contextmanager
def folder() -> Iterator[Path]:
    """Yield a folder that exists while the block runs."""
    path = _make(Path(tempfile.gettempdir()))
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def prepare() -> None:
    """Make a folder for the sockets of this process's children, and remove the folders of ended processes."""
    settings = processes.current_process()._config  # type: ignore[attr-defined]
    if not Path(settings.get("tempdir", "/nowhere")).is_dir():
        for place in _candidates():
            _remove_abandoned(place)
        path = _make(next(iter(_places())))
        Finalize(None, shutil.rmtree, args=(path, True), exitpriority=-100)
        settings["tempdir"] = str(path)


def _candidates() -> list[Path]:
    """Return the folders for temporary files that can be written: TMPDIR, however long its name is, and the usual."""
    names = dict.fromkeys((tempfile.gettempdir(), "/tmp", "/var/tmp"))
    return [Path(name) for name in names if os.access(name, os.W_OK | os.X_OK)]


def _places() -> list[Path]:
    """Return the folders with room for a socket's name: TMPDIR unless it is too long. Raises UsageError without one."""
    room = LONGEST - len(_prefix()) - 8
    usable = [path for path in _candidates() if len(str(path)) < room]
    if not usable:
        raise UsageError(f"TMPDIR={tempfile.gettempdir()}: the name is too long for a socket; set one below {room}.")
    return usable


def _make(place: Path) -> Path:
    """Return a new folder named after this process."""
    return Path(tempfile.mkdtemp(prefix=_prefix(), dir=place))


def _prefix() -> str:
    """Return the beginning of the names of this process's folders."""
    me = lease.me()
    return f"deltabench-{_digest(me['host'])}-{me['pid']}-{int(me['started'] * 100)}-"


def _remove_abandoned(place: Path) -> None:
    """Remove the folders of this user's ended processes on this machine."""
    here = _digest(lease.me()["host"])
    for path in place.glob("deltabench-*"):
        match = _NAME.fullmatch(path.name)
        if match is None or match[1] != here or path.is_symlink() or not _mine(path):
            continue
        if not lease.lives({"pid": int(match[2]), "started": int(match[3]) / 100}):
            _remove_shared(match[2])
            shutil.rmtree(path, ignore_errors=True)


def _remove_shared(pid: str) -> None:
    """Remove joblib's files in shared memory of an ended process."""
    for path in [*SHARED_MEMORY.glob(f"sem.loky-{pid}-*"), *SHARED_MEMORY.glob(f"joblib_memmapping_folder_{pid}_*")]:
        with suppress(OSError):
            if _mine(path):
                shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()


def _mine(path: Path) -> bool:
    """Return whether a path belongs to this user."""
    with suppress(OSError):
        return not hasattr(os, "getuid") or path.lstat().st_uid == os.getuid()
    return False


@cache
def _digest(host: str) -> str:
    return hashlib.sha256(host.encode()).hexdigest()[:8]
