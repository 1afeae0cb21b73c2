"""Records with their curves: of a store, or of an exported archive. Torch-free and pandas-free."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness import assets, atomic_files
from harness.errors import UsageError

if TYPE_CHECKING:
    from harness.store.store import Store


ARCHIVE = "records.jsonl.gz"


@dataclass(frozen=True)
class Run:
    """One record (record.json) with its curve (rows of curve.jsonl)."""

    record: Mapping[str, Any]
    curve: Sequence[Mapping[str, Any]] = ()


def from_store(store: "Store", keys: Iterable[str]) -> list[Run]:
    """The current records of these cells; a cell without a record is left out."""
    return [Run(record, tuple(curve)) for record, curve in store.runs(keys)]


def from_archive(path: Path) -> list[Run]:
    """Exported records: gz JSON lines of {"record", "curve"}. UsageError where a line is not that."""
    runs = []
    try:
        for row in atomic_files.read_packed(path, linked=True):
            runs.append(Run(row["record"], tuple(row.get("curve") or ())))
    except (OSError, ValueError, KeyError, TypeError) as error:
        place = f" after line {len(runs)}" if runs else ""
        raise UsageError(f"{path} is not an archive of records{place}: {error}") from None
    return runs


def reference(exhibit: str) -> Path:
    """Where our own committed records of an exhibit are; the file may be absent."""
    return assets.reference() / exhibit / ARCHIVE
