"""What a store holds and nobody needs any more: found, and freed when that is asked for. Torch-free.

Weights of finished attempts that no longer count, checkpoints of cells that have their result, half-written files
and leases of processes that are gone. Never a record, a curve, predictions or a log, never anything of the attempt
that counts but its checkpoint, and nothing of a cell that somebody runs.
"""

import os
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from harness.store import lease
from harness.store.attempt_folder import CHECKPOINT
from harness.store.cell_files import KEY, listing
from harness.store.record import FINAL
from harness.store.store import Store

OLD_S = 3600.0
"""A half-written file that has not been touched for so long is nobody's."""
_HALF = (".tmp-", ".merge-", ".clock-")


@dataclass(frozen=True)
class Waste:
    """One file. key: of its cell; "" where it is of none."""

    path: Path
    bytes: int
    why: str
    key: str = ""


def find(store: Store) -> list[Waste]:
    """Everything that may go, in no cell that runs."""
    running = store.running_keys()
    found = [*_loose(store.path.resolve()), *_loose(store.path / "grids"), *_leases(store)]
    for key, summary in store.summaries():
        if key not in running:
            status, counts = (summary["status"], summary["attempt"]) if summary else ("", 0)
            found += _of_cell(store, key, status, counts)
    return found


def free(store: Store, waste: Sequence[Waste]) -> list[Waste]:
    """Delete it, each cell's under its lease; what was deleted. A cell that has been begun meanwhile is left out."""
    freed = [one for one in waste if not one.key and _delete(one)]
    by_key: dict[str, list[Waste]] = {}
    for one in waste:
        if one.key:
            by_key.setdefault(one.key, []).append(one)
    for key, ones in by_key.items():
        held = lease.acquire(store.leases, key)
        if held is None:
            continue
        try:
            still = {one.path for one in _of_cell(store, key, *_standing(store, key))}
            freed += [one for one in ones if one.path in still and _delete(one)]
        finally:
            held.release()
    return freed


def _standing(store: Store, key: str) -> tuple[str, int]:
    summary = store.summary(key)
    return (summary["status"], summary["attempt"]) if summary else ("", 0)


def _of_cell(store: Store, key: str, status: str, counts: int) -> Iterator[Waste]:
    yield from _loose(store.folder(key), key)
    yield from _loose(store.folder(key) / "attempts", key)
    for number in store.numbers(key):
        folder = store.attempt(key, number).path
        yield from _loose(folder, key)
        names = _own(folder)
        if CHECKPOINT in names and status in FINAL:
            yield from _waste([folder / CHECKPOINT], "a checkpoint of a cell that has its result", key)
        weights = [folder / name for name in names if name.startswith("delta-") and name.endswith(".safetensors")]
        if weights and counts and number != counts and store.record(key, number) is not None:
            yield from _waste(weights, "weights of an attempt that no longer counts", key)


def _loose(folder: Path, key: str = "") -> Iterator[Waste]:
    """Half-written files, and folders of a merge, that nobody has touched for long."""
    for name in _own(folder):
        path = folder / name
        if name.startswith(_HALF):
            with suppress(OSError):
                if time.time() - path.lstat().st_mtime > OLD_S:
                    inside = [path / one for one in listing(path)] if not path.is_symlink() else []
                    yield from _waste([*inside, path], "left half-written by a process that is gone", key)


def _own(folder: Path) -> list[str]:
    """The names in a folder of the store's own: what a link leads to is never freed."""
    return [] if folder.is_symlink() else listing(folder)


def _leases(store: Store) -> Iterator[Waste]:
    for name in _own(store.leases):
        path = store.leases / name
        if KEY.fullmatch(name.partition(".")[0]) and not lease.alive(path, touch=not store.read_only):
            yield from _waste([path], "a lease whose holder is gone")
    yield from _loose(store.leases)


def _waste(paths: Iterable[Path], why: str, key: str = "") -> Iterator[Waste]:
    for path in paths:
        with suppress(OSError):
            yield Waste(path, 0 if path.is_dir() else path.lstat().st_size, why, key)


def _delete(one: Waste) -> bool:
    try:
        os.rmdir(one.path) if one.path.is_dir() and not one.path.is_symlink() else one.path.unlink()
    except OSError:
        return False
    return True
