"""The table of any cells of a store, with the names of those that have no score or an old one."""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from harness.analysis import cell_rows
from harness.analysis.output.table import Table
from harness.config import conf_files
from harness.errors import UsageError
from harness.experiments import exhibits
from harness.experiments.exhibits import Exhibit
from harness.experiments.grids.blocks import Block
from harness.store import archive, columns, identity, requested_grids
from harness.store.requested_grids import Grid
from harness.store.store import Store

if TYPE_CHECKING:
    from harness.analysis.study.measures import Flat, Measure
    from harness.analysis.study.study import Study

Fields = Mapping[str, Any]

DEFAULT = "method,task"


@dataclass(frozen=True)
class Choice:
    """The cells of a table.

    cells: key -> the cell as JSON, None where the store has to know it. exhibit: what reports them; None where they
    were chosen in other words.
    """

    name: str
    cells: Mapping[str, Fields | None]
    exhibit: Exhibit | None = None


@dataclass(frozen=True)
class Shown:
    """Tables, the lines below them, and every cell behind them with its state and its figure."""

    tables: tuple[Table, ...]
    states: tuple[str, ...]
    cells: tuple[Fields, ...]
    by: tuple[str, str]
    metric: str
    unit: str


def make(
    store: Store, choice: Choice, by: str | None = None, metric: str | None = None, sort: str | None = None,
    runs: Sequence[archive.Run] | None = None,
) -> Shown:  # fmt: skip
    """Return the tables of these cells.

    by: the axes of rows and columns. metric: a name of `measures.find`, or several with commas for one axis. sort: a
    heading. runs: the records of these cells, where they have been read. Raise UsageError for an axis, a metric or a
    heading that the cells do not have.
    """
    from harness.analysis.output import stale_marks
    from harness.analysis.study import axes, measures, study

    runs = archive.from_store(store, choice.cells, only_records=True) if runs is None else runs
    exhibit = choice.exhibit or plain(choice.name)
    known = _cells(store, choice, runs)
    named = (metric or exhibit.sets).split(",")
    chosen = axes.parse(by or (DEFAULT if len(named) == 1 else axes.METHOD), list(known.values()))
    flat = {run.record["key"]: columns.flat(run.record) for run in runs if run.record["status"] == "done"}
    many = [measures.find(name.strip(), flat, exhibit.sets) for name in named]
    if any(measure.score for measure in many):  # their intervals are for new test rows, as in an exhibit's tables
        runs = [replace(run, row_scores=store.row_scores(run.record)) for run in runs]
    rows = cell_rows.rows(store, choice.cells, known)
    _name_gaps(rows, requested_grids.noted(store))
    _values(rows, many, exhibit)
    states = tuple(cell_rows.states(rows))
    made = _tables(study.studies(exhibit, runs), many, chosen, sort)
    if not made:
        states = (nothing(many[0], flat), *states)
    stale = stale_marks.Stale.of(runs)
    made = [replace(table, notes=(*table.notes, *states)) for table in map(stale.marked, made)]
    unit = many[0].unit if len(many) == 1 else ""
    return Shown(tuple(made), states, tuple(rows), chosen, ", ".join(measure.title for measure in many), unit)


def _name_gaps(rows: Sequence[dict[str, Any]], noted: Iterable[Grid]) -> None:
    """Set why a cell has no record where a sweep has noted that it cannot run."""
    reasons = {key: gap.reason for grid in noted for gap in grid.gaps for key in gap.keys}
    for row in rows:
        if row["status"] == cell_rows.MISSING and row["key"] in reasons:
            row |= {"cannot_run": True, "why_null": reasons[row["key"]]}


def _tables(
    studies: "Sequence[Study]", many: "Sequence[Measure]", by: tuple[str, str], sort: str | None
) -> list[Table]:
    """Return the tables of one measure, or of several side by side."""
    from harness.analysis import pivot, pivot_join

    if len(many) == 1:
        return pivot.tables(studies, many[0], by, sort)
    if by[1]:
        names = ",".join(measure.name for measure in many)
        raise UsageError(
            f"--metric {names}: several figures stand in columns, so --by takes one axis, as --by {by[0]}."
        )
    titles = [measure.title for measure in many]
    leading = titles.index(sort) if sort in titles else 0
    made = [
        pivot.tables(studies, measure, by, sort if place == leading else None) for place, measure in enumerate(many)
    ]
    return pivot_join.joined(made, many, leading)


def plain(name: str, tuning: Iterable[int] = (), blocks: Sequence[Block] = ()) -> Exhibit:
    """Return cells that no exhibit reports as an exhibit of their own.

    tuning: seeds that only choose learning rates, where several were tried on them. blocks: those of the cells, whose
    own tuning seeds are never reported.
    """
    grids = {"": tuple(blocks)} if blocks else {}
    return Exhibit(name, title=name, source="", grids=grids, cells_of="", views=(), declared_tuning=frozenset(tuning))


def everything(store: Store, noted: Iterable[Grid]) -> Choice:
    """Return every cell of the store, in the order of the grids that ran there.

    Seeds on which an exhibit among them chose its learning rates are reported here no more than there.
    """
    name, noted, here = "everything in the store", list(noted), set(store.keys())
    ordered = [place.key for grid in noted for place in grid.places if place.key in here]
    ran = [exhibit for grid in noted if (exhibit := exhibit_of(grid))]
    tuning = {seed for exhibit in ran for seed in exhibit.tuning_seeds()}
    return Choice(name, dict.fromkeys([*ordered, *sorted(here)]), plain(name, tuning))


def exhibit_of(noted: Grid) -> Exhibit | None:
    """Return the exhibit that a grid is of; None for the grid of a sweep."""
    name, folders = noted.name.partition(" ")[0], conf_files.folders()[:-1]
    return exhibits.load(name, folders) if name in exhibits.names(folders) else None


def _cells(store: Store, choice: Choice, runs: Sequence[archive.Run]) -> dict[str, Fields]:
    """Return key -> the cell as JSON of every cell that is known, whether it has run or not."""
    cells = {run.record["key"]: run.record["cell"] for run in runs}
    for key, cell in choice.cells.items():
        if key not in cells and cell is not None:
            cells[key] = cell
        elif key not in cells:
            with suppress(UsageError):  # a grid from elsewhere names cells that were never registered here
                cells[key] = identity.to_json(store.cell(key))
    return cells


def _values(rows: list[dict[str, Any]], many: "Sequence[Measure]", exhibit: Exhibit) -> None:
    """Add the measures that are figures of a whole cell, by title, and drop test scores that must not be read."""
    for row in rows:
        if exhibit.sets != "test":
            row["test"] = None
        for measure in many:
            if measure.value is not None and not measure.per_set:
                row[measure.title] = measure.value(row["key"], "") if row["status"] == "done" else None


def nothing(measure: "Measure", flat: "Flat") -> str:
    """Return why a table is empty: no finished cell has the figure."""
    from harness.analysis.study import measures

    reasons = [] if measure.score else measures.why_null(measure.title, flat)
    if not flat:
        return "no cell has finished yet"
    return f"no finished cell has a {measure.title}" + (f": {'; '.join(reasons)}" if reasons else "")
