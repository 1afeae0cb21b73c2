"""Claims about forgetting: at the end of training, at equal scores, and the rank of the update."""

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from harness.analysis.forgetting import learning_paths
from harness.analysis.study import comparisons, estimates
from harness.analysis.study.findings import SEEDS_ALONE, finding
from harness.analysis.study.selection import Panel
from harness.analysis.study.study import Study
from harness.analysis.views import pairs, spectrum
from harness.experiments.claim_rows.claim import Claim
from harness.experiments.verdict import Comparison, Finding

Options = Mapping[str, Any]
SHARE = "rank_share"


def less(study: Study, claim: Claim, options: Options) -> Finding:
    """Test whether left's loss on pretraining text rises less than right's."""
    panel = learning_paths.rises(study)
    return _test(study, claim, options, lambda left, right: (panel, right, left))


def less_at_equal_score(study: Study, claim: Claim, options: Options) -> Finding:
    """Test it where both have the same score."""
    return _test(
        study, claim, options, lambda left, right: (learning_paths.at_equal_score(study, left, right), right, left)
    )


def higher_rank(study: Study, claim: Claim, options: Options) -> Finding:
    """Test whether the change of left's matrices has at least so many times the rank of that of right's."""
    panel, times = ranks(study), float(options.get("times", 1.0))
    with np.errstate(divide="ignore"):
        powers = replace(panel, values=np.where(panel.values > 0, np.log10(panel.values), np.nan))

    def read(left: str, right: str) -> tuple[Panel, str, str]:
        """Return the powers of ten, those of the right side raised by that of `times`."""
        raised = np.array([math.log10(times) * (arm == right) for arm in powers.arms])
        return replace(powers, values=powers.values + raised[:, None, None]), left, right

    return _test(study, claim, options, read, lambda row: _as_ratio(row, times))


def _as_ratio(row: Comparison, times: float) -> str:
    """Return 'full against lora 7.2 times [6.9, 7.5]'."""
    text = f"{row.left} against {row.right}"
    if row.estimate is None:
        return text
    text += f" {times * 10**row.estimate:.1f} times"
    if row.low is None or row.high is None:
        return text
    return f"{text} [{times * 10**row.low:.1f}, {times * 10**row.high:.1f}]"


def ranks(study: Study) -> Panel:
    """Return the rank of the update of each cell, a share of the full rank; NaN where it was not measured."""
    names = spectrum.shared(study)
    return learning_paths.of_cells(
        study, [spectrum.mean(probed, names, SHARE) for probed in learning_paths.rows(study).probes]
    )


def described(row: Comparison) -> str:
    """Return 'lora against full +0.51 [+0.30, +0.72]'."""
    text = f"{row.left} against {row.right}"
    text += "" if row.estimate is None else f" {row.estimate:+.2f}"
    return text if row.low is None or row.high is None else f"{text} [{row.low:+.2f}, {row.high:+.2f}]"


def _test(
    study: Study,
    claim: Claim,
    options: Options,
    read: Callable[[str, str], tuple[Panel, str, str]],
    describe: Callable[[Comparison], str] = described,
) -> Finding:
    """Test a difference of two arms. read: (left, right) -> a panel, and the arms whose difference it is."""
    margin, compared = float(options["margin"]), pairs.sides(study, options)
    panels = [read(*pair) for pair in compared]
    differences = [estimates.difference(_learnt(study, panel), first, second) for panel, first, second in panels]
    rows = comparisons.compare(study, compared, ["above"] * len(compared), differences, margin)
    # A better rate may forget more, or less: neither side's rate alone decides.
    rows = tuple(replace(row, sides=((), ())) for row in rows) or pairs.absent(options, "above")
    left_out = (*study.left_out(), SEEDS_ALONE)
    return finding(study, claim, margin, rows, {"left_out": left_out}, pairs.lacking(study, options), describe)


def _learnt(study: Study, panel: Panel) -> Panel:
    """Return the panel without the tasks that the ceiling does not learn."""
    return panel.at([place for place, task in enumerate(panel.tasks) if task not in study.unlearnt])
