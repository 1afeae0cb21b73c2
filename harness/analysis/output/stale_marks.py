"""Marks of stale cells: a column in tables, a line over figures, a sentence on the page. Torch-free."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from harness.analysis.output import proofs
from harness.analysis.output.table import MISSING, Entry, Table
from harness.store.archive import Run

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from harness.analysis.output.proofs import Proof

COLUMN = "stale"
NOTE = "stale: how many of the cells behind the row are by other code than today's; rerun=stale runs them again"


@dataclass(frozen=True)
class Stale:
    """The finished cells of an exhibit that are not by today's code.

    reasons: key -> reason. cells: how many have finished. changed: how many of these were run with uncommitted changes.
    """

    reasons: Mapping[str, str]
    cells: int
    changed: int

    @classmethod
    def of(cls, runs: Sequence[Run], proof: "Proof | None" = None) -> "Stale":
        """Return the marks of these runs."""
        done = [run.record for run in runs if run.record["status"] == "done"]
        changed = sum((record.get("provenance") or {}).get("git_changed") is True for record in done)
        return cls(proofs.stale(runs, proof), len(done), changed)

    def lines(self) -> list[str]:
        """Return the sentences for the page and the terminal; none where all is current."""
        lines = []
        if self.reasons:
            counts = Counter(self.reasons.values()).most_common()
            rest = f"; and {len(counts) - 1} other reasons" if len(counts) > 1 else ""
            why = f"{counts[0][0]} ({counts[0][1]} cells){rest}"
            lines.append(f"{self.short()}: {why}; rerun=stale runs them again")
        if self.changed:
            lines.append(f"{self.changed} of {self.cells} cells were run by code with uncommitted changes")
        return lines

    def short(self) -> str:
        """Return "3 of 24 cells are stale", or "" where none is."""
        return f"{len(self.reasons)} of {self.cells} cells are stale" if self.reasons else ""

    def marked(self, table: Table) -> Table:
        """Return the table with a column of its stale cells; the same table where it has none."""
        counts = [_count(row, self.reasons) for row in table.rows]
        if not any(count.value for count in counts):
            return table
        rows = tuple((*row, count) for row, count in zip(table.rows, counts, strict=True))
        return replace(table, columns=(*table.columns, COLUMN), rows=rows, notes=(*table.notes, NOTE))

    def over(self, figure: "Figure") -> None:
        """Write above a figure how many cells are stale."""
        if self.reasons:
            above = figure.get_suptitle()
            figure.suptitle(f"{above}\n{self.short()}" if above else self.short(), fontsize=8, color="#b00000")

    def to_json(self) -> dict[str, Any]:
        """Return the counts and the key of every stale cell with its reason."""
        return {"cells": self.cells, "stale": dict(self.reasons), "with_uncommitted_changes": self.changed}


def _count(row: Sequence[Entry], reasons: Mapping[str, str]) -> Entry:
    """Return the entry of one row: "2 of 9"."""
    keys = {key for entry in row for key in entry.keys}
    known = len(keys & set(reasons))
    return Entry(f"{known} of {len(keys)}", known, keys=tuple(sorted(keys & set(reasons)))) if keys else Entry(MISSING)
