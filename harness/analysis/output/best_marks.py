"""The best and the second-best number of a column, and what cannot be told from the best. Torch-free."""

import math
from collections.abc import Collection, Mapping
from dataclasses import replace

from harness.analysis.output.table import Entry, Table

BEST, SECOND, TIE = "best", "second", "tie"
HIGHER, LOWER = 1, -1


def marked(table: Table, better: Mapping[str, int], left_out: Collection[int] = ()) -> Table:
    """Return the table with marks on its numbers: the best of a column, the second, and ties with the best.

    better: column -> HIGHER or LOWER. left_out: places of rows that are not compared, as untuned ones are. A number is
    tied with the best where its interval and the best one's overlap. A column with one number has no best.
    """
    rows = [list(row) for row in table.rows]
    for column, sense in better.items():
        at = table.columns.index(column)
        values = {place: _number(row[at], sense) for place, row in enumerate(rows) if place not in left_out}
        known = {place: value for place, value in values.items() if not math.isnan(value)}
        if len(known) < 2:
            continue
        ranked = sorted(set(known.values()), reverse=True)
        best = [rows[place][at] for place, value in known.items() if value == ranked[0]]
        for place, value in known.items():
            entry = rows[place][at]
            words = [name for name, level in zip((BEST, SECOND), ranked, strict=False) if value == level]
            words += [TIE] if value != ranked[0] and any(_overlap(entry, other) for other in best) else []
            rows[place][at] = replace(entry, mark=" ".join(words))
    return replace(table, rows=tuple(tuple(row) for row in rows))


def _number(entry: Entry, sense: int) -> float:
    """Return a number that is larger for a better entry; NaN for an entry without cells or without a number."""
    value = entry.value
    return sense * float(value) if entry.keys and isinstance(value, int | float) else math.nan


def _overlap(first: Entry, other: Entry) -> bool:
    ends = (first.low, first.high, other.low, other.high)
    if any(end is None or math.isnan(end) for end in ends):
        return False
    return bool(first.low <= other.high and other.low <= first.high)  # type: ignore[operator]
