"""The parts of a day in order of worth. Torch is not imported."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from harness.gpu_day import (
    gpu_tests,
    memory_peaks,
    readings,
    real_training,
    short_cells,
    side_by_side,
    step_rates,
)
from harness.gpu_day.day import Day, Row


@dataclass(frozen=True)
class Part:
    """One part.

    - letter, name: how it is named.
    - rows: yields the rows that are not there yet, until a deadline in seconds since the epoch.
    - lines: the lines of the summary.
    - weight: its share of the time against the other parts. What a part leaves goes to those after it.
    """

    letter: str
    name: str
    rows: Callable[[Day, float], Iterator[Row]]
    lines: Callable[[Sequence[Row]], list[str]]
    weight: float


PARTS = (
    Part("a", gpu_tests.NAME, gpu_tests.rows, gpu_tests.lines, 16),
    Part("b", short_cells.NAME, short_cells.rows, short_cells.lines, 26),
    Part("c", memory_peaks.NAME, memory_peaks.rows, memory_peaks.lines, 20),
    Part("d", step_rates.NAME, step_rates.rows, step_rates.lines, 22),
    Part("e", side_by_side.NAME, side_by_side.rows, side_by_side.lines, 8),
    Part("f", readings.NAME, readings.rows, readings.lines, 6),
    Part("g", real_training.NAME, real_training.rows, real_training.lines, 10),
)


def shares(parts: Sequence[Part], place: int, left: float) -> float:
    """Return the seconds of the part at a place, of those that are left for it and the parts after it."""
    return left * parts[place].weight / sum(part.weight for part in parts[place:])
