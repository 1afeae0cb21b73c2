"""Finished cells as samples: the work of each, and the seconds that it took. Torch-free."""

import math
import statistics
from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from harness import assets
from harness.config import user_cache
from harness.config.schema import Cell
from harness.errors import UsageError
from harness.forecast import cell_work
from harness.forecast.cell_work import Reading, Size, Work
from harness.store import archive

NOTICED = 0.5
"""Cores of other work above which a cell counts as disturbed."""
USUAL_TOKENS = 32.0
"""The tokens of a row where no cell has counted any."""
MOST_READ = 12
"""The number of records of one method, model and task that become samples; more would say the same."""
FILE = "reference-times.json"
Some = TypeVar("Some")


@dataclass(frozen=True)
class Sample:
    """A finished cell: its work, and the seconds of its training, its evaluations and the rest.

    - size: of its backbone. beside: the number of cells that ran at the same time. ended: when, as text in UTC.
    - busy: the cores that other work kept busy during the training, other cells included; None where unknown.
    - start_s: seconds from the command to the cell, where it was the first of its job. between_s: those since the cell
      before it in its job. None where unknown.
    - key_of_reading: see `cell_work.reading_of`. memory: bytes of its process; None where unknown.
    """

    work: Work
    size: Size
    train_s: float
    evaluate_s: float
    rest_s: float
    beside: int
    ended: str
    key_of_reading: tuple[Any, ...]
    memory: int | None = None
    busy: float | None = None
    start_s: float | None = None
    between_s: float | None = None

    @property
    def is_disturbed(self) -> bool:
        """Return whether other work than the cells beside it shared the cores."""
        return self.busy is not None and self.busy - self.beside > NOTICED

    @property
    def wall_s(self) -> float:
        """Return the seconds of the whole cell."""
        return self.train_s + self.evaluate_s + self.rest_s


class Readings:
    """What cells read, by `cell_work.reading_of`: as finished cells counted it, or as their rows say.

    A cell that trains nothing counts no tokens. Those of its rows are taken from a cell with the same rows, else from
    one with the same task and model and the tokens of its shots, else they are the mean of all, or USUAL_TOKENS.
    """

    def __init__(self, samples: Iterable[Sample]) -> None:
        self._known: dict[tuple[Any, ...], Reading] = {}
        for sample in samples:
            if sample.work.reading.tokens:
                self._known.setdefault(sample.key_of_reading, sample.work.reading)

    def of(self, cell: Cell, content: Mapping[str, Any]) -> tuple[Reading | None, bool]:
        """Return what a cell reads, None where that is unknown, and whether its rows were read now.

        content: the cell as JSON. The rows are read where no finished cell has read them.
        """
        key, planned = cell_work.reading_of(content), None
        if key not in self._known:
            with suppress(UsageError, OSError):
                planned = cell_work.planned_reading(cell)
        if planned and planned.tokens:  # a task without training rows has none to say how long its rows are
            self._known[key] = planned
        return self._known.get(key) or self._similar(key) or planned, bool(planned)

    def completed(self, sample: Sample) -> Sample:
        """Return a sample whose work has the tokens that it reads."""
        own, key = sample.work.reading, sample.key_of_reading
        if own.tokens:
            return sample
        like = self._known.get(key) or self._similar(key) or Reading(self._usual() * (1 + _shots(key)), own.rows)
        return replace(sample, work=replace(sample.work, reading=Reading(like.tokens, own.rows or like.rows)))

    def _similar(self, key: tuple[Any, ...]) -> Reading | None:
        """Return the reading of the same task and model with the tokens of as many shots; None without one."""
        for other, reading in self._known.items():
            if other[:2] == key[:2]:
                return Reading(reading.tokens * (1 + _shots(key)) / (1 + _shots(other)), reading.rows)
        return None

    def _usual(self) -> float:
        means = [reading.tokens / (1 + _shots(key)) for key, reading in self._known.items()]
        return statistics.fmean(means) if means else USUAL_TOKENS


def _shots(key: tuple[Any, ...]) -> int:
    """Return the examples before each row, which are the last part of `cell_work.reading_of`."""
    return key[-1] if type(key[-1]) is int and key[-1] > 0 else 0


def some_of_each(kinds: Mapping[Hashable, Sequence[Some]], most: int = MOST_READ) -> list[Some]:
    """Return at most so many members of each kind, evenly."""
    return [member for members in kinds.values() for member in members[:: -(-len(members) // most)]]


def reference_records() -> list[dict[str, Any]]:
    """Return some records of our committed runs, `reduced`, remembered between commands: there are thousands."""
    paths = sorted(assets.reference().glob(f"*/{archive.ARCHIVE}"))
    stamps = [(path.parent.name, path.stat().st_size, path.stat().st_mtime_ns) for path in paths]
    name = user_cache.name(user_cache.sources("harness/forecast"), stamps)
    remembered = user_cache.known(FILE).get(name)
    if isinstance(remembered, list) and all(isinstance(record, dict) for record in remembered):
        return remembered
    kinds: dict[Hashable, list[Mapping[str, Any]]] = defaultdict(list)
    for record in (run.record for path in paths for run in archive.from_archive(path)):
        if record.get("status") == "done":
            cell = record["cell"]
            kinds[cell["method"]["name"], cell["model"]["name"], cell["task"]["name"]].append(record)
    made = list(map(reduced, some_of_each(kinds)))
    user_cache.remember(FILE, {name: made}, most=1)
    return made


def reduced(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return the part of a record that makes it a sample, and the machine that it ran on."""
    sets = ((record.get("scores") or {}).get("best") or {}).get("sets") or {}
    made, counted = record.get("provenance") or {}, record.get("parameters") or {}
    return {
        **{name: record.get(name) for name in ("status", "cell", "time", "memory")},
        "scores": {"best": {"sets": {name: {"n": figures.get("n")} for name, figures in sets.items()}}},
        "provenance": {name: made.get(name) for name in ("ended", "machine")},
        "parameters": {"backbone": counted.get("backbone")},
    }


def sample_of(record: Mapping[str, Any]) -> Sample | None:
    """Return a finished cell's record as a sample; None where it is not done or has no time, or has fields of other
    types than ours.
    """
    try:
        sample = _sample(record)
        return sample if sample is not None and _is_sound(sample) else None
    except (TypeError, ValueError, LookupError, AttributeError, ArithmeticError):
        return None


def _is_sound(sample: Sample) -> bool:
    """Return whether all that is computed from a sample is a finite number. Raises TypeError where it has no hash."""
    hash((sample.work, sample.size, sample.key_of_reading))
    work = sample.work
    idle = (sample.start_s or 0, sample.between_s or 0)
    numbers = (
        *idle,
        sample.wall_s,
        sample.beside,
        sample.busy or 0,
        work.train(sample.size),
        work.evaluate(sample.size),
    )
    return all(0 <= number < math.inf for number in numbers)


def _sample(record: Mapping[str, Any]) -> Sample | None:
    """Return a record as a sample. Where it does not divide its time, all of it counts as training, or as evaluation
    where nothing trains.
    """
    clock = record.get("time") or {}
    wall = clock.get("wall_s")
    if record.get("status") != "done" or not isinstance(wall, int | float):
        return None
    train, evaluate = (float(clock.get(name) or 0.0) for name in ("train_s", "evaluate_s"))
    cell, reading = record["cell"], cell_work.read(record)
    work = cell_work.of(cell, reading)
    if clock.get("steps") is not None:
        work = replace(work, steps=int(clock["steps"]))
    if not train + evaluate:
        train, evaluate = (float(wall), 0.0) if work.steps else (0.0, float(wall))
    ended = str((record.get("provenance") or {}).get("ended") or "")
    rest, beside = max(0.0, wall - train - evaluate), clock.get("cells_beside") or 0
    key = cell_work.reading_of(cell)
    size = cell_work.size_of_record(record)
    idle = (clock.get("start_s"), clock.get("between_s"))
    busy = clock.get("busy_beside")
    return Sample(work, size, train, evaluate, rest, beside, ended, key, _memory(record), busy, *idle)


def _memory(record: Mapping[str, Any]) -> int | None:
    """Return the bytes of a finished cell's process at its peak."""
    phases = [phase for name, phase in (record.get("memory") or {}).items() if name != "why_null"]
    peaks = [phase["process_bytes"] for phase in phases if isinstance(phase, Mapping) and phase.get("process_bytes")]
    return max(peaks, default=None)
