"""How long cells take and what they keep, by the finished cells of a store that are most like them. Torch-free."""

import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.store.requested_grids import Place

if TYPE_CHECKING:
    from harness.store.store import Store

SAMPLED = 5
"""Folders that are measured for one kind of cell: the others of its kind keep as much."""
Kind = tuple[str, ...]


class Estimate:
    """What is known of finished cells, by method, model and task; where none is like it, by less."""

    def __init__(self, store: "Store", finished: Iterable[tuple[str, Mapping[str, Any]]]) -> None:
        """finished: (key, summary) of cells that are done."""
        self.store = store
        self.walls: dict[Kind, list[tuple[float, int | None]]] = defaultdict(list)
        self.keys: dict[Kind, list[str]] = defaultdict(list)
        self.bytes: dict[Kind, int] = {}
        for key, summary in finished:
            for kind in _kinds(summary["method"], summary["model"], summary["task"]):
                if isinstance(wall := summary.get("wall_s"), int | float):
                    self.walls[kind].append((wall, summary.get("steps")))
                if len(self.keys[kind]) < SAMPLED:
                    self.keys[kind].append(key)

    def seconds(self, place: Place) -> float | None:
        """Median wall time of the cells most like it, at its number of steps; None where none is known."""
        kind = _first(place, self.walls)
        if kind is None:
            return None
        walls = self.walls[kind]
        alike = [wall for wall, steps in walls if steps == place.steps]
        return statistics.median(alike or [wall * _ratio(place.steps, steps) for wall, steps in walls])

    def size(self, place: Place) -> int | None:
        """Bytes that a finished cell most like it keeps; None where none is known."""
        kind = _first(place, self.keys)
        if kind is None:
            return None
        if kind not in self.bytes:
            self.bytes[kind] = round(statistics.median(_bytes(self.store.folder(key)) for key in self.keys[kind]))
        return self.bytes[kind]

    def total(self, places: Iterable[Place], at_once: int) -> float | None:
        """Seconds for all of them, so many at once; None where one of them is unknown."""
        counts: dict[tuple[Kind, int | None], tuple[Place, int]] = {}
        for place in places:
            kind = (place.method, place.model, place.task), place.steps
            counts[kind] = place, counts.get(kind, (place, 0))[1] + 1
        each = [(self.seconds(place), count) for place, count in counts.values()]
        known = [(seconds, count) for seconds, count in each if seconds is not None]
        if len(known) < len(each):
            return None
        number = sum(count for _, count in known)
        return sum(seconds * count for seconds, count in known) / max(1, min(at_once, number))


def _kinds(method: str, model: str, task: str) -> tuple[Kind, ...]:
    """From what is most like a cell to what is least."""
    return (method, model, task), ("", model, task), (method, model, ""), ("", model, "")


def _first(place: Place, known: Mapping[Kind, Any]) -> Kind | None:
    return next((kind for kind in _kinds(place.method, place.model, place.task) if known.get(kind)), None)


def _ratio(steps: int | None, known: int | None) -> float:
    return steps / known if steps and known else 1.0


def _bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
