"""Merging one store into another: cells that are better there are copied, attempt by attempt.

Torch is not imported.

Done is better than not done, a record of the current code is better than a stale one, and a result is better than a
failure. A cell that is as good in this store stays, so a repeated merge copies nothing. The other store is only read,
and it is treated as foreign data: no link in it is followed, a record must be valid, and its key must be its cell's.
"""

import os
import shutil
import stat
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.errors import UsageError
from harness.files import atomic_files
from harness.store import identity, lease, requested_grids
from harness.store.attempt_folder import CHECKPOINT, OUTCOME, RECORD, RESUMED, TRACE
from harness.store.record import FINAL
from harness.store.store import Store

_UNFINISHED = (CHECKPOINT, OUTCOME, RESUMED, TRACE, RECORD)
"""The files that only an unfinished attempt needs, and the record, which is written last."""


@dataclass
class Merged:
    """The outcome of a merge, as keys of cells.

    taken: the result is now the other store's. kept: the own one is as good. skipped: key -> why it was not copied.
    """

    taken: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)


def merge(store: Store, other: Store, dry: bool = False) -> Merged:
    """Copy the cells of `other` that are better there, and its notes on requested grids that have no note here.

    dry: only report which cells would be copied.
    """
    merged = Merged()
    for key, theirs in other.summaries():
        if theirs is None:
            continue
        mine = store.summary(key)
        if mine is not None and _rank(store, key, mine) >= _rank(other, key, theirs):
            merged.kept.append(key)
        elif reason := _obstacle(other, key) or ("" if dry else _take(store, other, key)):
            merged.skipped[key] = reason
        else:
            merged.taken.append(key)
    if not dry:
        known = {grid.name for grid in requested_grids.noted(store)}
        for grid in requested_grids.noted(other):
            if grid.name not in known:
                requested_grids.note(store, grid)
    return merged


def _rank(store: Store, key: str, summary: Mapping[str, Any]) -> tuple[bool, bool, bool]:
    """Return a tuple by which the better of two summaries compares higher."""
    done = summary["status"] == "done"
    return done, done and not store.is_stale(key, summary), summary["status"] in FINAL


def _obstacle(other: Store, key: str) -> str:
    """Return why a cell of the other store cannot be copied; "" where it can."""
    record = other.read(key)
    if record is None:
        return "its record cannot be read"
    try:
        cell = identity.from_json(record["cell"])
    except UsageError as error:
        return str(error)
    if identity.known(cell) and identity.key(cell) != key:
        return f"its record is of another cell, {identity.key(cell)[:12]}"
    return ""


def _take(store: Store, other: Store, key: str) -> str:
    """Copy a cell's finished attempts: all where there is none here, else the one that counts.

    Returns why nothing was copied, or "".
    """
    record = other.read(key)
    cell_lease = lease.acquire(store.leases, key)
    if record is None or cell_lease is None:
        return "another process is running it here now"
    try:
        store.register_as(key, record["cell"])
        begun = store.numbers(key)
        with lease.beating(cell_lease):
            if begun:
                _copy(store, other, key, int(record["attempt"]), begun[-1] + 1)
            else:
                for number in other.numbers(key):
                    _copy(store, other, key, number, number)
        store.rebuild(key, store.numbers(key))
    finally:
        cell_lease.release()
    return ""


def _copy(store: Store, other: Store, key: str, number: int, there: int) -> None:
    """Copy one finished attempt under the number `there`; it gets its name only when it is complete."""
    record = other.record(key, number)
    if record is None:
        return
    attempts = store.folder(key) / "attempts"
    fresh = attempts / f".merge-{uuid.uuid4().hex}"
    fresh.mkdir(parents=True)
    try:
        copied: dict[int, Path] = {}  # a file with two names has them in the copy too
        for entry in os.scandir(other.at(key, f"attempts/{number}")):
            if entry.name not in _UNFINISHED and not entry.name.startswith("."):
                if (same := copied.get(entry.inode())) is not None:
                    atomic_files.link(same, fresh / entry.name)
                elif _copy_file(Path(entry.path), fresh / entry.name):
                    copied[entry.inode()] = fresh / entry.name
        origin = {"merged_from_attempt": number}
        provenance = {**(record.get("provenance") or {}), **(origin if there != number else {})}
        atomic_files.write_json(fresh / RECORD, {**record, "attempt": there, "provenance": provenance})
        fresh.rename(attempts / str(there))
    except BaseException:  # Ctrl-C too leaves no half-copied attempt
        shutil.rmtree(fresh, ignore_errors=True)
        raise


def _copy_file(source: Path, target: Path) -> bool:
    """Copy a plain file and return True; anything else (a link, a pipe, a folder) is left out."""
    if not stat.S_ISREG(os.lstat(source).st_mode):
        return False
    descriptor = os.open(source, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    with open(descriptor, "rb") as reading, atomic_files.atomic(target) as temporary, temporary.open("wb") as writing:
        shutil.copyfileobj(reading, writing)
    return True
