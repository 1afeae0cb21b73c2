"""Temporary folders that say whose they are, so that what a killed process left is removed by a later one. Torch-free.

A name has the machine, the process and its start in it. joblib's semaphores and folders in shared memory have the
number of their process in their names too: they go with the folder of that process.
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
"""Characters of a folder in which a socket can be made: its address has at most 107, and its name 18 of them."""
_NAME = re.compile(r"deltabench-([0-9a-f]{8})-([1-9][0-9]{0,9})-([0-9]{1,15})-[\w]+")


@contextmanager
def folder() -> Iterator[Path]:
    """A folder for the time of the block."""
    path = _make(Path(tempfile.gettempdir()))
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def prepare() -> None:
    """Before this process starts others: a folder for the sockets that it talks to them by, and nobody's old ones."""
    settings = processes.current_process()._config  # type: ignore[attr-defined]
    if not Path(settings.get("tempdir", "/nowhere")).is_dir():
        for place in _places():
            _remove_abandoned(place)
        path = _make(next(iter(_places())))
        Finalize(None, shutil.rmtree, args=(path, True), exitpriority=-100)
        settings["tempdir"] = str(path)


def _places() -> list[Path]:
    """Where there is room for a socket's name: TMPDIR unless it is too long. UsageError where there is none."""
    every = dict.fromkeys((tempfile.gettempdir(), "/tmp", "/var/tmp"))
    room = LONGEST - len(_prefix()) - 8
    found = [Path(name) for name in every if len(name) < room and os.access(name, os.W_OK | os.X_OK)]
    if not found:
        raise UsageError(f"TMPDIR={tempfile.gettempdir()}: the name is too long for a socket; set one below {room}.")
    return found


def _make(place: Path) -> Path:
    return Path(tempfile.mkdtemp(prefix=_prefix(), dir=place))


def _prefix() -> str:
    me = lease.me()
    return f"deltabench-{_digest(me['host'])}-{me['pid']}-{int(me['started'] * 100)}-"


def _remove_abandoned(place: Path) -> None:
    """Folders of this user's processes on this machine that are gone."""
    here = _digest(lease.me()["host"])
    for path in place.glob("deltabench-*"):
        found = _NAME.fullmatch(path.name)
        if found is None or found[1] != here or path.is_symlink() or not _mine(path):
            continue
        if not lease.lives({"pid": int(found[2]), "started": int(found[3]) / 100}):
            _remove_shared(found[2])
            shutil.rmtree(path, ignore_errors=True)


def _remove_shared(pid: str) -> None:
    for path in [*SHARED_MEMORY.glob(f"sem.loky-{pid}-*"), *SHARED_MEMORY.glob(f"joblib_memmapping_folder_{pid}_*")]:
        with suppress(OSError):
            if _mine(path):
                shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()


def _mine(path: Path) -> bool:
    with suppress(OSError):
        return not hasattr(os, "getuid") or path.lstat().st_uid == os.getuid()
    return False


@cache
def _digest(host: str) -> str:
    return hashlib.sha256(host.encode()).hexdigest()[:8]
