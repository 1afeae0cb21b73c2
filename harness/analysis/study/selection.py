"""The choice of the learning rate and of the checkpoint. It is made here, never in training.

clean: the checkpoint and the rate with the best validation score; reported scores never select.
paper: both chosen on the reported score itself, as the papers' code does; optimistic, shown beside.
"""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.analysis.study.statistics import Array
from harness.experiments.rates import rate_choice
from tasks.metrics import row_figures
from tasks.metrics.label_metrics import BY_ROW, SIGNED

if TYPE_CHECKING:
    import pandas as pd

RULES = {"clean": ("best", "validation"), "paper": ("peak", "test")}
PLACE = ["model", "task", "arm"]
_WORDS = re.compile(r"\d+\.?\d*|\D+")
HIGHEST = 1.0
"""Of every metric (tasks/metrics/label_metrics.py)."""


def rates(scores: "pd.DataFrame", rule: str = "clean", failures: "pd.DataFrame | None" = None) -> "pd.DataFrame":
    """Return the chosen rate of every model x task x arm, indexed by these.

    Columns: learning_rate; tried (how many rates); edge ("lowest", "highest" or ""); mean (the score that
    chose); seeds (how many the rates were compared on). The rule is in `harness/experiments/rates/rate_choice.py`.
    """
    import pandas as pd

    checkpoint, role = RULES[rule]
    scored = scores[(scores.checkpoint == checkpoint) & (scores.role == role)]
    rows, broken = [], _broken(failures)
    for place, group in scored.groupby(PLACE, sort=False):
        table = group.groupby(["learning_rate", "seed"]).score.mean().unstack()
        rows.append(dict(zip(PLACE, place, strict=True)) | choose(table, broken.get(place)))
    columns = [*PLACE, "learning_rate", "tried", "edge", "mean", "seeds"]
    return pd.DataFrame(rows, columns=columns).set_index(PLACE)


def choose(table: "pd.DataFrame", broken: Mapping[float, str] | None = None) -> dict[str, float | int | str]:
    """Return the best rate of a table (rates x seeds, or rates x other conditions that all rates were scored on).

    broken: the rates at which a seed diverged or ran out of memory, and which of the two.
    """
    scores = {
        float(rate): {column: score for column, score in zip(table.columns, row, strict=True) if not np.isnan(score)}
        for rate, row in zip(table.index, table.to_numpy(float).tolist(), strict=True)
    }
    return asdict(rate_choice.choose(scores, broken))


def chosen(scores: "pd.DataFrame", rule: str = "clean", failures: "pd.DataFrame | None" = None) -> "pd.DataFrame":
    """Return the rows of `scores` at the chosen rate and checkpoint."""
    checkpoint, _ = RULES[rule]
    return at_chosen(scores[scores.checkpoint == checkpoint], rates(scores, rule, failures))


def at_chosen(rows: "pd.DataFrame", picked: "pd.DataFrame") -> "pd.DataFrame":
    """Return the rows at the learning rate that `rates` chose for their model, task and arm."""
    joined = rows.join(picked["learning_rate"].rename("chosen"), on=PLACE)
    return joined[joined.learning_rate == joined.chosen].drop(columns="chosen")


def broken_rates(failures: "pd.DataFrame") -> dict[float, str]:
    """Return the rates at which one of the failures diverged or ran out of memory, and which of the two."""
    return rate_choice.breaks(zip(failures.learning_rate, failures.status, strict=True))


def _broken(failures: "pd.DataFrame | None") -> dict[Any, dict[float, str]]:
    """Return (model, task, arm) -> the rates at which one of its cells diverged or ran out of memory."""
    if failures is None:
        return {}
    return {place: broken_rates(group) for place, group in failures.groupby(PLACE, sort=False)}


@dataclass(frozen=True)
class Panel:
    """The selected scores of one model, as arrays for the statistics.

    values: [A, T, S] reported scores, NaN where missing. keys: [A, T, S] the cells behind, "" where missing.
    rows: [T] examples in the set (NaN unknown). base: [T] the score of guessing: the better of chance and the majority.
    by_row: [T] whether a value is the mean over these rows of figures from 0 to 1.
    row_scores: [A, T, S] what each of the rows scored, [rows] from 0 to 1, or None where it is not known.
    best: the highest possible value; NaN where it is not known.
    bounds: [T] the lowest and the highest possible value, by which intervals are cut; empty where they are not known.
    """

    arms: tuple[str, ...]
    tasks: tuple[str, ...]
    seeds: tuple[int, ...]
    values: Array
    keys: "np.ndarray[tuple[int, ...], np.dtype[np.object_]]"
    rows: Array
    base: Array
    by_row: "np.ndarray[tuple[int, ...], np.dtype[np.bool_]]"
    best: float = np.nan
    bounds: tuple[tuple[float, float], ...] = ()
    row_scores: "np.ndarray[tuple[int, ...], np.dtype[np.object_]] | None" = None

    def of(self, arm: str) -> Array:
        """Return the values [T, S] of one arm; all NaN for an arm that the panel lacks."""
        return self.values[self.arms.index(arm)] if arm in self.arms else self.values[:0].sum(axis=0) * np.nan

    def at(self, tasks: Sequence[int]) -> "Panel":
        """Return the panel with some of its tasks."""
        places = np.asarray(tasks, dtype=int)
        values, keys = self.values[:, places], self.keys[:, places]
        named = tuple(self.tasks[index] for index in places)
        rows, base, by_row = self.rows[places], self.base[places], self.by_row[places]
        bounds = tuple(self.bounds[index] for index in places) if self.bounds else ()
        row_scores = None if self.row_scores is None else self.row_scores[:, places]
        return replace(
            self, tasks=named, values=values, keys=keys, rows=rows, base=base, by_row=by_row, bounds=bounds,
            row_scores=row_scores,
        )  # fmt: skip

    def at_best(self, keys: Collection[str]) -> "Panel":
        """Return the panel with the highest possible score in these cells."""
        raised = np.isin(self.keys, list(keys))
        row_scores = None if self.row_scores is None else self.row_scores.copy()
        if row_scores is not None:
            row_scores[raised] = None
        return replace(self, values=np.where(raised, self.best, self.values), row_scores=row_scores)

    def scored(self, arm: str, task: int, seeds: "np.ndarray[tuple[int, ...], np.dtype[np.bool_]]") -> "Array | None":
        """Return what each row of a task scored with one arm at these seeds, [S, rows]; None where it is not known."""
        if self.row_scores is None or arm not in self.arms:
            return None
        figures = list(self.row_scores[self.arms.index(arm), task][seeds])
        if not figures or any(rows is None for rows in figures) or len({rows.shape for rows in figures}) > 1:
            return None
        return np.stack(figures)

    def cells(self, *arms: str) -> tuple[str, ...]:
        """Return the keys of the cells of these arms."""
        keys = (key for arm in arms if arm in self.arms for key in self.keys[self.arms.index(arm)].flat)
        return tuple(str(key) for key in keys if key)


def only(whole: Panel, arms: tuple[str, ...]) -> Panel:
    """Return the panel with these arms alone."""
    at = [whole.arms.index(arm) for arm in arms]
    row_scores = None if whole.row_scores is None else whole.row_scores[at]
    return replace(whole, arms=arms, values=whole.values[at], keys=whole.keys[at], row_scores=row_scores)


def panel(
    rows: "pd.DataFrame",
    role: str,
    order: tuple[str, ...],
    scores: bool = False,
    bounds: tuple[float, float] | None = None,
) -> Panel:
    """Return the reported scores of one model's selected rows as arrays.

    order: methods first named come first; a method's arms by the numbers in their names, then by text. Tasks as they
    first come, and a task's columns by the numbers in their names, in whatever order the records come.
    scores: whether the values are those of the tasks' metrics, and not something that a probe measured.
    bounds: the lowest and the highest possible value of what a probe measured.
    """
    rows = rows[rows.role == role].assign(column=lambda frame: columns(frame))
    arms = tuple(sorted(rows.arm.unique(), key=lambda arm: arm_place(arm, order)))
    tasks = in_order(rows.column.unique())
    seeds = tuple(sorted(int(seed) for seed in rows.seed.unique()))
    values = np.full((len(arms), len(tasks), len(seeds)), np.nan)
    keys = np.full(values.shape, "", dtype=object)
    size, base = np.full(len(tasks), np.nan), np.full(len(tasks), np.nan)
    by_row, ends = np.zeros(len(tasks), dtype=bool), [bounds] * len(tasks)
    row_scores = np.full(values.shape, None, dtype=object)
    for row in rows.itertuples():
        task = tasks.index(row.column)
        at = arms.index(row.arm), task, seeds.index(row.seed)
        values[at], keys[at] = row.score, row.key
        size[task] = _number(row.rows)
        base[task] = np.fmax(_number(row.majority), _number(row.chance))
        by_row[task] = scores and row.metric in BY_ROW and size[task] > 0
        row_scores[at] = _row_scores(row.row_scores, float(values[at])) if by_row[task] else None
        ends[task] = (-HIGHEST if row.metric in SIGNED else 0.0, HIGHEST) if scores else bounds
    known = tuple(end for end in ends if end is not None)
    best = HIGHEST if scores else np.nan
    return Panel(arms, tasks, seeds, values, keys, size, base, by_row, best, known, row_scores)


def _row_scores(packed: Any, score: float) -> "Array | None":
    """Return what each row scored, from 0 to 1; None where it is not known, or where its mean is not the score."""
    if not isinstance(packed, str):
        return None
    try:
        figures = np.frombuffer(row_figures.unpack(packed), dtype=np.uint8) / row_figures.PARTS
    except ValueError:
        return None
    return figures if len(figures) and abs(figures.mean() - score) < 1 / row_figures.PARTS else None


def _number(value: Any) -> float:
    """Return NaN for a missing value, which pandas keeps as NaN in a numeric column and as None in others."""
    return np.nan if value is None else float(value)


def columns(rows: "pd.DataFrame") -> "pd.Series[str]":
    """Return the column of a score: its task, or `task:set` where a task reports several sets."""
    several = rows.groupby("task")["set"].transform("nunique") > 1
    return rows.task.where(~several, rows.task + ":" + rows["set"])


def arm_place(arm: str, order: tuple[str, ...]) -> tuple[int, list[tuple[float, str]]]:
    """Return the sort key of an arm: its method's place in `order`, then the numbers in its name, then its text."""
    name = arm.split(" ")[0]
    return order.index(name) if name in order else len(order), by_numbers(arm)


def in_order(columns: Iterable[str]) -> tuple[str, ...]:
    """Return columns by their tasks' first appearance; those of one task by their numbers."""
    tasks = list(dict.fromkeys(column.split(" ")[0] for column in columns))
    return tuple(sorted(columns, key=lambda column: (tasks.index(column.split(" ")[0]), by_numbers(column))))


def by_numbers(text: str) -> list[tuple[float, str]]:
    """Return the sort key of a name, in which numbers count as numbers: the name with 64 is before that with 256."""
    return [(float(word), "") if word[0].isdigit() else (-1.0, word) for word in _WORDS.findall(text)]
