"""Writing files whole or not at all. Torch is imported only where tensors are written.

A rename within one folder is atomic. The fsync before it keeps a crash of the machine from leaving an empty file under
the final name, and the fsync of the folder after it keeps the name itself.
"""

import errno
import os
import shutil
import stat
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness import failure
from harness.files import plain_files, strict_json

if TYPE_CHECKING:
    from torch import Tensor


@contextmanager
def atomic(path: Path, durable: bool = True) -> Iterator[Path]:
    """Yield a temporary path beside `path` (same ending) to write to; it gets the name `path` when the
    block succeeds.

    durable: the file outlives a crash of the machine, as what can be made again need not.
    """
    temporary = path.with_name(f".tmp-{uuid.uuid4().hex}-{path.name}")
    with _naming(path, temporary):
        try:
            yield temporary
            if durable:
                _sync(temporary)
            os.replace(temporary, path)
        except BaseException:  # after Ctrl-C too no half-written file is left
            temporary.unlink(missing_ok=True)
            raise
        if durable:
            _sync(path.parent)


@contextmanager
def _naming(path: Path, temporary: Path | None = None) -> Iterator[None]:
    """Add the name `path` to an error of a disk that has none, or the temporary one, while the block runs.

    A write and a sync know no name, and a library's own error may have no code either.
    """
    try:
        yield
    except OSError as error:
        if error.errno is None:
            _raise_named(error, path)
        elif error.filename is None or error.filename == str(temporary):
            error.filename = str(path)
        raise
    except Exception as error:
        _raise_named(error, path)
        raise


def _raise_named(error: Exception, path: Path) -> None:
    """Raise an OSError with the file's name where a disk without room is the cause."""
    if (code := failure.without_room(error)) is not None:
        raise OSError(code, os.strerror(code), str(path)) from error


def link(source: Path, target: Path) -> None:
    """Give the file `source` the further name `target`, as a hard link, or as a copy where there are none."""
    with atomic(target) as temporary:
        try:
            os.link(source, temporary)
        except OSError:
            temporary.write_bytes(source.read_bytes())


def sizes(paths: Iterable[Path]) -> Iterator[int]:
    """Yield the bytes of each file; a file with several names counts once, at its first."""
    seen: set[tuple[int, int]] = set()
    for path in paths:
        about = os.lstat(path)
        known = (about.st_dev, about.st_ino) in seen
        seen.add((about.st_dev, about.st_ino))
        yield 0 if known else about.st_size


def create(path: Path, content: bytes, durable: bool = True) -> bool:
    """Create a file with this content atomically; return False where `path` exists: it is never replaced.

    The file system itself refuses the second of two writers (link(2)), so no earlier check can be out of date. durable:
    the file outlives a crash of the machine.
    """
    temporary = path.with_name(f".tmp-{uuid.uuid4().hex}-{path.name}")
    try:
        with _naming(path, temporary):
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
    """Link the file under a second name unless that is taken; without hard links, copy it exclusively."""
    try:
        os.link(temporary, path)
    except FileExistsError:
        return temporary.stat().st_nlink == 2  # a file server may raise it for the link that it has just made
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK):
            raise
        return _copy_exclusively(temporary, path)
    return True


def _copy_exclusively(temporary: Path, path: Path) -> bool:
    """Copy the file to a new name; return False where that name is taken."""
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
    """Write `value` as JSON, atomically; non-finite numbers become null."""
    with atomic(path) as temporary:
        temporary.write_bytes(strict_json.encode(value, indent=1))


def write_text(path: Path, text: str) -> None:
    """Write a text as UTF-8, atomically."""
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_tensors(path: Path, tensors: "Mapping[str, Tensor]", metadata: Mapping[str, str] | None = None) -> None:
    """Write tensors of any shape, by name, as one safetensors file that others may read as they may any new file."""
    from safetensors.torch import save_file

    save_file(dict(tensors), path, metadata=None if metadata is None else dict(metadata))
    give_usual_mode(path)


def give_usual_mode(path: Path) -> None:
    """Give a file of a library the mode that the umask leaves to a new file.

    safetensors creates its files for their owner alone, and a store or a pushed delta may be shared. A new file tells
    the mode, because to ask for the umask is to change it for all threads.
    """
    probe = path.with_name(f".tmp-{uuid.uuid4().hex}-mode")
    descriptor = os.open(probe, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    try:
        mode = stat.S_IMODE(os.fstat(descriptor).st_mode)
    finally:
        os.close(descriptor)
        probe.unlink(missing_ok=True)
    if stat.S_IMODE(path.stat().st_mode) != mode:
        path.chmod(mode)


def append_json(path: Path, row: Mapping[str, Any]) -> None:
    """Append one JSON line to `path` in one write, so that a reader sees at most a torn last line.

    After a torn line (the disk was full) a new line starts. Raises OSError where the disk is full.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        size = os.fstat(descriptor).st_size
        torn = size > 0 and os.pread(descriptor, 1, size - 1) != b"\n"
        line = (b"\n" if torn else b"") + strict_json.encode(row)
        with _naming(path):
            if os.write(descriptor, line) < len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    finally:
        os.close(descriptor)


def copy(source: Path, target: Path, most: int | None = None, linked: bool = False) -> None:
    """Copy a plain file to a new name. Raises errors as `plain_files.opened` does."""
    with plain_files.opened(source, most, linked) as file, _naming(target), target.open("xb") as written:
        shutil.copyfileobj(file, written, 2**20)


def _sync(path: Path) -> None:
    """Force a file's or folder's content to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
