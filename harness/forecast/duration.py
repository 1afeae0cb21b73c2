"""How long cells take and what they keep, by the finished cells of a store that are most like them. Torch-free."""

import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.store.requested_grids import Place

if TYPE_CHECKING:
    from harness.store.store import Store
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from harness import assets
from harness.config.schema import Cell
from harness.store import identity, record, requested_grids
from harness.store.archive import ARCHIVE, Run, from_archive
from harness.store.archive import from_store as records_of
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
        """Return the bytes that the most similar finished cell takes on disk; None where none is known."""
        kind = _first(place, self.keys)
        if kind is None:
            return None
        if kind not in self.bytes:
            self.bytes[kind] = round(statistics.median(_bytes(self.store.folder(key)) for key in self.keys[kind]))
        return self.bytes[kind]

    def total(self, places: Iterable[Place], at_once: int) -> float | None:
        """Return the seconds of all places with `at_once` of them at a time; None where one of them is unknown."""
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


@dataclass(frozen=True, eq=False)
class Known:
    """What finished cells took. memory: bytes, of the hungriest process. of: whose cells; "" for those of the store."""

    estimate: Estimate
    memory: int | None = None
    of: str = ""


def from_store(store: Store, keys: Sequence[str]) -> Iterator[Known]:
    """Yield what the finished cells among these keys took, if there are any."""
    if mine := _done(records_of(store, keys)):
        yield _known(store, mine)


def from_reference(store: Store, archive: Path) -> Iterator[Known]:
    """Yield what the committed run of one exhibit took, if it exists."""
    if theirs := _done(from_archive(archive)) if archive.is_file() else []:
        yield _known(store, theirs, f" by our run of {archive.parent.name} ({_machine(theirs[0])})")


def from_references(store: Store) -> Iterator[Known]:
    """Yield what all committed runs together took. Their memory is left out, because it is that of other models too."""
    runs = [run for path in sorted(assets.reference().glob(f"*/{ARCHIVE}")) for run in from_archive(path)]
    if theirs := _done(runs):
        yield replace(_known(store, theirs, f" by our own runs ({_machine(theirs[0])})"), memory=None)


def walls(many: Iterable[Cell], by: Iterable[Known]) -> dict[str, tuple[float, Known]]:
    """Return key -> (seconds, the runs that they are estimated from). The first runs with an estimate count.

    Cells without an estimate are left out.
    """
    left, found = {identity.key(cell): requested_grids.place(cell) for cell in many}, dict[str, tuple[float, Known]]()
    for source in by:
        told = {key: source.estimate.seconds(place) for key, place in left.items()}
        found |= {key: (wall, source) for key, wall in told.items() if wall is not None}
        left = {key: place for key, place in left.items() if key not in found}
        if not left:
            break
    return found


def whose(found: Mapping[str, tuple[float, Known]]) -> list[Known]:
    """Return the runs behind these estimates, each once."""
    return list(dict.fromkeys(source for _, source in found.values()))


def _done(runs: Sequence[Run]) -> list[Mapping[str, Any]]:
    return [run.record for run in runs if run.record["status"] == "done"]


def _known(store: Store, finished: Sequence[Mapping[str, Any]], of: str = "") -> Known:
    summaries = [(one["key"], record.summarise(one)) for one in finished]
    peaks = [bytes_ for one in finished for bytes_ in _process(one)]
    return Known(Estimate(store, summaries), max(peaks, default=None), of)


def _process(one: Mapping[str, Any]) -> list[int]:
    phases = [phase for name, phase in (one.get("memory") or {}).items() if name != "why_null"]
    return [phase["process_bytes"] for phase in phases if phase.get("process_bytes")]


def _machine(one: Mapping[str, Any]) -> str:
    about = (one.get("provenance") or {}).get("machine") or {}
    return f"{about.get('cores')} cores, {about.get('processor')}" if about else "another machine"
