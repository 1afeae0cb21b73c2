"""Training losses over steps, each arm at its best rate: the table, and the test of whether one ends above another.

The rate of each seed is the one at which the lowest validation losses of the other seeds, over the whole training, have
the lowest geometric mean. So no loss has chosen its own rate.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from harness.analysis.output import notes
from harness.analysis.output.table import MISSING, Entry, Table, word
from harness.analysis.study import estimates, open_rates, statistics
from harness.analysis.study.estimates import Estimate
from harness.analysis.study.findings import finding
from harness.analysis.study.statistics import Array
from harness.analysis.study.study import Study
from harness.analysis.tuning import loss_differences, losses
from harness.analysis.views import pairs
from harness.experiments.claims import Claim
from harness.experiments.verdict import Finding


@dataclass(frozen=True)
class Lines:
    """The training losses of an arm. steps: [P]; logs: [P, S], their logarithms; seeds: [S].

    rates: [S], the rate of each seed. edge: whether one of them is the lowest or the highest that was tried.
    """

    steps: tuple[int, ...]
    logs: Array
    seeds: tuple[int, ...]
    rates: tuple[float, ...]
    edge: bool
    keys: tuple[str, ...] = ()


def lines(study: Study, arm: str) -> Lines | None:
    """Return the training losses of an arm, each seed at the rate that the other seeds choose; None without two
    seeds.
    """
    steps = losses.steps(study)
    grid = losses.grid(study, arm, steps[-1]) if steps else None
    if grid is None or len(grid.seeds) < 2 or not grid.values.size:
        return None
    columns, rates = [], []
    for place, seed in enumerate(grid.seeds):
        others = np.delete(grid.values, place, axis=1).mean(axis=1)
        rates.append(float(grid.rates[others.argmin()]))
        curve = losses.trained_curve(study, arm, rates[-1])
        columns.append(np.log(curve[seed].reindex(list(steps)).to_numpy(float)))
    edge = bool({grid.rates[0], grid.rates[-1]} & set(rates))
    return Lines(steps, np.stack(columns, axis=1), grid.seeds, tuple(rates), edge, grid.keys)


def table(study: Study) -> Table:
    """Return one row per arm: its rates, and the training loss up to each step."""
    steps, rows = losses.steps(study), []
    for arm in study.clean.arms:
        made = lines(study, arm)
        cells = [_entry(made, place) for place in range(len(steps))]
        rates = Entry(MISSING) if made is None else word(loss_differences.rate_marks.span(made.rates))
        rows.append((word(arm), rates, *cells))
    columns = ("method", "rate", *(f"to {step}" for step in steps))
    remarks = (
        *notes.label(study),
        "training loss: mean over the steps since the column before, geometric mean over seeds; in brackets: "
        f"{statistics.LEVEL:.0%} interval over seeds (Student's t on the logarithms)",
        "rate: for each seed the one at which the other seeds' lowest validation losses have the lowest geometric mean",
    )
    return Table("loss-lines", "Training losses over steps", study.model, columns, tuple(rows), remarks)


def _entry(made: Lines | None, place: int) -> Entry:
    if made is None or np.isnan(made.logs[place]).all():
        return Entry(MISSING)
    return loss_differences.factor(statistics.over_seeds(made.logs[place][None]), made.keys)


def ends_higher(study: Study, claim: Claim, options: Mapping[str, Any]) -> Finding:
    """Test whether left's training loss over the last steps lies above right's, beyond the margin."""
    margin, compared = float(options["margin"]), pairs.sides(study, options)
    both = [(lines(study, left), lines(study, right)) for left, right in compared]
    rows = loss_differences.tests(
        study, compared, loss_differences.ABOVE, [_difference(*pair) for pair in both], margin
    )
    at_edge = [any(made is not None and made.edge for made in pair) for pair in both]
    rows = tuple(
        replace(row, verdict="inconclusive", reason=open_rates.EDGE) if edge and row.estimate is not None else row
        for row, edge in zip(rows, at_edge, strict=True)
    )
    rows = rows or pairs.absent(options, loss_differences.ABOVE)
    return finding(study, claim, margin, rows, {}, [], loss_differences.describe(loss_differences.ABOVE))


def _difference(left: Lines | None, right: Lines | None) -> Estimate:
    """Return the log of left's last training loss over right's, over the seeds that both have."""
    if left is None or right is None:
        return estimates.absent("fewer than two seeds have every rate")
    shared = [seed for seed in left.seeds if seed in right.seeds]
    ends = [made.logs[-1][[made.seeds.index(seed) for seed in shared]] for made in (left, right)]
    return Estimate(*statistics.interval((ends[0] - ends[1])[None]), keys=left.keys + right.keys)
