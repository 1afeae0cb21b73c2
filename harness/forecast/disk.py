"""Bytes that a cell keeps in the store, by finished cells most like it. Torch is not imported."""

import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from harness.config.schema import Cell
from harness.files import atomic_files
from harness.store.attempt_folder import CHECKPOINTS
from harness.store.store import Store

SAMPLED = 5
"""Folders that are measured for one kind of cell: the others of its kind keep as much."""
Kind = tuple[str, str, str]


class Disk:
    """The bytes of a store's finished cells. A cell is compared with those of its method, model and task; where there
    are none, with those that share less with it, and at least the model.
    """

    def __init__(self, store: Store, finished: Iterable[tuple[str, Mapping[str, Any]]]) -> None:
        """Remember the keys of at most SAMPLED cells of each kind. finished: (key, summary) of cells that are done."""
        self._store = store
        self._keys: dict[Kind, list[str]] = defaultdict(list)
        self._bytes: dict[Kind, tuple[int, int]] = {}
        for key, summary in finished:
            for kind in _kinds(summary["method"], summary["model"], summary["task"]):
                if len(self._keys[kind]) < SAMPLED:
                    self._keys[kind].append(key)

    def size(self, cell: Cell) -> tuple[int, int] | None:
        """Return the median (weights, other files) in bytes that the finished cells most like it keep with keep=delta.

        None where no cell of its model has finished.
        """
        kinds = _kinds(cell.method.name, cell.model.name, cell.task.name)
        kind = next((kind for kind in kinds if self._keys.get(kind)), None)
        if kind is None:
            return None
        if kind not in self._bytes:
            weights, rest = zip(*(self._kept(key) for key in self._keys[kind]), strict=True)
            self._bytes[kind] = round(statistics.median(weights)), round(statistics.median(rest))
        return self._bytes[kind]

    def _kept(self, key: str) -> tuple[int, int]:
        """Return the bytes of the weights and of the other files of a cell.

        Where the cell kept no weights, they are those of its trained parameters in fp32, at two checkpoints.
        """
        paths = [path for path in self._store.folder(key).rglob("*") if path.is_file()]
        weights = [path for path in paths if path.match("delta-*.safetensors")]
        rest = sum(atomic_files.sizes(path for path in paths if path not in set(weights)))
        if weights:
            return sum(atomic_files.sizes(weights)), rest
        counted = (self._store.read(key) or {}).get("parameters") or {}
        trained = sum(counted.get(part) or 0 for part in ("delta", "head"))
        return 4 * trained * len(CHECKPOINTS), rest


def _kinds(method: str, model: str, task: str) -> tuple[Kind, ...]:
    """Return what a cell is, from what is most like it to what is least."""
    return (method, model, task), ("", model, task), (method, model, ""), ("", model, "")
