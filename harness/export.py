"""Records of a store in one file: an archive of JSON lines, or a Parquet table. Torch-free."""

import gzip
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness import cell as cells
from harness import files
from harness.errors import UsageError

if TYPE_CHECKING:
    from harness.store import Store


def archive(store: "Store", keys: Iterable[str], path: Path) -> int:
    """Records and curves as gzipped JSON lines, sorted by key, without paths of this machine; how many."""
    path.parent.mkdir(parents=True, exist_ok=True)
    count = 0
    with (
        files.atomic(path) as temporary,
        temporary.open("wb") as raw,
        gzip.GzipFile(filename="", mode="wb", fileobj=raw, mtime=0) as packed,
    ):
        for record, curve in store.runs(sorted(set(keys))):
            packed.write(files.encode(row(record, curve), sort_keys=True))
            count += 1
    return count


def row(record: dict[str, Any], curve: list[dict[str, Any]]) -> dict[str, Any]:
    """{"record", "curve"} without the runtime fields of the cell, which hold paths."""
    try:
        cell = cells.to_json(cells.from_json(record["cell"]), kinds=("identity", "provenance"))
    except UsageError:  # a cell of another version: its fields are not all known here
        cell = cells.without_runtime(record["cell"])
    return {"record": {**record, "cell": cell}, "curve": curve}
