"""What became of a cell that did not finish: its kind, what the record says, whether trying again may help. Torch-free.

| kind | what | status | tried again |
|---|---|---|---|
| configuration | a value a person can put right | failed | no |
| exception | any other error of the cell's own code | failed | no |
| memory | torch, Python or the kernel ran out of memory | oom | no |
| diverged | the loss is no number, or hopeless (divergence.py) | diverged | no |
| io | a disk, a network or a service failed | failed | yes |
| died | ended by a signal, or left without a word | failed | yes |
| time | longer than `timeout` | timeout | if asked for |
"""

import errno
import os
import signal
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from harness.errors import UsageError

STATUS = {"memory": "oom", "diverged": "diverged", "time": "timeout"}
"""Kind -> status, where it is not `failed`."""
USUAL_RETRIES = {"io": 1, "died": 1}
"""Kind -> how many times one command tries again when nobody said how many."""
RETRIED = ("io", "died", "time")
LASTING = ("configuration", "exception")
"""Another attempt had better begin anew than go on: perhaps what was saved is what is wrong."""

_NO_MEMORY = (
    "out of memory",
    "can't allocate memory",
    "cannot allocate memory",
    "not enough memory",
    "alloc_failed",
)
_DISK = tuple(
    getattr(errno, name)
    for name in (
        "ENOSPC",
        "EIO",
        "EDQUOT",
        "EFBIG",
        "EROFS",
        "EMFILE",
        "ENFILE",
        "ESTALE",
        "ENODEV",
        "ENXIO",
        "EREMOTEIO",
    )
    if hasattr(errno, name)
)
"""What a disk or a file server says, and the lack of file handles."""
_DISK_WORDS = (
    *(word for code in _DISK for word in (os.strerror(code).lower(), f"os error {code})", f"errno {code}]")),
    "iostream error",  # torch.save: a C++ stream keeps no number
    "pytorchstreamwriter failed",
    "inline_container.cc",
    "disk i/o error",  # SQLite
    "database or disk is full",
)
"""How libraries tell of it that have no OSError: Rust's (safetensors, tokenizers), torch's, SQLite's."""
_LASTING = (FileNotFoundError, FileExistsError, IsADirectoryError, NotADirectoryError, PermissionError)
"""Errors of the operating system that will be there the next time too."""
_LONGEST = 10_000


def kind(error: BaseException) -> str:
    """Of the exception that ended a cell. It may say its own status: a method can find that it diverged."""
    own = attribute(error, "status")
    for name, status in STATUS.items():
        if own == status:
            return name
    if any(map(_is_memory, _causes(error))):
        return "memory"
    if is_disk_error(error):
        return "io"
    if isinstance(error, UsageError):
        return "configuration"
    return "io" if isinstance(error, OSError) and not isinstance(error, _LASTING) else "exception"


def is_disk_error(error: BaseException) -> bool:
    """Whether a disk, a file server or the lack of file handles is behind it, whatever a library made of that."""
    return any(map(_tells_of_disk, _causes(error, contexts=True)))


def describe(error: BaseException) -> dict[str, Any]:
    """The record's `error`: what it was, where, and what the exception itself has to tell (phase, step, rule)."""
    told = {name: attribute(error, name) for name in ("phase", "part", "step", "rule")}
    plain = {name: value for name, value in told.items() if isinstance(value, str | int)}
    return {
        "kind": kind(error),
        "type": type(error).__name__,
        "message": message(error),
        "where": _where(error),
        **plain,
    }


def death(code: int | None) -> dict[str, Any]:
    """The record's `error` of a process that left no outcome."""
    error = {"kind": "died", "type": "Died", "exit_code": code}
    if code is None or code >= 0:
        return {**error, "message": f"the process ended with exit code {code} and left no outcome"}
    try:
        name = signal.Signals(-code).name
    except ValueError:  # a real-time signal has no name
        name = f"signal {-code}"
    return {**error, "signal": name, "message": f"the process was ended by {name}"}


def status(kind: str) -> str:
    return STATUS.get(kind, "failed")


def retries(kind: str | None, asked: int | None) -> int:
    """How many times one command tries a cell again that ended so. asked: by a person, for all that are tried again."""
    if kind is None or kind not in RETRIED:
        return 0
    return USUAL_RETRIES.get(kind, 0) if asked is None else asked


def message(error: BaseException) -> str:
    """What it says of itself, if it can."""
    try:
        return str(error)[:_LONGEST]
    except Exception as second:  # somebody's __str__, of whatever kind
        return f"(its message cannot be told: {type(second).__name__})"


def attribute(error: BaseException, name: str) -> Any:
    """An attribute, or None where there is none or it cannot be read."""
    try:
        return getattr(error, name, None)
    except Exception:  # somebody's property, of whatever kind
        return None


def _where(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    return f"{Path(frames[-1].filename).name}:{frames[-1].lineno} in {frames[-1].name}" if frames else ""


def _is_memory(error: BaseException) -> bool:
    if isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno == errno.ENOMEM):
        return True
    text = f"{type(error).__name__} {message(error)}".lower().replace("outofmemory", "out of memory")
    if f"os error {errno.ENOMEM})" in text:  # Rust's way
        return True
    return isinstance(error, RuntimeError) and any(sign in text for sign in _NO_MEMORY)


def _tells_of_disk(error: BaseException) -> bool:
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno in _DISK
    text = message(error).lower()
    return any(word in text for word in _DISK_WORDS)


def _causes(error: BaseException, contexts: bool = False) -> Iterator[BaseException]:
    """The error, and what it was raised from. contexts: and what was being handled when it was raised."""
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        yield current
        cause = attribute(current, "__cause__")
        if cause is None and contexts:
            cause = attribute(current, "__context__")
        current = cause if isinstance(cause, BaseException) else None
