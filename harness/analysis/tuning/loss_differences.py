"""Losses of arms at their chosen rates: the table, and the tests of whether they differ.

A loss is the lowest validation loss of a cell, and losses are compared by the difference of their natural logarithms:
0.1 is about ten percent. The rates are chosen on the tuning seeds, and no loss of these seeds is in a number.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from harness.analysis.output import notes, rate_marks
from harness.analysis.output.table import MISSING, Entry, Table
from harness.analysis.study import comparisons, estimates, selection, statistics
from harness.analysis.study.estimates import Estimate
from harness.analysis.study.findings import finding
from harness.analysis.study.selection import Panel
from harness.analysis.study.statistics import Interval
from harness.analysis.study.study import Study
from harness.analysis.views import pairs
from harness.experiments.claims import Claim
from harness.experiments.verdict import Comparison, Finding

ABOVE, SIMILAR = "above", "similar"


def panel(study: Study) -> Panel:
    """Return the logarithm of the lowest validation loss of each cell at its arm's chosen rate: [A, T, S]."""
    curves = study.selected_curves[study.selected_curves.step > 0]
    least = curves.groupby("key").validation_loss.min()
    rows = study.selected[study.selected.role == "validation"].drop_duplicates(["key"])
    logs = np.log(rows.key.map(least).astype(float))
    return selection.panel(rows.assign(score=logs), "validation", study.exhibit.methods())


def table(study: Study) -> Table:
    """Return one row per arm: what trains, its rate, the mean loss over tasks and that of each task."""
    logs = panel(study)
    rows = []
    for arm in study.clean.arms:
        trained = study.trained(arm)
        share = Entry(MISSING)
        if trained is not None:
            share = Entry(f"{100 * trained[1]:.3g} %", 100 * trained[1], keys=study.clean.cells(arm))
        each = [entry(logs, arm, place) for place in range(len(logs.tasks))] if len(logs.tasks) > 1 else []
        rows.append((rate_marks.named(study, arm), share, rate_marks.rates(study, arm), entry(logs, arm), *each))
    tasks = logs.tasks if len(logs.tasks) > 1 else ()
    columns = ("method", "trained share", "rate", "loss", *tasks)
    return Table("losses", "Validation losses", study.model, columns, tuple(rows), table_notes(study))


def entry(logs: Panel, arm: str, task: int | None = None) -> Entry:
    """Return the geometric mean of an arm's losses as "0.121 [0.110, 0.133]", on one task or over all."""
    if arm not in logs.arms:
        return Entry(MISSING)
    values = logs.of(arm) if task is None else logs.of(arm)[task : task + 1]
    return factor(statistics.over_seeds(values), logs.cells(arm))


def factor(logarithm: Interval, keys: tuple[str, ...]) -> Entry:
    """Return a loss, or a ratio of two, from its logarithm: "0.121 [0.110, 0.133]"."""
    mean, low, high = (float(np.exp(value)) for value in (logarithm.mean, logarithm.low, logarithm.high))
    if np.isnan(mean):
        return Entry(MISSING, keys=keys)
    if np.isnan(low):
        return Entry(f"{mean:.3g}", mean, keys=keys)
    return Entry(f"{mean:.3g} [{low:.3g}, {high:.3g}]", mean, low, high, keys)


def table_notes(study: Study) -> tuple[str, ...]:
    """Return what a loss is, how its interval is made, and the marks of the rates."""
    return (
        *notes.label(study),
        f"loss: the lowest validation loss of a cell, geometric mean over {notes.seeds(study.clean)} and tasks; in "
        f"brackets: {statistics.LEVEL:.0%} interval over seeds (Student's t on the logarithms)",
        *rate_marks.notes(study, scores=False),
    )


def higher(study: Study, claim: Claim, options: Mapping[str, Any]) -> Finding:
    """Test whether left's loss is higher than right's, beyond the margin."""
    return _finding(study, claim, options, ABOVE)


def alike(study: Study, claim: Claim, options: Mapping[str, Any]) -> Finding:
    """Test whether the losses of left and right are the same, within the margin."""
    return _finding(study, claim, options, SIMILAR)


def _finding(study: Study, claim: Claim, options: Mapping[str, Any], relation: str) -> Finding:
    margin, logs, compared = float(options["margin"]), panel(study), pairs.sides(study, options)
    differences = [difference(logs, *pair) for pair in compared]
    rows = tests(study, compared, relation, differences, margin) or pairs.absent(options, relation)
    return finding(study, claim, margin, rows, {}, [], describe(relation))


def difference(logs: Panel, left: str, right: str) -> Estimate:
    """Return the mean over tasks of the log of left's loss over right's, paired by seed."""
    return replace(estimates.difference(logs, left, right), at_best=None, sides=((), ()))


def tests(
    study: Study, compared: Sequence[tuple[str, str]], relation: str, differences: Sequence[Estimate], margin: float
) -> tuple[Comparison, ...]:
    """Return a comparison per pair. A better rate may raise a difference or lower it, so every cell counts for it."""
    rows = comparisons.compare(study, compared, [relation] * len(compared), differences, margin)
    return tuple(replace(row, sides=((), ())) for row in rows)


def describe(relation: str) -> Any:
    """Return the function that says how many percent left's loss lies above right's."""

    def text(row: Comparison) -> str:
        """Return 'the loss of a is 12 % [3, 22] above that of b'."""
        if row.estimate is None:
            return f"{row.left} {relation} {row.right}"
        percent = [100 * (float(np.exp(value)) - 1) for value in (row.estimate, row.low, row.high) if value is not None]
        side = "above" if percent[0] >= 0 else "below"
        shown = percent if side == "above" else [-percent[0], *(-end for end in percent[:0:-1])]  # all to one side
        ends = f" [{shown[1]:.0f}, {shown[2]:.0f}]" if len(shown) > 1 else ""
        return f"the loss of {row.left} lies {shown[0]:.0f} %{ends} {side} that of {row.right}"

    return text
