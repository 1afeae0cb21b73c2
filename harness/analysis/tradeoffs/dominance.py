"""Which methods others dominate: another costs no more in anything, and scores at least as high.

Costs are counted or measured: the peak of memory in training, the operations of a training step, and the bytes of the
stored delta. The operations stand for the time, because seconds depend on what else the machine did.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from harness.analysis.study import comparisons, estimates
from harness.analysis.study.findings import finding
from harness.analysis.study.study import Study
from harness.analysis.views import measured_memory, pairs
from harness.experiments.claims import Claim
from harness.experiments.verdict import Comparison, Finding

BYTES = 4
"""Of a stored parameter: deltas are kept in the precision of training, which is fp32 for what trains."""
SAME = 0.005
"""Costs that differ by a smaller share count as equal."""


@dataclass(frozen=True)
class Cost:
    """The costs of an arm, mean over tasks; NaN where a record lacks one.

    peak, stored: bytes. operations: of a step.
    """

    peak: float
    operations: float
    stored: float

    def known(self) -> dict[str, float]:
        """Return the costs that are known, by name."""
        return {name: value for name, value in vars(self).items() if not np.isnan(value)}


def costs(study: Study) -> dict[str, Cost]:
    """Return arm -> its costs. What trains nothing costs nothing."""
    rows = study.selected[study.selected.role == study.role].drop_duplicates(["key"])
    peaks, operations = measured_memory.known(rows), rows.step_flops.astype(float)
    made = {}
    for arm in study.clean.arms:
        own = rows.arm == arm
        stored = float(BYTES * (rows.delta[own].astype(float) + rows["head"][own].astype(float)).mean())
        made[arm] = (
            Cost(float(peaks[own].mean()), float(operations[own].mean()), stored)
            if study.trains(arm)
            else Cost(0.0, 0.0, 0.0)
        )
    return made


def no_dearer(mine: Cost, other: Cost) -> bool:
    """Return whether mine is at most the other in every cost that is known of both, and there is one."""
    both = [name for name in mine.known() if name in other.known()]
    return bool(both) and not dearer_in(mine, other)


def dearer_in(mine: Cost, other: Cost) -> list[str]:
    """Return the names of the costs in which mine is above the other."""
    theirs = other.known()
    return [name for name, value in mine.known().items() if name in theirs and value > theirs[name] * (1 + SAME)]


def dominators(study: Study, arm: str, known: Mapping[str, Cost]) -> list[tuple[str, bool]]:
    """Return the arms that dominate this one, by mean scores, and whether that is sure; the sure ones come first.

    It is sure where the interval of the difference is above 0, and no better rate of this arm could change it.
    Two arms with the same costs and the same score dominate each other in nothing.
    """
    panel, better = study.clean, []
    is_open = any(name == arm for name, _ in study.open_rates)
    for other in panel.arms:
        if other == arm or not no_dearer(known[other], known[arm]):
            continue
        lead = estimates.difference(panel, other, arm).main
        cheaper = bool(dearer_in(known[arm], known[other]))
        if lead.mean > 0 or (lead.mean == 0 and cheaper):
            better.append((other, bool(lead.low > 0) and not is_open))
    return sorted(better, key=lambda pair: not pair[1])


def dominates(study: Study, claim: Claim, options: Mapping[str, Any]) -> Finding:
    """Test whether left scores at least as high as right, where no cost of left is above right's.

    A cost above right's contradicts the claim whatever the scores are.
    """
    margin, known = float(options["margin"]), costs(study)
    compared = pairs.sides(study, options)
    cheap = [pair for pair in compared if no_dearer(known[pair[0]], known[pair[1]])]
    estimated = [estimates.difference(study.judged, *pair) for pair in cheap]
    tested = comparisons.compare(study, cheap, ["at least"] * len(cheap), estimated, margin)
    rows = {(row.left, row.right): row for row in tested}
    rows |= {pair: _dear(study, pair, known) for pair in compared if pair not in rows}
    ordered = tuple(rows[pair] for pair in compared) or pairs.absent(options, "at least")
    return finding(study, claim, margin, ordered, {"left_out": study.left_out()}, pairs.lacking(study, options))


def _dear(study: Study, pair: tuple[str, str], known: Mapping[str, Cost]) -> Comparison:
    """Return the comparison of an arm that costs more than the other, or whose costs are not known."""
    left, right = pair
    above = dearer_in(known[left], known[right])
    if not above:
        return Comparison(left, right, "at least", "untested", reason="their records have no cost in common")
    why = f"it costs more: {', '.join(above)}"
    return Comparison(left, right, "costs at most", "contradicted", reason=why, keys=study.clean.cells(left, right))
