"""Files that are there whole or not at all. Torch-free.

A rename within one folder is atomic; the fsync before it keeps a crash of the machine from leaving an empty file
under the final name, and the fsync of the folder after it keeps the name itself.
"""

import errno
import json
import math
import os
import stat
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

MOST_BYTES = 256 * 2**20
"""No file that is read whole is larger."""


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """A temporary path beside `path` (same ending) to write to; it takes the name `path` when the block succeeds."""
    temporary = path.with_name(f".tmp-{uuid.uuid4().hex}-{path.name}")
    try:
        yield temporary
        _sync(temporary)
        os.replace(temporary, path)
    except BaseException:  # Ctrl-C too leaves no half-written file
        temporary.unlink(missing_ok=True)
        raise
    _sync(path.parent)


def create(path: Path, content: bytes, durable: bool = True) -> bool:
    """A file with this content, whole from the start; False where `path` is there already: it is never replaced.

    The file system itself refuses the second of two writers (link(2)), so no check before it can be out of date.
    durable: it outlives a crash of the machine.
    """
    temporary = path.with_name(f".tmp-{uuid.uuid4().hex}-{path.name}")
    try:
        temporary.write_bytes(content)
        if durable:
            _sync(temporary)
        made = _link(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    if made and durable:
        _sync(path.parent)
    return made


def _link(temporary: Path, path: Path) -> bool:
    """The file under a second name, unless that is taken; without hard links, by an exclusive copy."""
    try:
        os.link(temporary, path)
    except FileExistsError:
        return temporary.stat().st_nlink == 2  # a file server may say so of the link that it has just made
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK):
            raise
        return _copy_exclusively(temporary, path)
    return True


def _copy_exclusively(temporary: Path, path: Path) -> bool:
    try:
        with path.open("xb") as file:
            file.write(temporary.read_bytes())
    except FileExistsError:
        return False
    except OSError:  # the disk is full: half a file would look like a broken one
        path.unlink(missing_ok=True)
        raise
    return True


def write_json(path: Path, value: Any) -> None:
    """`value` as JSON, atomically; non-finite numbers become null."""
    with atomic(path) as temporary:
        temporary.write_bytes(encode(value, indent=1))


def append_json(path: Path, row: Mapping[str, Any]) -> None:
    """One JSON line at the end of `path`, in one write, so that a reader sees at most a torn last line; after a torn
    one (the disk was full) it starts anew."""
    descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        size = os.fstat(descriptor).st_size
        torn = size > 0 and os.pread(descriptor, 1, size - 1) != b"\n"
        line = (b"\n" if torn else b"") + encode(row)
        if os.write(descriptor, line) < len(line):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
    finally:
        os.close(descriptor)


def encode(value: Any, indent: int | None = None, **options: Any) -> bytes:
    """`value` as one JSON text with a line's end; what is no Unicode text (half a surrogate pair) stays an escape."""
    text = json.dumps(finite(value), ensure_ascii=False, indent=indent, **options) + "\n"
    return text.encode("utf-8", errors="backslashreplace")


def read_json(path: Path | str) -> dict[str, Any]:
    """The JSON object in `path`. ValueError where it is not one; FileNotFoundError where there is no file."""
    value = parse(read_bytes(path))
    if not isinstance(value, dict):
        raise ValueError("not a JSON object")
    return value


def read_lines(path: Path | str) -> list[dict[str, Any]]:
    """The JSON objects of a file of lines; lines that do not parse (a torn last one, say) are left out."""
    try:
        lines = read_bytes(path).decode("utf-8", errors="replace").split("\n")
    except (FileNotFoundError, ValueError):
        return []
    try:
        rows = parse(f"[{','.join(filter(None, lines))}]")  # at once, as nearly every file is whole
    except ValueError:
        rows = [row for line in lines for row in _parsed(line)]
    return [row for row in rows if isinstance(row, dict)]


def read_bytes(path: Path | str) -> bytes:
    """What a plain file holds. ValueError for what is none (a device or a pipe may never end) or above `MOST_BYTES`."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        about = os.fstat(descriptor)
        if not stat.S_ISREG(about.st_mode) or about.st_size > MOST_BYTES:
            raise ValueError("not a plain file of a record's size")
        found = os.read(descriptor, about.st_size)
        while len(found) < about.st_size and (more := os.read(descriptor, about.st_size - len(found))):
            found += more
        return found
    finally:
        os.close(descriptor)


def tail(path: Path | str, lines: int, most: int = 65_536) -> list[str]:
    """The last lines of a plain text file, of its last `most` bytes; [] where there is none."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return []
    try:
        about = os.fstat(descriptor)
        if not stat.S_ISREG(about.st_mode):
            return []
        found = os.pread(descriptor, most, max(0, about.st_size - most))
    finally:
        os.close(descriptor)
    return found.decode("utf-8", errors="replace").splitlines()[-lines:]


def parse(text: str | bytes) -> Any:
    """JSON as this project writes it. ValueError for anything else, and for numbers that no float can hold."""
    try:
        return _DECODER.decode(text if isinstance(text, str) else text.decode("utf-8"))
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def _parsed(line: str) -> list[Any]:
    try:
        return [parse(line)]
    except ValueError:
        return []


def finite(value: Any) -> Any:
    """The same value with tuples as lists and every NaN or infinity as None: JSON has no such numbers."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or type(value) in (str, int, bool):
        return value
    if isinstance(value, Mapping):
        return {str(key): finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    return value


def _int(text: str) -> int:
    if len(text) > 20:
        raise ValueError(f"{text[:20]}… is no number that is written here")
    return int(text)


def _float(text: str) -> float:
    number = float(text)
    if number - number:  # not 0 but NaN for what is not finite
        raise ValueError(f"{text[:20]} is not finite")
    return number


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")


_DECODER = json.JSONDecoder(parse_int=_int, parse_float=_float, parse_constant=_refuse)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
