"""Files of a store that nobody needs any more, and whole cells that a person names: their deletion on demand.

Torch is not imported.

Such files are weights of finished attempts that no longer count, checkpoints of cells that have their result,
half-written files, and leases of processes that have ended. Of these, a record, a curve, predictions or a log is never
deleted, and of the attempt that counts only the checkpoint may be. A cell that a person names is deleted with its
records. Nothing of a running cell is deleted.
"""

import os
import shutil
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from harness.errors import UsageError
from harness.files import atomic_files
from harness.store import attempt_folder, lease
from harness.store.attempt_folder import CHECKPOINT
from harness.store.cell_files import KEY, check_own, listing
from harness.store.record import FINAL
from harness.store.store import Store

OLD_S = 3600.0
"""Seconds after which a half-written file that nobody has touched belongs to no running process."""
_HALF = (".tmp-", ".merge-", ".clock-")


@dataclass(frozen=True)
class Waste:
    """One file that may be deleted. key: of its cell; "" where it belongs to none."""

    path: Path
    bytes: int
    why: str
    key: str = ""


def find(store: Store) -> list[Waste]:
    """Return every file that may be deleted; running cells are left out."""
    running = store.running_keys()
    waste = [*_loose(store.path.resolve()), *_loose(store.path / "grids"), *_leases(store)]
    for key, summary in store.summaries():
        if key not in running:
            status, counts = (summary["status"], summary["attempt"]) if summary else ("", 0)
            waste += _of_cell(store, key, status, counts)
    return waste


def free(store: Store, waste: Sequence[Waste]) -> list[Waste]:
    """Delete the files, each cell's under its lease, and return those that were deleted.

    A cell that has been begun in the meantime is left out.
    """
    freed = [item for item in waste if not item.key and _delete(item)]
    by_key: dict[str, list[Waste]] = {}
    for item in waste:
        if item.key:
            by_key.setdefault(item.key, []).append(item)
    for key, items in by_key.items():
        cell_lease = lease.acquire(store.leases, key)
        if cell_lease is None:
            continue
        try:
            still = {item.path for item in _of_cell(store, key, *_standing(store, key))}
            freed += [item for item in items if item.path in still and _delete(item)]
        finally:
            cell_lease.release()
    return freed


def _standing(store: Store, key: str) -> tuple[str, int]:
    """Return (status, attempt) of the attempt that counts; ("", 0) where none does."""
    summary = store.summary(key)
    return (summary["status"], summary["attempt"]) if summary else ("", 0)


def _of_cell(store: Store, key: str, status: str, counts: int) -> Iterator[Waste]:
    """Yield the files of one cell that may be deleted."""
    yield from _loose(store.folder(key), key)
    yield from _loose(store.folder(key) / "attempts", key)
    for number in store.numbers(key):
        folder = store.attempt(key, number).path
        yield from _loose(folder, key)
        names = _own(folder)
        if CHECKPOINT in names and status in FINAL:
            yield from _waste([folder / CHECKPOINT], "a checkpoint of a cell that has its result", key)
        weights = [folder / name for name in names if attempt_folder.is_delta(name)]
        if weights and counts and number != counts and store.record(key, number) is not None:
            yield from _waste(weights, "weights of an attempt that no longer counts", key)


def _loose(folder: Path, key: str = "") -> Iterator[Waste]:
    """Yield half-written files, and folders of a merge, that nobody has touched for `OLD_S`."""
    for name in _own(folder):
        path = folder / name
        if name.startswith(_HALF):
            with suppress(OSError):
                if time.time() - path.lstat().st_mtime > OLD_S:
                    inside = [path / inner for inner in listing(path)] if not path.is_symlink() else []
                    yield from _waste([*inside, path], "left half-written by a process that has ended", key)


def _own(folder: Path) -> list[str]:
    """Return the names in a folder of the store; nothing behind a link is ever deleted."""
    return [] if folder.is_symlink() else listing(folder)


def _leases(store: Store) -> Iterator[Waste]:
    """Yield the leases whose holders have ended, and half-written files beside them."""
    for name in _own(store.leases):
        path = store.leases / name
        if KEY.fullmatch(name.partition(".")[0]) and not lease.alive(path, touch=not store.read_only):
            yield from _waste([path], "a lease whose holder has ended")
    yield from _loose(store.leases)


def _waste(paths: Iterable[Path], why: str, key: str = "") -> Iterator[Waste]:
    """Yield the paths that exist as `Waste`; the bytes of a file with two names count once."""
    there = [path for path in paths if os.path.lexists(path)]
    with suppress(OSError):
        for path, size in zip(there, [*atomic_files.sizes(there)], strict=True):
            yield Waste(path, 0 if path.is_dir() else size, why, key)


def _delete(item: Waste) -> bool:
    """Delete one file or empty folder; return whether that succeeded."""
    try:
        os.rmdir(item.path) if item.path.is_dir() and not item.path.is_symlink() else item.path.unlink()
    except OSError:
        return False
    return True


@dataclass(frozen=True)
class Removal:
    """Cells that a person wants to delete.

    bytes: key -> what its folder holds. running: cells that a live process holds, which stay. needed_by: key -> the
    cells outside this removal that build on it; they keep their results, and cannot be run again without it.
    """

    bytes: dict[str, int]
    running: tuple[str, ...]
    needed_by: dict[str, list[str]]


def removal(store: Store, keys: Iterable[str]) -> Removal:
    """Return what the removal of these cells would delete; cells that the store does not have are left out."""
    running, there = store.running_keys(), set(store.keys())
    wanted = [key for key in dict.fromkeys(keys) if key in there]
    sizes = {key: _size(store.folder(key)) for key in wanted if key not in running}
    needed_by: dict[str, list[str]] = {}
    for child in sorted(there - sizes.keys()):
        for parent in _parents(store, child) & sizes.keys():
            needed_by.setdefault(parent, []).append(child)
    return Removal(sizes, tuple(key for key in wanted if key in running), needed_by)


def remove(store: Store, keys: Iterable[str]) -> list[str]:
    """Delete whole cells, each under its lease, and return the keys of those that are gone.

    A cell that a live process has begun in the meantime stays. Raises NotADirectoryError for a folder that leads out
    of the store.
    """
    gone = []
    for key in keys:
        cell_lease = lease.acquire(store.leases, key)
        if cell_lease is None:
            continue
        try:
            folder = store.folder(key)
            check_own(folder.parent)
            check_own(folder)
            with lease.beating(cell_lease):
                shutil.rmtree(folder)
            gone.append(key)
        finally:
            cell_lease.release()
        with suppress(OSError):  # another cell is in the same shard
            folder.parent.rmdir()
    return gone


def _parents(store: Store, key: str) -> set[str]:
    try:
        return {parent for _, parent in store.cell(key).parents}
    except UsageError:  # its own file is lost, or it names what is not known here
        return set()


def _size(folder: Path) -> int:
    """Return the bytes of the plain files in a folder; nothing behind a link counts."""
    paths = (Path(place, name) for place, _, names in os.walk(folder) for name in names)
    return sum(atomic_files.sizes(path for path in paths if os.path.lexists(path)))
