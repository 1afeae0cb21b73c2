"""Tables of any cells: a figure by two axes, with the intervals, the choice of rates and the marks of the exhibits.

Seeds are averaged, and so are tasks where no axis is a task, if one metric scores all of them. Rates are chosen on
validation. Whatever else tells cells apart has a row, a column or a table of its own.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.analysis import pivot_notes, pivot_rows
from harness.analysis.output import rate_marks
from harness.analysis.output.table import MISSING, Entry, Table, number, word
from harness.analysis.pivot_notes import Remarks
from harness.analysis.study import axes, estimates, selection
from harness.analysis.study.measures import Measure
from harness.analysis.study.study import Study
from harness.errors import UsageError, near

if TYPE_CHECKING:
    import pandas as pd

MEAN, N, CHOSEN_RATE, GUESSING = "mean", "n", "rate", "guessing"
CHOSEN = " *"
APART = "`deltabench table --by method,task` shows each"
Cells = tuple[Entry, ...]
_OF_TASKS = (axes.TASK, axes.SET)
_IN_COLUMNS = (*_OF_TASKS, "")
"""Axes of columns, each of which has its own tasks and sets."""


def tables(studies: Sequence[Study], measure: Measure, by: tuple[str, str], sort: str | None = None) -> list[Table]:
    """Return one table for every model, and for whatever else is on no axis and may not be averaged.

    Where an axis is a field of models, one table has all of them, and models that share its value are averaged.
    by: the axes of rows and columns; "" for one column. sort: the heading of the column by which rows are sorted, the
    best number first.
    """
    import pandas as pd

    parts = [pivot_rows.of(study, measure, by) for study in studies]
    rows = pd.concat([part for part in parts if len(part)]) if any(map(len, parts)) else None
    if rows is None:
        return []
    cells = dict(zip(rows.key, rows.cell, strict=True))
    placed = axes.placed(rows, cells, by)
    made = [_Pivot(group, str(name), measure, by) for name, group in placed.groupby("table", sort=False)]
    return [part.table(sort) for part in made]


@dataclass
class _Pivot:
    """One table in the making. rows: of scores, placed (see `axes.placed`)."""

    rows: "pd.DataFrame"
    name: str
    measure: Measure
    by: tuple[str, str]
    remarks: Remarks = field(default_factory=Remarks)

    def table(self, sort: str | None) -> Table:
        """Return the table."""
        columns = axes.ordered(self.by[1], self.rows.column)
        made = [self._row(label, columns) for label in axes.ordered(self.by[0], self.rows.row)]
        heads = self._heads(columns)
        made = self._sorted(made, heads, sort)
        made += self._extra(columns)
        notes = tuple(pivot_notes.lines(self.rows, self.measure, self.by, self.remarks, self._has_rates()))
        return Table("table", self._title(), self.name, heads, tuple(made), notes)

    def _title(self) -> str:
        across = " and ".join(filter(None, self.by))
        unit = f" ({self.measure.unit})" if self.measure.unit else ""
        title = self.measure.title.capitalize() if self.measure.score else self.measure.title
        return f"{title}{unit} by {across}"

    def _means(self) -> dict[str, "pd.DataFrame"]:
        """Return heading -> rows of the means over the columns, where these are tasks: one for each metric."""
        if self.by[1] not in _OF_TASKS or self.rows.column.nunique() < 2:
            return {}
        if not self.measure.score or self.rows.metric.nunique() < 2:
            return {MEAN: self.rows}
        groups = {str(metric): group for metric, group in self.rows.groupby("metric", sort=False)}
        return {f"{MEAN} {metric}": group for metric, group in groups.items() if group.column.nunique() > 1}

    def _heads(self, columns: Sequence[str]) -> tuple[str, ...]:
        shown = [self._marked(column, axis=1) if self.by[1] else self._alone(column) for column in columns]
        tail = ([] if "seed" in self.by else [N]) + ([CHOSEN_RATE] if self._has_rates() else [])
        return (self.by[0], *shown, *self._means(), *tail)

    def _alone(self, column: str) -> str:
        """Return the heading of a column without an axis: the measure, or its part by one metric."""
        return f"{self.measure.role} {column}" if column else self.measure.title

    def _has_rates(self) -> bool:
        """Return whether each row is one arm, whose rates a column can show."""
        return axes.RATE not in self.by and bool((self.rows.groupby("row").arm.nunique() == 1).all())

    def _row(self, label: str, columns: Sequence[str]) -> Cells:
        mine = self.rows[self.rows.row == label]
        inside = mine if self.by[0] in _OF_TASKS or axes.groups_models(self.by[0]) else self.rows
        own = self.by[1] in _IN_COLUMNS or axes.groups_models(self.by[1])
        entries = [
            self._entry(mine[mine.column == column], inside[inside.column == column] if own else inside)
            for column in columns
        ]
        means = [self._entry(group[group.row == label], group) for group in self._means().values()]
        tail = [] if "seed" in self.by else [_count(mine)]
        tail += [self._rate(mine)] if self._has_rates() else []
        return (self._head(label, mine), *entries, *means, *tail)

    def _head(self, label: str, mine: "pd.DataFrame") -> Entry:
        return Entry(self._marked(label, axis=0), label, keys=_keys(mine))

    def _marked(self, label: str, axis: int) -> str:
        """Return a method's label with the mark of an untuned rate, which concerns scores alone."""
        mine = self.rows[(self.rows.row, self.rows.column)[axis] == label]
        marked = self.by[axis] == axes.METHOD and self.measure.score and bool(mine.untuned.all())
        self.remarks.untuned |= marked
        return f"{label} ({rate_marks.UNTUNED})" if marked else label

    def _entry(self, mine: "pd.DataFrame", whole: "pd.DataFrame") -> Entry:
        """Return the mean of these rows. whole: rows with every task and set that the mean needs: it lacks none."""
        if mine.empty:
            return Entry(MISSING)
        keys = _keys(mine)
        if reason := self._mixed(mine):
            self.remarks.sentences.setdefault(reason)
            return Entry(MISSING, keys=keys)
        if set(self._places(whole)) - set(self._places(mine)):
            self.remarks.sentences.setdefault("not every cell has a score: a mean over tasks needs one on every task")
            return Entry(MISSING, keys=keys)
        return self._number(mine, keys)

    def _number(self, mine: "pd.DataFrame", keys: tuple[str, ...]) -> Entry:
        models = list(mine.model.unique()) if self._groups_models() else []
        if len(models) > 1:
            self.remarks.sentences.setdefault(f"mean over the models {', '.join(models)}, where a place has several")
            mine = mine.assign(task=mine.task + " of " + mine.model)
        panel = selection.panel(mine.assign(arm="all"), self.measure.role, (), scores=self.measure.score)
        made = number(estimates.score(panel, "all"), self.measure.factor, self._digits())
        return replace(made, text=made.text + self._marks(mine), keys=keys)

    def _groups_models(self) -> bool:
        """Return whether several models may stand in one place of the table."""
        return any(map(axes.groups_models, self.by))

    def _places(self, rows: "pd.DataFrame") -> list[tuple[str, ...]]:
        """Return what a mean is over: every task and set, of every model where a place may have several."""
        of_model = list(rows.model) if self._groups_models() else [""] * len(rows)
        return list(dict.fromkeys(zip(rows.plain_task, rows["set"], of_model, strict=True)))

    def _marks(self, mine: "pd.DataFrame") -> str:
        """Return the arrows of rates at an edge or, where rates are an axis, the mark of the chosen one."""
        tasks = mine.drop_duplicates(["model", "task", "arm"])
        if axes.RATE in self.by:
            count = int((tasks.is_chosen & tasks.trains & (tasks.tried > 1)).sum())
            self.remarks.chosen |= count > 0
            return (CHOSEN + (str(count) if len(tasks) > 1 else "")) if count else ""
        arrows = rate_marks.at_edges(list(tasks.edge)) if self.measure.score else ""
        self.remarks.arrows |= bool(arrows)
        return arrows

    def _mixed(self, mine: "pd.DataFrame") -> str:
        """Return why these rows have no common mean; "" where they have one."""
        if reason := self._of_several(mine):
            return reason
        twice = mine[mine.duplicated(["model", "task", "set", "seed"], keep=False)]
        if len(twice):
            listed = ", ".join(key[:12] for key in _keys(twice)[:4])
            return f"no mean over cells that these axes do not tell apart: {listed}"
        return ""

    def _of_several(self, mine: "pd.DataFrame") -> str:
        """Return why the tasks of these rows have no common mean; "" where they have one."""
        metrics = mine.drop_duplicates(["task", "metric"])
        if self.measure.score and metrics.metric.nunique() > 1:
            by_metric = {str(name): ", ".join(group.task) for name, group in metrics.groupby("metric", sort=False)}
            listed = "; ".join(f"{tasks} by {name}" for name, tasks in by_metric.items())
            return f"no mean over tasks that different metrics score ({listed}): {APART}"
        versions: dict[str, list[str]] = {}
        for label, cell in dict(zip(mine.task, mine.cell, strict=True)).items():
            versions.setdefault(cell["task"]["name"], []).append(label)
        if several := [label for labels_of in versions.values() if len(labels_of) > 1 for label in labels_of]:
            return f"no mean over versions of one task ({', '.join(several)}): {APART}"
        return ""

    def _rate(self, mine: "pd.DataFrame") -> Entry:
        trained = mine[mine.trains].drop_duplicates(["model", "task", "arm"])
        if trained.empty:
            return Entry(MISSING)
        text = rate_marks.span(list(trained.learning_rate)) + rate_marks.at_edges(list(trained.edge))
        self.remarks.arrows |= any(trained.edge)
        return Entry(text, text)

    def _extra(self, columns: Sequence[str]) -> list[Cells]:
        """Return the row of guessing, where the columns are tasks and the numbers their test scores."""
        if self.measure.name != "test" or self.by[1] not in _OF_TASKS:
            return []
        groups = [self.rows[self.rows.column == column] for column in columns] + list(self._means().values())
        made = [word(GUESSING), *(Entry(MISSING) if self._of_several(group) else _guess(group) for group in groups)]
        return [(*made, *[Entry("")] * (len(self._heads(columns)) - len(made)))]

    def _digits(self) -> int:
        """Return the decimals that show three digits of a typical number; one for scores."""
        if self.measure.unit.startswith("points"):
            return 1
        size = self.measure.factor * float(self.rows.score.abs().median())
        whole = bool((self.rows.score * self.measure.factor % 1 == 0).all())
        return 0 if whole or size == 0 else max(0, 2 - math.floor(math.log10(size)))

    def _sorted(self, made: list[Cells], heads: tuple[str, ...], sort: str | None) -> list[Cells]:
        """Return the rows in order: by the column `sort`, else arms by their mean, else by the axis itself.

        Untuned arms stand last, as in the exhibits, because a better rate could change their place.
        """
        bare = [head.removesuffix(f" ({rate_marks.UNTUNED})") for head in heads]
        if sort is not None and sort not in bare:
            raise UsageError(f"--sort {sort}: the table has no such column.{near(sort, bare)}")
        if sort is None and (self.by[0] != axes.METHOD or not self.measure.score or axes.RATE in self.by):
            return made
        at = bare.index(sort or next((head for head in heads if head.startswith(MEAN)), bare[1]))
        last = set(self.rows[self.rows.untuned].row) if sort is None else set()

        def place(row: Cells) -> tuple[bool, bool, Any]:
            """Return the sort key of a row."""
            value = row[at].value
            late = str(row[0].value) in last
            if late or not isinstance(value, int | float):
                return late, True, "" if late or value is None else str(value)
            return late, False, -value if self.measure.higher and heads[at] != N else value

        return sorted(made, key=lambda row: (*place(row)[:2], _comparable(place(row)[2])))


def _comparable(value: Any) -> tuple[float, str]:
    return (value, "") if isinstance(value, int | float) else (0.0, str(value))


def _keys(rows: "pd.DataFrame") -> tuple[str, ...]:
    return tuple(dict.fromkeys(map(str, rows.key)))


def _count(rows: "pd.DataFrame") -> Entry:
    """Return the number of seeds, or its range over columns and tasks."""
    counts = rows.groupby(["column", "task", "set"]).seed.nunique()
    low, high = int(counts.min()), int(counts.max())
    return Entry(f"{low}" if low == high else f"{low} to {high}", low if low == high else f"{low} to {high}")


def _guess(rows: "pd.DataFrame") -> Entry:
    """Return the mean over tasks and sets of the score of guessing: the better of chance and the majority class."""
    sets = rows.drop_duplicates(["task", "set"])
    base = np.fmax(sets.chance.to_numpy(dtype=float), sets.majority.to_numpy(dtype=float))
    mean = float(base.mean())
    return Entry(MISSING) if math.isnan(mean) else Entry(f"{100 * mean:.1f}", 100 * mean)
