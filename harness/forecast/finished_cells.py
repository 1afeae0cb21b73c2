"""Finished cells as samples: the work of each, and the seconds that it took. Torch-free."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from harness.forecast import cell_work
from harness.forecast.cell_work import Size, Work

NOTICED = 0.5
"""Cores of other work above which a cell counts as disturbed."""


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
    """Return a record as a sample. Where it does not divide its time, all of it counts as training."""
    clock = record.get("time") or {}
    wall = clock.get("wall_s")
    if record.get("status") != "done" or not isinstance(wall, int | float):
        return None
    train, evaluate = (float(clock.get(name) or 0.0) for name in ("train_s", "evaluate_s"))
    if not train + evaluate:
        train = float(wall)
    cell, reading = record["cell"], cell_work.read(record)
    work = cell_work.of(cell, reading)
    if clock.get("steps") is not None:
        work = replace(work, steps=int(clock["steps"]))
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
