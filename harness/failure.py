"""The classification of cells that did not finish: kind, status, and whether another try may help. Torch is not
imported.

| kind | what | status | tried again |
|---|---|---|---|
| configuration | a value that a person can correct | failed | no |
| exception | any other error of the cell's own code | failed | no |
| memory | torch, Python or the kernel ran out of memory | oom | no |
| diverged | the loss is not finite, or hopelessly high (training/course/divergence.py) | diverged | no |
| io | a disk, a network or a service failed | failed | yes |
| died | ended by a signal, or without a result | failed | yes |
| time | longer than `timeout` | timeout | on request |
| interrupted | the time of the command was over | interrupted | by the next command |
"""

import errno
import os
import re
import signal
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from harness.errors import UsageError

STATUS = {"memory": "oom", "diverged": "diverged", "time": "timeout", "interrupted": "interrupted"}
"""Kind -> status, where it is not `failed`."""
USUAL_RETRIES = {"io": 1, "died": 1}
"""Kind -> how many times one command tries again by default."""
RETRIED = ("io", "died", "time")
"""Kinds that may be tried again."""
LASTING = ("configuration", "exception")
"""Kinds after which another attempt starts from the beginning: the saved checkpoint may be at fault."""

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
"""Error codes of disks and file servers, and of too few file handles."""
REMEDIES = {
    errno.ENOSPC: "Free space",
    errno.EDQUOT: "Free space",
    errno.EFBIG: "Raise the limit of a file's size (ulimit -f)",
}
"""What lets a disk without room be written again."""


def _words(code: int) -> tuple[str, ...]:
    """Return how messages of libraries name an error code: by its text, in Rust's wording, in Python's."""
    return os.strerror(code).lower(), f"os error {code})", f"errno {code}]"


_DISK_WORDS = (
    *(word for code in _DISK for word in _words(code)),
    "iostream error",  # torch.save: a C++ stream has no error code
    "pytorchstreamwriter failed",
    "inline_container.cc",
    "disk i/o error",  # SQLite
    "database or disk is full",
)
"""Messages of libraries that raise no OSError: Rust's (safetensors, tokenizers), torch's, SQLite's."""
_LASTING = (FileNotFoundError, FileExistsError, IsADirectoryError, NotADirectoryError, PermissionError)
"""Errors of the operating system that will occur again."""
_LONGEST = 10_000


def kind(error: BaseException) -> str:
    """Return the kind of the exception that ended a cell. An exception may set its own status: a method can detect
    divergence.
    """
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
    """Return whether a disk, a file server or the lack of file handles caused an error, whatever a library
    made of it.
    """
    return any(map(_tells_of_disk, _causes(error, contexts=True)))


def without_room(error: BaseException) -> int | None:
    """Return the code of a disk without room where that caused an error, whatever a library made of it; None for any
    other error.
    """
    for cause in _causes(error, contexts=True):
        text = message(cause).lower()
        for code in REMEDIES:
            if getattr(cause, "errno", None) == code or any(word in text for word in _words(code)):
                return code
    return None


def reason(error: BaseException) -> str:
    """Return in the operating system's words why a file could not be written, whatever a library made of it."""
    text = message(error)
    code = re.search(r"os error (\d+)\)", text)  # Rust's wording
    return getattr(error, "strerror", None) or (os.strerror(int(code[1])) if code else " ".join(text.split())[:200])


def describe(error: BaseException) -> dict[str, Any]:
    """Return the record's `error`: kind, type, message, place, and the exception's own attributes (phase,
    step, rule).
    """
    attributes = {name: attribute(error, name) for name in ("phase", "part", "step", "rule")}
    plain = {name: value for name, value in attributes.items() if isinstance(value, str | int)}
    return {
        "kind": kind(error),
        "type": type(error).__name__,
        "message": message(error),
        "where": _where(error),
        **plain,
    }


def death(code: int | None) -> dict[str, Any]:
    """Return the record's `error` of a process that left no result."""
    error = {"kind": "died", "type": "Died", "exit_code": code}
    if code is None or code >= 0:
        return {**error, "message": f"the process ended with exit code {code} and left no outcome"}
    try:
        name = signal.Signals(-code).name
    except ValueError:  # a real-time signal has no name
        name = f"signal {-code}"
    return {**error, "signal": name, "message": f"the process was ended by {name}"}


def status(kind: str) -> str:
    """Return the status of a kind."""
    return STATUS.get(kind, "failed")


def retries(kind: str | None, limit: int | None) -> int:
    """Return how many times one command tries a cell again after an error of this kind. limit: the number a
    person set.
    """
    if kind is None or kind not in RETRIED:
        return 0
    return USUAL_RETRIES.get(kind, 0) if limit is None else limit


def message(error: BaseException) -> str:
    """Return the exception's own message, if it has one that can be read."""
    try:
        return str(error)[:_LONGEST]
    except Exception as second:  # another class may define __str__ in its own way
        return f"(its message cannot be read: {type(second).__name__})"


def attribute(error: BaseException, name: str) -> Any:
    """Return an attribute, or None where it is absent or cannot be read."""
    try:
        return getattr(error, name, None)
    except Exception:  # another class may define a property in its own way
        return None


def _where(error: BaseException) -> str:
    """Return "FILE:LINE in FUNCTION" of the place where an error was raised."""
    frames = traceback.extract_tb(error.__traceback__)
    return f"{Path(frames[-1].filename).name}:{frames[-1].lineno} in {frames[-1].name}" if frames else ""


def _is_memory(error: BaseException) -> bool:
    """Return whether an error means that memory ran out."""
    if isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno == errno.ENOMEM):
        return True
    text = f"{type(error).__name__} {message(error)}".lower().replace("outofmemory", "out of memory")
    if f"os error {errno.ENOMEM})" in text:  # Rust's wording
        return True
    return isinstance(error, RuntimeError) and any(sign in text for sign in _NO_MEMORY)


def _tells_of_disk(error: BaseException) -> bool:
    """Return whether one error is of a disk, by its code or its words."""
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno in _DISK
    text = message(error).lower()
    return any(word in text for word in _DISK_WORDS)


def _causes(error: BaseException, contexts: bool = False) -> Iterator[BaseException]:
    """Yield the error and what it was raised from. contexts: also the errors that were being handled when it was
    raised.
    """
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        yield current
        cause = attribute(current, "__cause__")
        if cause is None and contexts:
            cause = attribute(current, "__context__")
        current = cause if isinstance(cause, BaseException) else None
