"""A day as it is published: README.md, rows.json and the records of its cells, without paths of this machine.

Torch is not imported.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from harness import assets, private_paths
from harness.files import atomic_files
from harness.gpu_day import day_summary
from harness.gpu_day.day import Day
from harness.gpu_day.day_parts import PARTS
from harness.store import archive
from harness.store.store import Store

FOLDER = "gpu"
"""The folder of results/reference that holds a folder for each device."""


def write(day: Day) -> Path:
    """Write the day into its own `export`, and a day on a GPU into results/reference/gpu/DEVICE too; return the folder.

    The latter is left out where that folder cannot be written, as in an installed copy.
    """
    own = day.folder / "export"
    _write(day, own)
    if day.dry:
        return own
    shared = assets.reference() / FOLDER / slug(day.about()["device"])
    try:
        _write(day, shared)
    except OSError:
        return own
    return shared


def slug(device: str) -> str:
    """Return a device's name as the name of a folder: nvidia-h200."""
    return re.sub(r"[^a-z0-9]+", "-", device.lower()).strip("-")


def _write(day: Day, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    rows = {"about": day.about(), **{part.name: day.rows(part.name) for part in PARTS}}
    atomic_files.write_json(folder / "rows.json", private_paths.hidden(rows, [str(day.folder)]))
    page = private_paths.hidden(day_summary.page(day), [str(day.folder)])
    atomic_files.write_text(folder / "README.md", page)
    for store in _stores(day):
        archive.archive(store, store.keys(), folder / f"records{store.path.name.removeprefix('store')}.jsonl.gz")


def _stores(day: Day) -> Iterator[Store]:
    """Yield the stores of the day that hold cells."""
    for path in sorted(day.folder.glob("store*")):
        store = Store(path, read_only=True)
        if next(store.keys(), None):
            yield store
