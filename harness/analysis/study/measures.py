"""What a table of cells shows: a score, or any other figure of a record by the name of its column."""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from harness.analysis.study.frame import ANSWERS
from harness.errors import UsageError, near
from harness.store import columns
from harness.store.columns import FRACTION, WHOLE

if TYPE_CHECKING:
    import pandas as pd

Flat = Mapping[str, columns.Row]

ROLES = ("test", "validation")
SHORT = {
    "step_time": "time.step_ms.median",
    "train_time": "time.train_s",
    "flops": "flops.step",
    "parameters": "parameters.delta",
}
"""Short names of figures; MEMORY is one of two."""
MEMORY = "memory"
_PEAKS = ("memory.train.torch_allocated_bytes", "memory.train.live_bytes")
"""The peak of training: of torch's allocator where every cell has it, else of the counted storages."""
_UNITS = (
    (r"bytes$", 1e-6, "MB"),
    (r"_per_s$|\.per_s$", 1.0, "per second"),
    (r"_s$", 1.0, "seconds"),
    (r"_ms\b", 1.0, "milliseconds"),
    (r"^flops\.step$", 1e-9, "GFLOP per step"),
    (r"^device\.energy_j", 1.0, "joules"),
)
_COUNTED = re.compile(r"\.(n|step)$")


@dataclass(frozen=True)
class Measure:
    """A figure that a table shows.

    title: for the table's head. unit: of the shown numbers, which are the records' times `factor`. score: whether it is
    each task's own metric. role: of the sets that it is read from, test or validation. higher: whether more is better.
    value: (key, set) -> the figure, None where it is null; None for the task's own metric.
    """

    name: str
    title: str
    factor: float
    unit: str
    role: str
    score: bool = False
    higher: bool = False
    per_set: bool = True
    value: Callable[[str, str], Any] | None = None

    def of(self, rows: "pd.DataFrame") -> "pd.DataFrame":
        """Return the rows of scores with this figure as their score; rows without one are left out."""
        rows = rows[rows.role == self.role]
        if self.value is None:
            return rows
        rows = rows.assign(metric=self.title)
        rows = rows if self.per_set else rows.drop_duplicates(["key"]).assign(set="")
        figures = [self.value(key, name) for key, name in zip(rows.key, rows["set"], strict=True)]
        rows = rows.assign(score=[math.nan if figure is None else float(figure) for figure in figures])
        return rows[rows.score.notna()]


def find(name: str, flat: Flat, reported: str = "test") -> Measure:
    """Return the measure of this name. Raise UsageError for a name that no finished cell has.

    flat: key -> the record's columns, of the finished cells. reported: the role of the sets that are reported.
    """
    if name in ROLES:
        if name == "test" != reported:
            raise UsageError(
                "metric test: this exhibit reads validation scores only, because it chooses learning rates."
            )
        return Measure(name, f"{name} score", 100.0, "points of 100", name, score=True, higher=True)
    figures = sorted(
        {column.rpartition(".")[2] for row in flat.values() for column in row if _scored(column, reported)}
    )
    if name in figures:
        factor, unit = (1.0, "") if name == "n" else (100.0, "points of 100")
        return Measure(
            name, f"{name} on the {reported} sets", factor, unit, reported, higher=name not in ANSWERS,
            value=lambda key, where: _number(flat[key].get(f"scores.best.{where}.{name}")),
        )  # fmt: skip
    column = _column(name, flat, figures)
    factor, unit = next(((factor, unit) for at, factor, unit in _UNITS if re.search(at, column)), (1.0, ""))
    if column.startswith("scores.") and not _COUNTED.search(column):
        factor, unit = 100.0, "points of 100"
    return Measure(
        name, column, factor, unit, reported, higher=column.startswith("scores."), per_set=False,
        value=lambda key, _: _number(flat[key].get(column)),
    )  # fmt: skip


def names(flat: Flat) -> list[str]:
    """Return every column of numbers that a finished cell has."""
    kinds = columns.kinds(flat.values())
    fields = ("method.", "model.", "task.", "recipe.")
    return [name for name, kind in kinds.items() if kind in (WHOLE, FRACTION) and not name.startswith(fields)]


def why_null(name: str, flat: Flat) -> list[str]:
    """Return the reasons why figures of a column's section are null, each once."""
    start = f"{name.partition('.')[0]}.why_null."
    return sorted({str(value) for row in flat.values() for place, value in row.items() if place.startswith(start)})


def _scored(column: str, reported: str) -> bool:
    parts = column.split(".")
    return (
        column.startswith("scores.best.")
        and len(parts) == 4
        and (parts[2:3] == ["validation"]) == (reported == "validation")
    )


def _column(name: str, flat: Flat, figures: Sequence[str]) -> str:
    """Return the column of a name: a whole one, its end, or a short name."""
    if name == MEMORY:
        rows = [row for row in flat.values() if any(row.get(peak) is not None for peak in _PEAKS)]
        return _PEAKS[0] if rows and all(row.get(_PEAKS[0]) is not None for row in rows) else _PEAKS[1]
    known, wanted = names(flat), SHORT.get(name, name)
    matching = [column for column in known if column == wanted or column.endswith(f".{wanted}")]
    if wanted in matching or len(matching) == 1:
        return wanted if wanted in matching else matching[0]
    if matching:
        raise UsageError(f"metric {name} is one of {', '.join(matching)}: name one.")
    raise UsageError(f"no cell has a metric {name!r}.{near(name, [*ROLES, MEMORY, *SHORT, *figures], known)}")


def _number(value: Any) -> float | None:
    return columns.cast(value, FRACTION)
