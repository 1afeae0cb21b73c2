"""Bytes that a cell keeps in the store, by finished cells most like it. Torch is not imported."""

import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping
from functools import cache
from itertools import islice
from typing import Any

from harness.config.schema import Cell, MethodConfig
from harness.files import atomic_files
from harness.store.attempt_folder import CHECKPOINTS
from harness.store.store import Store

SAMPLED = 5
"""Folders that are measured for one kind of cell: the others of its kind keep as much."""
MOST = 500
"""Cells of one kind among which those of the same fields are looked for."""
Kind = tuple[str, str, str]


class Disk:
    """The bytes of a store's finished cells.

    A cell's weights are as large as those of cells of its model and its method with the same fields, on its task if
    there are such. Its other files are compared with those of its method, model and task. Where there are none, they
    are compared with those that share less with it, and at least the model.
    """

    def __init__(self, store: Store, finished: Iterable[tuple[str, Mapping[str, Any]]]) -> None:
        """Remember the keys of each kind of cell. finished: (key, summary) of cells that are done."""
        self._store = store
        self._keys: dict[Kind, list[str]] = defaultdict(list)
        for key, summary in finished:
            for kind in _kinds(summary["method"], summary["model"], summary["task"]):
                self._keys[kind].append(key)
        self._kept, self._method = cache(self._measured), cache(lambda key: store.cell(key).method)
        self._same: dict[tuple[Kind, str], tuple[str, ...]] = {}

    def size(self, cell: Cell) -> tuple[int | None, int] | None:
        """Return the median (weights, other files) in bytes that the finished cells most like it keep with keep=delta.

        None where no cell of its model has finished. The weights are None where none had its method and fields.
        """
        kinds = _kinds(cell.method.name, cell.model.name, cell.task.name)
        kind = next((kind for kind in kinds if self._keys.get(kind)), None)
        if kind is None:
            return None
        same = next(filter(None, (self._alike(kind, cell.method) for kind in kinds if kind[0])), ())
        weights = _median(self._kept(key)[0] for key in same) if same else None
        return weights, _median(self._kept(key)[1] for key in self._keys[kind][:SAMPLED])

    def _alike(self, kind: Kind, method: MethodConfig) -> tuple[str, ...]:
        """Return the first cells of a kind with this method and its fields. MOST cells are looked at, once."""
        known = kind, repr(method)
        if known not in self._same:
            same = (key for key in self._keys.get(kind, ())[:MOST] if self._method(key) == method)
            self._same[known] = tuple(islice(same, SAMPLED))
        return self._same[known]

    def _measured(self, key: str) -> tuple[int, int]:
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


def _median(values: Iterable[int]) -> int:
    return round(statistics.median(values))


def _kinds(method: str, model: str, task: str) -> tuple[Kind, ...]:
    """Return what a cell is, from what is most like it to what is least."""
    return (method, model, task), ("", model, task), (method, model, ""), ("", model, "")
