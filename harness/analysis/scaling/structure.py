"""What explains the scores of methods at several sizes: which method it is, or how many parameters train.

For each seed, an arm's score is its mean over tasks. The share that structure explains is that of the variance between
methods; the other is that of a line over the logarithm of the trainable parameters. Both are adjusted for the numbers
that they fit (as in adjusted R squared), since one number for each method fits more than one slope does. The intervals
are over seeds.
"""

from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np

from harness.analysis.output import notes, rate_marks
from harness.analysis.output.table import Table, number, word
from harness.analysis.study import comparisons, estimates, statistics
from harness.analysis.study.estimates import Estimate
from harness.analysis.study.findings import SEEDS_ALONE, finding
from harness.analysis.study.statistics import Array, Interval
from harness.analysis.study.study import Study
from harness.experiments import units
from harness.experiments.claims import Claim
from harness.experiments.verdict import Comparison, Finding

STRUCTURE, PARAMETERS, DIFFERENCE = "which method", "logarithm of the parameters", "difference"
WHY = "it takes two methods with two sizes each that have a score on every task, whose scores differ"


def sized(study: Study) -> list[str]:
    """Return the arms that train something, of methods with at least two such arms."""
    trained = [arm for arm in study.clean.arms if (known := study.trained(arm)) is not None and known[0] > 0]
    counts = Counter(study.method_of[arm] for arm in trained)
    return [arm for arm in trained if counts[study.method_of[arm]] > 1]


def shares(study: Study) -> dict[str, Estimate]:
    """Return what explains the scores -> the share of their variance that it explains."""
    arms, panel = sized(study), study.judged
    methods = [study.method_of[arm] for arm in arms]
    if len(set(methods)) < 2 or not panel.tasks:
        return dict.fromkeys((STRUCTURE, PARAMETERS, DIFFERENCE), estimates.absent(WHY))
    scores = np.stack([panel.of(arm).mean(axis=0) for arm in arms])  # [A, S]
    sizes = np.log([float((study.trained(arm) or (1, 0.0))[0]) for arm in arms])
    by_seed = [explained(scores[:, seed], methods, sizes) for seed in range(scores.shape[1])]
    values = np.array([row for row in by_seed if row is not None])
    if not len(values):
        return dict.fromkeys((STRUCTURE, PARAMETERS, DIFFERENCE), estimates.absent(WHY))
    cells = panel.cells(*arms)
    columns = {STRUCTURE: values[:, 0], PARAMETERS: values[:, 1], DIFFERENCE: values[:, 0] - values[:, 1]}
    return {name: Estimate(*statistics.interval(column[None, :]), keys=cells) for name, column in columns.items()}


def explained(scores: Array, methods: list[str], sizes: Array) -> tuple[float, float] | None:
    """Return the adjusted shares of the variance that methods and sizes explain; None where they cannot be told.

    scores: [A], one for each arm; methods and sizes (logarithms): of the arms.
    """
    total = float(((scores - scores.mean()) ** 2).sum())
    kinds = sorted(set(methods))
    free = len(scores) - len(kinds)
    if np.isnan(scores).any() or total <= statistics.ROUNDING or free < 1 or np.ptp(sizes) == 0:
        return None
    groups = [scores[[name == kind for name in methods]] for kind in kinds]
    within = sum(float(((group - group.mean()) ** 2).sum()) for group in groups)
    slope, start = np.polyfit(sizes, scores, 1)
    beside = float(((scores - start - slope * sizes) ** 2).sum())
    whole = total / (len(scores) - 1)
    return 1 - within / free / whole, 1 - beside / (len(scores) - 2) / whole


def table(study: Study) -> Table:
    """Return the share of the variance of scores that each of the two explains, and their difference."""
    rows = tuple((word(name), number(share, 100, bounds=True)) for name, share in shares(study).items())
    arms = sized(study)
    counted = Counter(study.method_of[arm] for arm in arms)
    remarks = (
        *notes.label(study),
        *notes.missing(study, study.clean),
        f"over {len(arms)} arms: {', '.join(f'{method} at {count} sizes' for method, count in counted.items())}",
        "adjusted for the numbers that each fits, so that a share may be below 0; intervals over seeds",
        *rate_marks.notes(study),
    )
    title = "Percent of the variance of scores over methods and sizes"
    return Table("structure", title, study.model, ("explained by", "percent"), rows, remarks)


def explains_more(study: Study, claim: Claim, options: Mapping[str, Any]) -> Finding:
    """Test whether the method explains more of the variance of scores than the logarithm of its parameters."""
    margin, known = float(options["margin"]), shares(study)
    pairs = [(STRUCTURE, PARAMETERS)]
    rows = comparisons.compare(study, pairs, ["above"], [known[DIFFERENCE]], margin)
    parts = [_part(name, known[name].main) for name in (STRUCTURE, PARAMETERS) if known[name].main.n]
    left_out = [*study.left_out(), SEEDS_ALONE]

    def describe(row: Comparison) -> str:
        """Return 'which method explains 92 % [88, 97], logarithm of the parameters explains 65 % [51, 78]: 28 points
        [13, 42] more'.
        """
        if row.estimate is None:
            return f"{row.left} against {row.right}"
        size, more = units.sided(row, ".0f", 100)
        return f"{', '.join(parts)}: {size} points {'more' if more else 'less'}"

    return finding(study, claim, margin, rows, {"left_out": left_out}, [], describe)


def _part(name: str, share: Interval) -> str:
    """Return 'which method explains 92 % [88, 97]'."""
    ends = "" if np.isnan(share.low) else f" [{100 * share.low:.0f}, {100 * share.high:.0f}]"
    return f"{name} explains {100 * share.mean:.0f} %{ends}"
