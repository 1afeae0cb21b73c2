"""Bytes that a cell keeps in the store, by finished cells most like it. Torch is not imported."""

import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from harness.config.schema import Cell
from harness.store.store import Store

SAMPLED = 5
"""Folders that are measured for one kind of cell: the others of its kind keep as much."""
Kind = tuple[str, str, str]


class Disk:
    """The sizes of a store's finished cells, by method, model and task; where none is like a cell, by less."""

    def __init__(self, store: Store, finished: Iterable[tuple[str, Mapping[str, Any]]]) -> None:
        """finished: (key, summary) of cells that are done."""
        self._store = store
        self._keys: dict[Kind, list[str]] = defaultdict(list)
        self._bytes: dict[Kind, int] = {}
        for key, summary in finished:
            for kind in _kinds(summary["method"], summary["model"], summary["task"]):
                if len(self._keys[kind]) < SAMPLED:
                    self._keys[kind].append(key)

    def size(self, cell: Cell) -> int | None:
        """Return the bytes that a finished cell most like it keeps; None where none is known."""
        kinds = _kinds(cell.method.name, cell.model.name, cell.task.name)
        kind = next((kind for kind in kinds if self._keys.get(kind)), None)
        if kind is None:
            return None
        if kind not in self._bytes:
            sizes = (_bytes(self._store.folder(key)) for key in self._keys[kind])
            self._bytes[kind] = round(statistics.median(sizes))
        return self._bytes[kind]


def _kinds(method: str, model: str, task: str) -> tuple[Kind, ...]:
    """Return what a cell is, from what is most like it to what is least."""
    return (method, model, task), ("", model, task), (method, model, ""), ("", model, "")


def _bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
