"""The marks of learning rates in tables: arrows at the edge of a grid, and rows without a tuned rate.

Every table names its rows and prints its scores through these functions, so that no table lacks the marks.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from harness.analysis.output.table import MISSING, Entry, number
from harness.analysis.study import collapse, estimates, open_rates
from harness.analysis.study.selection import Panel
from harness.analysis.study.study import Study
from harness.formatting import rate

EDGES = {"highest": " ↑", "lowest": " ↓", "": ""}
UNTUNED = "untuned"
ALONE = f"{UNTUNED}: only one learning rate was tried, and no tuning on this model chose it; a better one may exist"
AT_EDGE = (
    "↑ / ↓: the chosen learning rate is the highest / lowest one tried, so a better one may lie beyond it; at a "
    "mean: on how many tasks"
)

COLLAPSED = f"c1, c2, …: so many of the scores behind the number are of collapsed models ({collapse.MEANING})"


def untuned(study: Study, arm: str) -> bool:
    """Return whether the arm was tried at one rate only on some task, and no tuning on this backbone chose it."""
    return open_rates.ALONE in [reason for (name, _), reason in study.open_rates.items() if name == arm]


DONE, UNREAD = "done", "unread"
"""The status of a finished cell, and the word for one whose scores cannot be read."""


def ranked(study: Study) -> tuple[str, ...]:
    """Return the arms that may be ranked."""
    return tuple(arm for arm in study.clean.arms if not untuned(study, arm))


def not_ranked(study: Study, arms: Sequence[str]) -> set[int]:
    """Return the places, among the arms of a table's rows, of those that are not ranked."""
    return {place for place, arm in enumerate(arms) if untuned(study, arm)}


def by_score(study: Study) -> list[str]:
    """Return the arms, best mean over tasks first, then those without a complete mean, then the untuned, unsorted."""
    means = {arm: estimates.score(study.clean, arm).main.mean for arm in study.clean.arms}

    def place(arm: str) -> tuple[bool, bool, float]:
        """Return the sort key of an arm."""
        left_out = untuned(study, arm)
        return left_out, bool(np.isnan(means[arm])), 0.0 if left_out else -float(np.nan_to_num(means[arm]))

    return sorted(study.clean.arms, key=place)


def named(study: Study, arm: str, tail: str = "") -> Entry:
    """Return the head of a row, such as 'lora' or 'vera (untuned)'; its value is the bare name."""
    mark = f" ({UNTUNED})" if untuned(study, arm) else ""
    return Entry(f"{arm}{mark}{tail}", f"{arm}{tail}", keys=study.clean.cells(arm))


def scored(
    study: Study, arm: str, index: int | None = None, panel: Panel | None = None, factor: float = 100, digits: int = 1,
    seeds: bool = False,
) -> Entry:  # fmt: skip
    """Return the arm's score in one column, or its mean over all. Behind it arrows mark rates at an edge, and c marks
    the models that collapsed.

    seeds: with the part of the interval that is over seeds alone, in brackets.
    """
    panel = panel or study.clean
    entry = number(estimates.score(panel, arm, index), factor, digits, seeds=seeds)
    columns = panel.tasks if index is None else panel.tasks[index : index + 1]
    if entry.text == MISSING:
        return replace(entry, text=entry.text + unscored(study, arm, columns))
    return replace(entry, text=entry.text + arrows(study, arm, columns) + _collapsed(study, arm, columns, panel))


def _collapsed(study: Study, arm: str, columns: Sequence[str], panel: Panel) -> str:
    """Return ' c2' where two of the scores in these columns are of collapsed models; "" of a panel without scores."""
    count = sum(study.collapsed.get((arm, column), 0) for column in columns) if np.isfinite(panel.best) else 0
    return f" c{count}" if count else ""


def unscored(study: Study, arm: str, columns: Sequence[str]) -> str:
    """Return how cells without a score ended that a missing number needs, " oom" or " failed, oom"; "" for none."""
    tasks = {study.task_of(column) for column in columns}
    known = study.failures[(study.failures.arm == arm) & study.failures.task.isin(tasks)]
    ended = dict.fromkeys(UNREAD if status == DONE else str(status) for status in known.status)
    return f" {', '.join(ended)}" if ended else ""


def arrows(study: Study, arm: str, columns: Sequence[str]) -> str:
    """Return ' ↑' for one task at the highest rate tried, ' ↑2' for two of several. columns: a task, or task:set."""
    tasks = dict.fromkeys(study.task_of(column) for column in columns)
    return at_edges([edge(study, arm, task) for task in tasks])


def edge(study: Study, arm: str, task: str) -> str:
    """Return the edge of the grid at which the arm's rate lies: "highest", "lowest" or ""."""
    return study.edges.get((task, arm), "") if study.trains(arm) else ""


def at_edges(edges: Sequence[str]) -> str:
    """Return the arrows of one number, whose rates lie at these edges: one for each task."""
    counts = {name: edges.count(name) for name in ("highest", "lowest")}
    return "".join(EDGES[name] + (str(count) if len(edges) > 1 else "") for name, count in counts.items() if count)


def rates(study: Study, arm: str) -> Entry:
    """Return '1e-3', or the range over tasks, with the number of rates at an edge of the grid."""
    if not study.trains(arm):
        return Entry(MISSING)
    text = span(list(study.rates.xs(arm, level="arm").learning_rate)) + arrows(study, arm, study.clean.tasks)
    return Entry(text, text)


def span(rates: Sequence[float]) -> str:
    """Return '1e-3', or '1e-3 to 1e-2' for several learning rates."""
    low, high = min(rates), max(rates)
    return rate(low) if low == high else f"{rate(low)} to {rate(high)}"


def notes(study: Study, scores: bool = True) -> tuple[str, ...]:
    """Return the meaning of the marks that are present, and the seeds on which rates were chosen.

    scores: whether the table shows the tasks' own scores, which alone have the mark of collapsed models.
    """
    lines = []
    if any(unscored(study, arm, study.clean.tasks) for arm in study.clean.arms):
        lines.append(f"{MISSING} with a word, such as {MISSING} oom: no number, because cells behind it ended so")
    if any(arrows(study, arm, study.clean.tasks) for arm in study.clean.arms):
        lines.append(AT_EDGE)
    if scores and study.collapsed:
        lines.append(COLLAPSED)
    alone = [untuned(study, arm) for arm in study.clean.arms]
    if any(alone):
        last = "are not ranked" if all(alone) else "stand last, in the exhibit's order, and are not ranked"
        lines.append(f"{ALONE}, so these rows {last}")
    return (*lines, *study.choosing)


def rate_notes(study: Study) -> tuple[str, ...]:
    """Return every arm's learning rate, for a table without a column of them, with the notes."""
    lines = "; ".join(f"{named(study, arm).text} {rates(study, arm).text}" for arm in study.clean.arms)
    return (f"learning rates: {lines}", *notes(study))
