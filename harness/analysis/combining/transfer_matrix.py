"""Deltas of one task on another: ratios to the target's own delta, and what is missing.

The cells of an exhibit are trained cells of several tasks, and cells without steps that evaluate one of these on some
task. A ratio is the score of such a cell, over the score of the cell of the same method and seed that was trained on
the target. The paper's sentence leaves open whose score divides; here it is the target's own.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from harness.analysis.output import notes, rate_marks
from harness.analysis.output.table import MISSING, Entry, Table, number, word
from harness.analysis.study import estimates, selection, statistics
from harness.analysis.study.estimates import Estimate
from harness.analysis.study.statistics import Array
from harness.analysis.study.study import Study

GUESSING, OWN = "guessing", "own delta, points"


@dataclass(frozen=True)
class Matrix:
    """arms: the methods whose deltas are moved. tasks: by category, as in `categories`; seeds: in order.

    ratios: [A, T, T, S] source by target; NaN where a cell or the target's own is missing. keys: of each, the
    cells behind it: that which evaluates, and those that trained the delta and the target's own.
    guessing: [A, T, S] the score of guessing over that of the own delta; NaN where the own delta is missing.
    """

    arms: tuple[str, ...]
    tasks: tuple[str, ...]
    categories: Mapping[str, str]
    seeds: tuple[int, ...]
    ratios: Array
    keys: "np.ndarray[tuple[int, ...], np.dtype[np.object_]]"
    guessing: Array

    def pairs(self, chosen: Callable[[str, str], bool]) -> list[tuple[int, int]]:
        """Return the places (source, target) of different tasks for which `chosen` holds."""
        places = range(len(self.tasks))
        return [
            (source, target) for source in places for target in places
            if source != target and chosen(self.tasks[source], self.tasks[target])
        ]  # fmt: skip

    def guess(self, arm: int, target: int) -> float:
        """Return the ratio that guessing has on a task, mean over the seeds that have one; NaN without any."""
        known = self.guessing[arm, target][~np.isnan(self.guessing[arm, target])]
        return float(known.mean()) if len(known) else np.nan

    def whole(self, arm: str, pairs: list[tuple[int, int]]) -> list[tuple[int, int]]:
        """Return the pairs that have a ratio at every seed at which any delta of this method was moved.

        Another method may have more seeds, and another exhibit may have trained cells at further ones.
        """
        ratios = self.ratios[self.arms.index(arm)]
        seeds = ~np.isnan(ratios).all(axis=(0, 1))
        return [pair for pair in pairs if seeds.any() and not np.isnan(ratios[pair][seeds]).any()]

    def mean(self, arm: str, pairs: list[tuple[int, int]]) -> tuple[Array, tuple[str, ...], int]:
        """Return ([S] mean ratio over these pairs, NaN at other seeds, their cells, how many pairs lack a seed and do
        not count).
        """
        place, whole = self.arms.index(arm), self.whole(arm, pairs)
        if not whole:
            return np.full(len(self.seeds), np.nan), (), len(pairs)
        values = np.mean([self.ratios[place][pair] for pair in whole], axis=0)
        cells = dict.fromkeys(key for pair in whole for cell_keys in self.keys[place][pair] for key in cell_keys)
        return values, tuple(cells), len(pairs) - len(whole)


def read(study: Study) -> Matrix:
    """Return the ratios of a study's records."""
    rows = study.reported_rows[(study.reported_rows.checkpoint == "best") & (study.reported_rows.role == study.role)]
    moved = rows[[bool(cell.get("parents")) for cell in rows.cell]]
    own = rows[[not cell.get("parents") for cell in rows.cell]]
    origin = {row["key"]: row for row in own.to_dict("records")}
    methods = study.exhibit.methods()
    trained = sorted({str(row["arm"]) for row in origin.values()}, key=lambda arm: selection.arm_place(arm, methods))
    categories = {str(task): str(kind) for task, kind in zip(rows.task, rows.category, strict=True)}
    order = list(dict.fromkeys(categories.values()))
    tasks = sorted(categories, key=lambda task: (order.index(categories[task]), list(categories).index(task)))
    seeds = tuple(sorted({int(seed) for seed in moved.seed}))  # others are of cells that another exhibit has trained
    shape = (len(trained), len(tasks), len(tasks), len(seeds))
    ratios, keys = np.full(shape, np.nan), np.empty(shape, dtype=object)
    keys.fill(())
    scores = {
        (str(row["arm"]), str(row["task"]), int(row["seed"])): row
        for row in origin.values()
        if int(row["seed"]) in seeds
    }
    for row in moved.to_dict("records"):
        source = _source(row, origin)
        if source is None:
            continue
        base = scores.get((str(source["arm"]), str(row["task"]), int(source["seed"])))
        if base is not None and base["score"] > 0:
            at = (
                trained.index(str(source["arm"])), tasks.index(str(source["task"])), tasks.index(str(row["task"])),
                seeds.index(int(source["seed"])),
            )  # fmt: skip
            ratios[at] = row["score"] / base["score"]
            keys[at] = tuple(str(record["key"]) for record in (row, source, base))
    guessing = _guessing(scores, trained, tasks, seeds)
    return Matrix(tuple(trained), tuple(tasks), categories, seeds, ratios, keys, guessing)


def _source(row: Mapping[Any, Any], origin: Mapping[str, Mapping[Any, Any]]) -> Mapping[Any, Any] | None:
    """Return the row of the one cell that a cell builds on; None where it is not among them, or one of several."""
    parents = [key for _, key in row["cell"]["parents"]]
    return origin.get(parents[0]) if len(parents) == 1 else None


def _guessing(
    scores: Mapping[tuple[str, str, int], Mapping[Any, Any]], arms: list[str], tasks: list[str], seeds: tuple[int, ...]
) -> Array:
    values = np.full((len(arms), len(tasks), len(seeds)), np.nan)
    for (arm, task, seed), row in scores.items():
        if row["score"] > 0:
            guess = np.fmax(_number(row["chance"]), _number(row["majority"]))
            values[arms.index(arm), tasks.index(task), seeds.index(seed)] = guess / row["score"]
    return values


def _number(value: Any) -> float:
    return np.nan if value is None else float(value)


def ratio(matrix: Matrix, arm: int, source: int, target: int) -> Estimate:
    """Return the mean ratio over seeds of one place, with its interval over seeds."""
    values = matrix.ratios[arm, source, target]
    if np.isnan(values).all():
        return estimates.absent("no finished cell")
    cells = dict.fromkeys(key for cell_keys in matrix.keys[arm, source, target] for key in cell_keys)
    return Estimate(*statistics.interval(values[None, :]), keys=tuple(cells))


def table(study: Study) -> Table:
    """Return one row per method and source, a column per target, by category; below each method the
    own deltas' scores, and what guessing gives."""
    matrix = read(study)
    rows: list[tuple[Entry, ...]] = []
    for place, arm in enumerate(matrix.arms):
        for at, source in enumerate(matrix.tasks):
            ratios = [number(ratio(matrix, place, at, target), 100, 0) for target in range(len(matrix.tasks))]
            rows.append((rate_marks.named(study, arm), word(source), *ratios))
        cells = study.clean.cells(arm)
        own = [_own(study, arm, task) for task in matrix.tasks]
        rows.append((rate_marks.named(study, arm), word(OWN), *own))
        guess = [
            Entry(MISSING) if np.isnan(value) else Entry(f"{100 * value:.0f}", 100 * value, keys=cells)
            for value in (matrix.guess(place, target) for target in range(len(matrix.tasks)))
        ]
        rows.append((rate_marks.named(study, arm), word(GUESSING), *guess))
    columns = ("method", "trained on", *matrix.tasks)
    title = "Deltas on other tasks, percent of the target's own delta"
    return Table("transfer-ratios", title, study.model, columns, tuple(rows), _notes(study, matrix))


def _own(study: Study, arm: str, task: str) -> Entry:
    """Return the score of the target's own delta, in points."""
    columns = [place for place, column in enumerate(study.clean.tasks) if study.task_of(column) == task]
    return rate_marks.scored(study, arm, columns[0]) if len(columns) == 1 else Entry(MISSING)


def _notes(study: Study, matrix: Matrix) -> tuple[str, ...]:
    by_category: dict[str, list[str]] = {}
    for task in matrix.tasks:
        by_category.setdefault(matrix.categories[task], []).append(task)
    shown = "; ".join(f"{kind}: {', '.join(tasks)}" for kind, tasks in by_category.items())
    places = [(source, target) for source in range(len(matrix.tasks)) for target in range(len(matrix.tasks))]
    gaps = sum(len(places) - len(matrix.whole(arm, places)) for arm in matrix.arms)
    lines = [
        *notes.label(study),
        f"ratio: score without training over that of the target's own delta, same method and seed, mean over "
        f"{len(matrix.seeds)} seeds, ± half of the 95 % interval over seeds",
        f"{OWN}: the score of the target's own delta, which divides the ratios of its column",
        f"{GUESSING}: the score of guessing over that of the target's own delta; no transfer is worth less",
        f"by category: {shown}",
    ]
    size = matrix.ratios[..., 0].size if matrix.seeds else 0
    lines += [f"{gaps} of {size} places lack a cell of some seed, or the target's own delta scores 0"] if gaps else []
    return (*lines, *rate_marks.notes(study))
