"""The one way in which files from elsewhere are read: plain ones of a bounded size. Torch is not imported.

A store may be shared, and a card may come from a stranger. So every file that is read passes `opened`: it must be a
plain file (a pipe or a device may never end) of a bounded size, and no link unless the caller allows one. JSON passes
`strict_json.parse`, which bounds its depth and its numbers. A test finds code that reads in another way.
"""

import gzip
import logging
import os
import stat
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import BufferedReader
from pathlib import Path
from typing import Any

from harness import formatting
from harness.files import strict_json

_log = logging.getLogger("deltabench")
MOST_BYTES = 256 * 2**20
"""The largest size of a file that is read whole."""
MOST_TEXT = 16 * 2**20
"""The largest size of a configuration, card or YAML."""
MOST_UNPACKED = 2**30
"""The largest unpacked size of a gzipped file of lines."""


@contextmanager
def opened(path: Path | str, most: int | None = None, linked: bool = False) -> Iterator[BufferedReader]:
    """Yield a plain file to read from.

    Raises ValueError for any other kind of file (a device or a pipe may never end) and above `most` bytes. Raises
    OSError for a link, unless `linked`: a link could lead to any file of its reader's machine.
    """
    descriptor, _ = _plain(path, most, linked)
    with os.fdopen(descriptor, "rb") as file:
        yield file


def check_plain(path: Path | str, linked: bool = False) -> int:
    """Return the size of a plain file in bytes, for a library that opens it itself. Raises errors as `opened` does."""
    descriptor, size = _plain(path, None, linked)
    os.close(descriptor)
    return size


def read_bytes(path: Path | str, most: int = MOST_BYTES, linked: bool = False) -> bytes:
    """Return the content of a plain file of at most `most` bytes; see `opened`."""
    descriptor, size = _plain(path, most, linked)
    try:
        content = os.read(descriptor, size)
        while len(content) < size and (more := os.read(descriptor, size - len(content))):
            content += more
        return content
    finally:
        os.close(descriptor)


def read_text(path: Path | str, linked: bool = True, most: int = MOST_TEXT) -> str:
    """Return a plain file's UTF-8 text. Raises ValueError for other content (UnicodeDecodeError is one)."""
    return read_bytes(path, most, linked).decode("utf-8").replace("\r\n", "\n")


def read_json(path: Path | str, linked: bool = False) -> dict[str, Any]:
    """Return the JSON object in `path`. Raises ValueError for other content, and FileNotFoundError for an
    absent file.
    """
    value = strict_json.parse(read_bytes(path, linked=linked))
    if not isinstance(value, dict):
        raise ValueError("not a JSON object")
    return value


def read_lines(path: Path | str, torn: bool = True) -> list[dict[str, Any]]:
    """Return the JSON objects of a file of lines; lines that do not parse (a torn last one, say) are left out.

    torn: whether that is expected, as while a process writes the file. Where it is not, a warning counts them.
    """
    try:
        lines = read_bytes(path).decode("utf-8", errors="replace").split("\n")
    except (FileNotFoundError, ValueError):
        return []
    try:
        rows = strict_json.parse(
            f"[{','.join(filter(None, lines))}]"
        )  # all lines at once, because nearly every file is whole
    except ValueError:
        rows = [row for line in lines for row in _parsed(line)]
    whole = [row for row in rows if isinstance(row, dict)]
    if not torn and (lost := sum(map(bool, lines)) - len(whole)):
        _log.warning("%s: %s; the rest is used without them", path, formatting.count(lost, "unreadable line"))
    return whole


def read_packed(path: Path | str, linked: bool = False) -> Iterator[dict[str, Any]]:
    """Yield the JSON objects of a gzipped file of lines, one by one.

    Raises ValueError for any other line, and above `MOST_UNPACKED`, because a few bytes of gzip may stand for any
    number.
    """
    remaining = MOST_UNPACKED
    try:
        with opened(path, linked=linked) as raw, gzip.GzipFile(fileobj=raw) as packed:
            while line := packed.readline(min(remaining, MOST_TEXT) + 1):
                remaining -= len(line)
                if remaining < 0 or len(line) > MOST_TEXT:
                    raise ValueError("it unpacks to more bytes than are read")
                row = strict_json.parse(line)
                if not isinstance(row, dict):
                    raise ValueError("a line of it is not a JSON object")
                yield row
    except gzip.BadGzipFile as error:
        raise ValueError("it is not compressed with gzip, or a part of it was changed") from error
    except (EOFError, zlib.error) as error:
        raise ValueError(f"it is not whole: {error}") from error


def tail(path: Path | str, lines: int, most: int = 65_536) -> list[str]:
    """Return the last lines of a plain text file, from its last `most` bytes; [] where there is none."""
    try:
        descriptor, size = _plain(path, None, linked=False)
    except (OSError, ValueError):
        return []
    try:
        content = os.pread(descriptor, most, max(0, size - most))
    finally:
        os.close(descriptor)
    return content.decode("utf-8", errors="replace").splitlines()[-lines:]


def is_hub_link(path: Path) -> bool:
    """Return whether a link belongs to the Hub's cache: `snapshots/COMMIT/NAME` beside the `blobs` that it leads to."""
    with suppress(OSError):
        real = path.resolve(strict=True)
        return any(
            above.name == "snapshots" and real.parent == above.parent.resolve() / "blobs"
            for above in path.absolute().parents
        )
    return False


def _plain(path: Path | str, most: int | None, linked: bool) -> tuple[int, int]:
    """Return (descriptor, bytes) of a plain file. Opening a pipe does not wait, because of O_NONBLOCK."""
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | (0 if linked else os.O_NOFOLLOW)
    descriptor = os.open(path, flags)
    about = os.fstat(descriptor)
    if stat.S_ISREG(about.st_mode) and (most is None or about.st_size <= most):
        return descriptor, about.st_size
    os.close(descriptor)
    if stat.S_ISREG(about.st_mode):
        raise ValueError(f"it has {about.st_size:,} bytes, and at most {most:,} are read")
    raise ValueError("it is not a plain file")


def _parsed(line: str) -> list[Any]:
    """Return [value] of a line, or [] where it does not parse."""
    try:
        return [strict_json.parse(line)]
    except ValueError:
        return []
