"""An index of a store: all summaries in one file, so that a large store is not read cell by cell.

It is derived, and torch is not imported.

A line of it is valid as long as the cell's `current` is the file that it was read from (time, size and number of the
file). Readers write the index, whole and under a new name, once enough has changed. Adding a record never does, so it
costs the same in a small store and in a large one. The file may be deleted at any time without loss.
"""

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from harness.files import atomic_files, plain_files, strict_json
from harness.store import record
from harness.store.cell_files import CellFiles

NAME = "index.json"
WORTH = 500
"""The number of cells below which reading them one by one is as fast."""
Entry = tuple[str, dict[str, Any]]


def summaries(
    store: CellFiles, keys: Iterable[str], summary_of: Callable[[str], dict[str, Any] | None]
) -> Iterator[tuple[str, dict[str, Any] | None]]:
    """Yield (key, its summary) for each key, from the index where that is still valid. summary_of: `Store.summary`."""
    keys = list(keys)
    many = len(keys) >= WORTH
    indexed = _load(store.path / NAME) if many else {}
    present = set(store.keys()) if many else None
    fresh: dict[str, Entry] = {}
    cells = str(store.path / "cells")
    for key in keys:
        if present is not None and key not in present:
            yield key, None
            continue
        stamp, known = _stamp(f"{cells}/{key[:2]}/{key}/current"), indexed.get(key)
        summary = None
        if stamp is not None:
            summary = known[1] if known is not None and stamp == known[0] else store.current(key)
        if summary is None or summary["status"] != "done":  # an attempt that `current` does not know may have ended
            summary = summary_of(key)
        if summary is not None and stamp is not None:
            fresh[key] = stamp, summary
        yield key, summary
    news = sum(indexed.get(key) != entry for key, entry in fresh.items())
    if news >= max(WORTH, len(indexed) // 20) and not store.read_only:
        with suppress(OSError):
            _save(store.path / NAME, {**indexed, **fresh})


def _stamp(path: str) -> str | None:
    """Return a text that identifies the file at `path`; None where there is none."""
    try:
        about = os.stat(path)
    except OSError:
        return None
    return f"{about.st_mtime_ns}.{about.st_size}.{about.st_ino}"


def _load(path: Path) -> dict[str, Entry]:
    """Return the index; {} where it is absent or damaged."""
    with suppress(OSError, ValueError, TypeError):
        digest, _, body = plain_files.read_bytes(path).partition(b"\n")
        if digest.decode() == hashlib.sha256(body).hexdigest():
            entries = strict_json.parse(body)
            return {key: (stamp, summary) for key, (stamp, summary) in entries.items() if record.is_summary(summary)}
    return {}


def _save(path: Path, entries: dict[str, Entry]) -> None:
    """Write the index with a digest of its content."""
    body = json.dumps(entries, separators=(",", ":")).encode()
    with atomic_files.atomic(path) as temporary:
        temporary.write_bytes(hashlib.sha256(body).hexdigest().encode() + b"\n" + body)
