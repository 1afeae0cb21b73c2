"""What finished cells tell of those to run: cells of the store, else of our reference runs. Torch-free."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from harness import assets, record
from harness.analysis import records
from harness.config.schema import Cell
from harness.forecast.duration import Estimate
from harness.store import identity as cells
from harness.store import requested_grids
from harness.store.store import Store


@dataclass(frozen=True, eq=False)
class Known:
    """What finished cells took. memory: bytes, of the hungriest process. of: whose cells; "" for those of the store."""

    estimate: Estimate
    memory: int | None = None
    of: str = ""


def from_store(store: Store, keys: Sequence[str]) -> Iterator[Known]:
    """By the finished cells among these, if there are any."""
    if mine := _done(records.from_store(store, keys)):
        yield _known(store, mine)


def from_reference(store: Store, archive: Path) -> Iterator[Known]:
    """By the committed run of one exhibit, if it is there."""
    if theirs := _done(records.from_archive(archive)) if archive.is_file() else []:
        yield _known(store, theirs, f" by our run of {archive.parent.name} ({_machine(theirs[0])})")


def from_references(store: Store) -> Iterator[Known]:
    """By all our committed runs together. Their memory is left out: it is that of other models, too."""
    runs = [
        run for path in sorted(assets.reference().glob(f"*/{records.ARCHIVE}")) for run in records.from_archive(path)
    ]
    if theirs := _done(runs):
        yield replace(_known(store, theirs, f" by our own runs ({_machine(theirs[0])})"), memory=None)


def walls(many: Iterable[Cell], by: Iterable[Known]) -> dict[str, tuple[float, Known]]:
    """Seconds of each of these cells by key, and who knows them: the first that does. Unknown ones are left out."""
    left, found = {cells.key(cell): requested_grids.place(cell) for cell in many}, dict[str, tuple[float, Known]]()
    for source in by:
        told = {key: source.estimate.seconds(place) for key, place in left.items()}
        found |= {key: (wall, source) for key, wall in told.items() if wall is not None}
        left = {key: place for key, place in left.items() if key not in found}
        if not left:
            break
    return found


def whose(found: Mapping[str, tuple[float, Known]]) -> list[Known]:
    """Those whose cells were asked for these walls, each once."""
    return list(dict.fromkeys(source for _, source in found.values()))


def _done(runs: Sequence[records.Run]) -> list[Mapping[str, Any]]:
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
