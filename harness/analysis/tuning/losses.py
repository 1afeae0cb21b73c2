"""The validation losses of cells by arm, learning rate, seed and step, and what is read from them."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.analysis.study import selection
from harness.analysis.study.frame import LOSSES
from harness.analysis.study.study import Study
from harness.analysis.tuning.optimum import Grid

if TYPE_CHECKING:
    import pandas as pd

TRAIN, VALIDATION = LOSSES


def steps(study: Study) -> tuple[int, ...]:
    """Return the steps after which every cell was evaluated, the fewest first, without the start."""
    trained = study.curves[study.curves.step > 0]
    by_cell = [frozenset(rows.step) for _, rows in trained.groupby("key")]
    return tuple(sorted(map(int, frozenset.intersection(*by_cell)))) if by_cell else ()


def grid(study: Study, arm: str, step: int, task: str | None = None) -> Grid:
    """Return the log of the lowest validation loss up to this step, by rate and seed: on one task, or mean over all.

    A rate at which a seed diverged or ran out of memory is left out, and so is a seed that a remaining rate lacks. A
    seed that lacks a task at a rate counts as one that lacks the rate: losses of other tasks cannot stand for it.
    """
    rows = study.curves[(study.curves.arm == arm) & (study.curves.role == "validation") & (study.curves.step > 0)]
    rows = rows if task is None else rows[rows.task == task]
    reached = rows.groupby("key").step.transform("max") >= step
    rows = rows[reached & (rows.step <= step)]
    least = rows.groupby(["learning_rate", "seed", "task"]).validation_loss.min().map(_log)
    failures = study.failures[study.failures.arm == arm]
    broken = selection.broken_rates(failures if task is None else failures[failures.task == task])
    table = least.unstack("task").mean(axis="columns", skipna=False).unstack("seed")
    table = table[~table.index.isin(list(broken))] if len(table) else table
    table = table.dropna(axis="index", how="all").dropna(axis="columns", how="any")
    keys = tuple(dict.fromkeys(map(str, rows.key)))
    return Grid(table.index.to_numpy(float), table.to_numpy(float), tuple(int(seed) for seed in table.columns), keys)


def _log(loss: Any) -> float:
    """Return the natural logarithm of a loss, NaN where it is missing or not positive."""
    return float(np.log(loss)) if loss is not None and loss > 0 else float("nan")


def recipe_field(study: Study, arm: str, name: str) -> Any:
    """Return a field of the recipe of an arm's cells, such as its batch size; None where it has none of this name."""
    return study.scores[study.scores.arm == arm].iloc[0].cell["recipe"].get(name)


def trained_curve(study: Study, arm: str, rate: float, loss: str = TRAIN) -> "pd.DataFrame":
    """Return the losses of an arm at one rate: one row per step, one column per seed, mean over tasks.

    loss: TRAIN, the mean over the steps since the evaluation before, or VALIDATION. A seed that lacks a task is NaN.
    """
    rows = study.curves[(study.curves.arm == arm) & (study.curves.learning_rate == rate) & (study.curves.step > 0)]
    rows = rows[rows.role == "validation"].assign(loss=lambda frame: frame[loss].astype(float))
    by_task = rows.set_index(["step", "seed", "task"]).loss.unstack("task")
    return by_task.mean(axis="columns", skipna=False).unstack("seed")


def arms_in_order(study: Study, arms: Sequence[str]) -> list[str]:
    """Return the arms in the order of the exhibit's methods and the numbers in their names."""
    return sorted(arms, key=lambda arm: selection.arm_place(arm, study.exhibit.methods()))
