"""Losses by the size of a batch: the table, and the test of whether large batches cost one arm more than another."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from harness.analysis.output.table import MISSING, Entry, Table, word
from harness.analysis.study import estimates, statistics
from harness.analysis.study.estimates import Estimate
from harness.analysis.study.findings import finding
from harness.analysis.study.selection import Panel
from harness.analysis.study.study import Study
from harness.analysis.tuning import loss_differences, losses
from harness.analysis.views import pairs
from harness.experiments.claims import Claim
from harness.experiments.verdict import Comparison, Finding

SIZE = "batch_size"
FOLLOWING = (SIZE, "steps", "evaluate_every")
"""Fields of a recipe that an arm's name may have because they go with the size of a batch."""
Sizes = Mapping[int, str]


def plain(arm: str) -> str:
    """Return an arm's name without what goes with the size of a batch."""
    return " ".join(part for part in arm.split(" ") if part.partition("=")[0] not in FOLLOWING)


def by_size(study: Study) -> dict[str, dict[int, str]]:
    """Return name without the size -> size of a batch -> arm, the smallest first."""
    sizes: dict[str, dict[int, str]] = {}
    for arm in study.clean.arms:
        sizes.setdefault(plain(arm), {})[int(losses.recipe_field(study, arm, SIZE) or 0)] = arm
    return {name: dict(sorted(arms.items())) for name, arms in sizes.items()}


def table(study: Study) -> Table:
    """Return one row per method: the loss and the rate at each size of a batch, and the loss of the largest over that
    of the smallest.
    """
    logs, groups = loss_differences.panel(study), by_size(study)
    sizes = sorted({size for arms in groups.values() for size in arms})
    rows = []
    for name, arms in groups.items():
        cells = [entry for size in sizes for entry in _at(study, logs, arms.get(size))]
        rows.append((word(name), *cells, _ratio(logs, arms)))
    heads = [head for size in sizes for head in (f"rate at {size}", f"loss at {size}")]
    columns = ("method", *heads, f"loss at {sizes[-1]} / {sizes[0]}" if sizes else "ratio")
    return Table(
        "batch-losses", "Losses by batch", study.model, columns, tuple(rows), loss_differences.table_notes(study)
    )


def _at(study: Study, logs: Panel, arm: str | None) -> tuple[Entry, Entry]:
    if arm is None:
        return Entry(MISSING), Entry(MISSING)
    return loss_differences.rate_marks.rates(study, arm), loss_differences.entry(logs, arm)


def _ratio(logs: Panel, arms: Sizes) -> Entry:
    """Return the loss at the largest size over that at the smallest."""
    cost, keys = paid(logs, arms).main, logs.cells(*arms.values())
    return loss_differences.factor(cost, keys)


def paid(logs: Panel, arms: Sizes) -> Estimate:
    """Return the log of the loss at the largest size over that at the smallest."""
    present = [arm for arm in arms.values() if arm in logs.arms]
    if len(present) < 2:
        return estimates.absent("one size of a batch alone was run")
    return loss_differences.difference(logs, present[-1], present[0])


def more(study: Study, claim: Claim, options: Mapping[str, Any]) -> Finding:
    """Test whether the loss of left grows more than that of right from the smallest to the largest batch."""
    margin, logs, groups = float(options["margin"]), loss_differences.panel(study), by_size(study)
    names = {side: list(dict.fromkeys(map(plain, pairs.arms(study, options[side])))) for side in ("left", "right")}
    compared = [(left, right) for left in names["left"] for right in names["right"] if left != right]
    grown = [_more(logs, groups[left], groups[right]) for left, right in compared]
    rows = loss_differences.tests(study, compared, loss_differences.ABOVE, grown, margin)
    return finding(study, claim, margin, rows or pairs.absent(options, loss_differences.ABOVE), {}, [], _text)


def _more(logs: Panel, left: Sizes, right: Sizes) -> Estimate:
    """Return how much more the log loss of left grows than that of right, paired by seed."""
    ends = [[arm for arm in arms.values() if arm in logs.arms] for arms in (left, right)]
    if min(map(len, ends)) < 2:
        return estimates.absent("one size of a batch alone was run")
    (small, *_, large), (other_small, *_, other_large) = ends
    values = (logs.of(large) - logs.of(small)) - (logs.of(other_large) - logs.of(other_small))
    if np.isnan(values).all(axis=1).any():
        return estimates.absent("no seed was run for all of them on every task")
    return Estimate(*statistics.interval(values), keys=logs.cells(small, large, other_small, other_large))


def _text(row: Comparison) -> str:
    """Return 'from the smallest to the largest batch the loss of a grows by a factor that is 1.30 [1.10, 1.60] times
    that of b'.
    """
    if row.estimate is None:
        return f"{row.left} against {row.right}"
    factors = [float(np.exp(value)) for value in (row.estimate, row.low, row.high) if value is not None]
    ends = f" [{factors[1]:.2f}, {factors[2]:.2f}]" if len(factors) > 1 else ""
    return (
        f"from the smallest to the largest batch the loss of {row.left} grows by a factor that is "
        f"{factors[0]:.2f}{ends} times that of {row.right}"
    )
