"""One store into another: what is better there is taken over, attempt by attempt. Torch-free.

Better is done over not done, made by the code of today over stale, a result over a failure. A cell that is as good
here stays as it is, so the same merge again takes nothing. The other store is read only, and as data from elsewhere:
no link in it is followed, a record must be one, and its key must be that of its cell.
"""

import os
import shutil
import stat
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness import atomic_files
from harness.errors import UsageError
from harness.store import fingerprint, identity, lease, requested_grids
from harness.store.attempt_folder import CHECKPOINT, OUTCOME, RECORD, RESUMED, TRACE
from harness.store.record import FINAL
from harness.store.store import Store

_UNFINISHED = (CHECKPOINT, OUTCOME, RESUMED, TRACE, RECORD)
"""What only an unfinished attempt needs, and the record, which is written last."""


@dataclass
class Merged:
    """taken: cells whose result is now that of the other store; kept: as good here; skipped: key -> why not."""

    taken: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)


def merge(store: Store, other: Store, dry: bool = False) -> Merged:
    """Take over from `other` what is better there; `dry`: only say what would be taken."""
    merged = Merged()
    for key, theirs in other.summaries():
        if theirs is None:
            continue
        mine = store.summary(key)
        if mine is not None and _rank(mine) >= _rank(theirs):
            merged.kept.append(key)
        elif reason := _obstacle(other, key) or ("" if dry else _take(store, other, key)):
            merged.skipped[key] = reason
        else:
            merged.taken.append(key)
    if not dry and merged.taken:
        known = {grid.name for grid in requested_grids.noted(store)}
        for grid in requested_grids.noted(other):
            if grid.name not in known:
                requested_grids.note(store, grid)
    return merged


def _rank(summary: Mapping[str, Any]) -> tuple[bool, bool, bool]:
    done = summary["status"] == "done"
    return done, done and not fingerprint.is_stale(summary), summary["status"] in FINAL


def _obstacle(other: Store, key: str) -> str:
    """Why a cell of the other store cannot be taken; "" where nothing is in the way."""
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
    """Copy a cell's finished attempts: all where there is none here, else the one that counts. Why not, or ""."""
    record = other.read(key)
    held = lease.acquire(store.leases, key)
    if record is None or held is None:
        return "somebody runs it here now"
    try:
        store.register_as(key, record["cell"])
        begun = store.numbers(key)
        with lease.beating(held):
            if begun:
                _copy(store, other, key, int(record["attempt"]), begun[-1] + 1)
            else:
                for number in other.numbers(key):
                    _copy(store, other, key, number, number)
        store.rebuild(key, store.numbers(key))
    finally:
        held.release()
    return ""


def _copy(store: Store, other: Store, key: str, number: int, there: int) -> None:
    """One finished attempt under the number `there`; it has its name only when it is whole."""
    record = other.record(key, number)
    if record is None:
        return
    attempts = store.folder(key) / "attempts"
    fresh = attempts / f".merge-{uuid.uuid4().hex}"
    fresh.mkdir(parents=True)
    try:
        for entry in os.scandir(other.at(key, f"attempts/{number}")):
            if entry.name not in _UNFINISHED and not entry.name.startswith("."):
                _copy_file(Path(entry.path), fresh / entry.name)
        origin = {"merged_from_attempt": number}
        provenance = {**(record.get("provenance") or {}), **(origin if there != number else {})}
        atomic_files.write_json(fresh / RECORD, {**record, "attempt": there, "provenance": provenance})
        fresh.rename(attempts / str(there))
    except BaseException:  # Ctrl-C too leaves no half-copied attempt
        shutil.rmtree(fresh, ignore_errors=True)
        raise


def _copy_file(source: Path, target: Path) -> None:
    """A plain file; what is none (a link, a pipe, a folder) is left out."""
    if not stat.S_ISREG(os.lstat(source).st_mode):
        return
    descriptor = os.open(source, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    with open(descriptor, "rb") as reading, atomic_files.atomic(target) as temporary, temporary.open("wb") as writing:
        shutil.copyfileobj(reading, writing)
