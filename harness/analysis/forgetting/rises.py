"""Claims about forgetting: at the end of training, at equal scores, and the rank of the update."""

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from harness.analysis.forgetting import learning_paths
from harness.analysis.robustness import tied_rates
from harness.analysis.study import comparisons, estimates
from harness.analysis.study.findings import TEXT_ALONE, finding
from harness.analysis.study.selection import Panel
from harness.analysis.study.study import Study
from harness.analysis.views import pairs, spectrum
from harness.experiments import units
from harness.experiments.claim_rows.claim import Claim
from harness.experiments.verdict import Comparison, Finding

Options = Mapping[str, Any]
SHARE = "rank_share"


def less(study: Study, claim: Claim, options: Options) -> Finding:
    """Test whether left's loss on pretraining text rises less than right's."""
    panel = learning_paths.rises(study)

    def of_trials(left: tied_rates.Row, right: tied_rates.Row) -> float:
        """Return by how much more the loss rises in the trial of right."""
        return learning_paths.rise(right["probes"]) - learning_paths.rise(left["probes"])

    return _test(study, claim, options, lambda left, right: (panel, right, left), _as_rise, (TEXT_ALONE,), of_trials)


def less_at_equal_score(study: Study, claim: Claim, options: Options) -> Finding:
    """Test it where both have the same score."""
    scored = learning_paths.curves(study)

    def read(left: str, right: str) -> tuple[Panel, str, str]:
        """Return the rises of two arms where both have the same score."""
        return learning_paths.at_equal_score(study, left, right), right, left

    def of_trials(left: tied_rates.Row, right: tied_rates.Row) -> float:
        """Return by how much more the loss rises in the trial of right, where both have the same score."""
        ways = (learning_paths.path(scored, str(row["key"]), row["probes"]) for row in (left, right))
        lower, higher = learning_paths.where_equal(*ways)
        return higher - lower

    return _test(study, claim, options, read, _as_rise, (TEXT_ALONE,), of_trials)


def higher_rank(study: Study, claim: Claim, options: Options) -> Finding:
    """Test whether the change of left's matrices has at least so many times the rank of that of right's."""
    panel, times, names = ranks(study), float(options.get("times", 1.0)), spectrum.shared(study)
    with np.errstate(divide="ignore"):
        powers = replace(panel, values=np.where(panel.values > 0, np.log10(panel.values), np.nan))

    def read(left: str, right: str) -> tuple[Panel, str, str]:
        """Return the powers of ten, those of the right side raised by that of `times`."""
        raised = np.array([math.log10(times) * (arm == right) for arm in powers.arms])
        return replace(powers, values=powers.values + raised[:, None, None]), left, right

    def of_trials(left: tied_rates.Row, right: tied_rates.Row) -> float:
        """Return the power of ten of the ratio of the ranks in two trials, less that of `times`."""
        shares = [spectrum.mean(row["probes"], names, SHARE) for row in (left, right)]
        return math.log10(shares[0] / shares[1] / times) if min(shares) > 0 else math.nan

    return _test(study, claim, options, read, lambda row: _as_ratio(row, times), (), of_trials)


def _as_ratio(row: Comparison, times: float) -> str:
    """Return 'the rank of full's update is 7.2 [6.9, 7.5] times that of lora's'."""
    if row.estimate is None:
        return f"{row.left} against {row.right}"
    ends = ""
    if row.low is not None and row.high is not None:
        ends = f" [{times * 10**row.low:.1f}, {times * 10**row.high:.1f}]"
    size = f"{times * 10**row.estimate:.1f}{ends}"
    return f"the rank of the update of {row.left} is {size} times that of {row.right}"


def ranks(study: Study) -> Panel:
    """Return the rank of the update of each cell, a share of the full rank; NaN where it was not measured."""
    names = spectrum.shared(study)
    return learning_paths.of_cells(
        study, [spectrum.mean(probed, names, SHARE) for probed in learning_paths.rows(study).probes]
    )


def _as_rise(row: Comparison) -> str:
    """Return 'the loss on pretraining text rises by 2.71 [2.51, 2.91] nats per word more with lora than with full'."""
    if row.estimate is None:
        return f"{row.left} against {row.right}"
    size, less = units.sided(row)
    how = "less" if less else "more"
    return f"the loss on pretraining text rises by {size} nats per word {how} with {row.left} than with {row.right}"


def _test(
    study: Study,
    claim: Claim,
    options: Options,
    read: Callable[[str, str], tuple[Panel, str, str]],
    describe: Callable[[Comparison], str],
    remarks: tuple[str, ...],
    of_trials: tied_rates.Measure,
) -> Finding:
    """Test a difference of two arms. read: (left, right) -> a panel, and the arms whose difference it is.

    describe: what the sentence says of a comparison. remarks: notes of the finding. of_trials: the same difference of
    two trials of learning rates; a verdict has to hold at all rates that validation cannot tell apart.
    """
    margin, compared = float(options["margin"]), pairs.sides(study, options)
    panels = [read(*pair) for pair in compared]
    differences = [estimates.difference(_learnt(study, panel), first, second) for panel, first, second in panels]
    rows = comparisons.compare(study, compared, ["above"] * len(compared), differences, margin)
    # A better rate may forget more, or less: neither side's rate alone decides.
    rows = tuple(replace(row, sides=((), ())) for row in rows)
    rows, tied = tied_rates.at_each(study, rows, tied_rates.on_each(study.judged.tasks), of_trials, margin, describe)
    rows = rows or pairs.absent(options, "above")
    left_out = (*study.left_out(), *remarks, *tied)
    return finding(study, claim, margin, rows, {"left_out": left_out}, pairs.lacking(study, options), describe)


def _learnt(study: Study, panel: Panel) -> Panel:
    """Return the panel without the tasks that the ceiling does not learn."""
    return panel.at([place for place, task in enumerate(panel.tasks) if task not in study.unlearnt])
