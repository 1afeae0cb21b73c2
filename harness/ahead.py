"""What the cells of an exhibit will take, told before any of them runs. Torch-free.

Time and memory by finished cells most like them: of the store, else of our reference run. Where there are none, as for
grids that want a GPU, by a forecast from the cells alone (forecast/hours.py).
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness import assets, grids, probes, progress, record, sweep
from harness import cell as cells
from harness.analysis import records
from harness.config import Cell, Runtime
from harness.estimate import Estimate
from harness.exhibits import HERE, Block, Exhibit
from harness.forecast import hours
from harness.forecast.load import gib
from harness.store import FINAL, Store
from harness.tuning import Planned


@dataclass(frozen=True, eq=False)
class Known:
    """What finished cells took. memory: bytes, of the hungriest process. of: whose cells; "" for those of the store."""

    estimate: Estimate
    memory: int | None
    of: str = ""


def known(exhibit: Exhibit, store: Store, keys: Sequence[str]) -> Iterator[Known]:
    """By the finished cells among these, by our reference run, by our others; the first that knows a cell is right."""
    if mine := _done(records.from_store(store, keys)):
        yield _known(store, mine)
    own = records.reference(exhibit.cells_of)
    others = sorted(path for path in assets.reference().glob(f"*/{records.ARCHIVE}") if path != own)
    for path in (own, *others):
        if theirs := _done(records.from_archive(path)) if path.is_file() else []:
            yield _known(store, theirs, f" by our run of {path.parent.name} ({_machine(theirs[0])})")


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


def plan(
    exhibit: Exhibit,
    scale: str,
    blocks: Sequence[Block],
    planned: Planned,
    runtime: Runtime,
    jobs: int | None,
    folder: Path,
) -> str:
    """Cells, how many are done, about how long the rest takes and what memory, and where results go."""
    store, found = Store(runtime.store), planned.cells
    keyed = {cells.key(cell): cell for cell in found}
    left = [cell for key, cell in keyed.items() if store.status(key) not in FINAL]
    at_once = min(jobs or sweep.slots(runtime), max(len(left), 1))
    summary = sweep.summary(store, found)
    if planned.waiting:
        summary += f"\n{planned.waiting} more cells when these have chosen their learning rate"
    wanted = probes.parse(runtime.probe) if runtime.keep == "delta" else ()
    if again := sum(probes.unkept(store, key, cell, wanted) for key, cell in keyed.items() if wanted):
        summary += f"\n{again} finished cells get another attempt, that keeps what a probe needs of training"
    took = _took(known(exhibit, store, list(keyed)), left, planned.waiting, at_once)
    return f"{summary}\n{took or _unseen(scale, blocks, len(left), at_once)}\nrecords: {store.path}\nresults: {folder}"


def _took(by: Iterable[Known], left: Sequence[Cell], waiting: int, at_once: int) -> str | None:
    """In a sentence; None where no finished cell is like one of these."""
    if not left and not waiting:
        return "0 to run, nothing is left to do"
    found: dict[str, tuple[float, Known]] = {}
    for source in by:
        walls = {cells.key(cell): source.estimate.seconds(grids.place(cell)) for cell in left}
        found = {**{key: (wall, source) for key, wall in walls.items() if wall is not None}, **found}
        if len(found) == len(left):
            break
    if len(found) < len(left) or not found:
        return None
    now = sum(wall for wall, _ in found.values())
    later = waiting * now / len(found)
    told = f"{len(left)} to run, {at_once} at once; about {progress.clock(now / at_once)}"
    told += f" and {progress.clock(later / at_once)} for those {waiting}" if later else ""
    used = list(dict.fromkeys(source for _, source in found.values()))
    most = max((one.memory for one in used if one.memory), default=None)
    return f"{told}{f'; {gib(most)} for each process' if most else ''}{''.join(one.of for one in used)}"


def _unseen(scale: str, blocks: Sequence[Block], left: int, at_once: int) -> str:
    """Where no finished cell is like one of these."""
    told = f"{left} to run, {at_once} at once"
    if scale in HERE:
        return f"{told}; how long is unknown until one of them has finished"
    on = hours.device()
    return f"{told}\n{hours.text(hours.lines(hours.cells_of(blocks), on), on)}"


def without_rows(exhibit: Exhibit, blocks: Sequence[Block], why: object, folder: Path) -> str:
    """The same where the rows of a task are not here, so that no cell has its key yet."""
    on = hours.device()
    found = hours.lines(hours.cells_of(blocks), on)
    return (
        f"{why}\nwithout its rows no cell can be looked up; all of {exhibit.name}:\n"
        f"{hours.text(found, on)}\nresults: {folder}"
    )
