"""The generalisation gap: the score on a sample of the training rows less that on the test rows, of one cell.

Ding et al. 2022 (arXiv 2203.06904), section 5.2. The authors' code prints the absolute value, mean over seeds; a table
has it beside the signed one, on which the claims are tested.
"""

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from harness.analysis.output import notes, rate_marks
from harness.analysis.output.table import Table
from harness.analysis.study import comparisons, estimates, frame, row_errors, selection, statistics
from harness.analysis.study.estimates import Estimate
from harness.analysis.study.findings import OTHER_COLUMNS, SEEDS_ALONE, finding
from harness.analysis.study.selection import Panel
from harness.analysis.study.study import Study
from harness.analysis.views import pairs
from harness.experiments.claims import Claim
from harness.experiments.verdict import Finding

BOTH_SAMPLES = (
    "its intervals are for other test rows and for another sample of training rows too; to decide more, it takes more "
    "rows in both"
)
NO_SAMPLE = f"the score on training rows is missing; probe={frame.TRAIN} measures it"


def panel(study: Study, sets: str = "gap") -> Panel:
    """Return each cell's gap in place of its score, or with `sets` "train" its score on the sample of training rows.

    Where the record has no score on training rows, the value is NaN.
    """
    rows = study.selected[study.selected.role == study.role]
    sample = study.selected[study.selected.role == frame.TRAIN].drop_duplicates(["key"]).set_index("key").score
    train = rows.key.map(sample).astype(float)
    return selection.panel(
        rows.assign(score=train if sets == "train" else train - rows.score), study.role, study.exhibit.methods()
    )


def table(study: Study) -> Table:
    """Return one row per arm: scores on both, the mean gap over tasks, that of its absolute value, and each task's gap.

    The arm with the smallest mean comes first.
    """
    gaps, train = panel(study), panel(study, "train")
    sizes = replace(gaps, values=np.abs(gaps.values))
    means = {arm: float(np.nan_to_num(estimates.score(gaps, arm).main.mean, nan=np.inf)) for arm in gaps.arms}
    rows = [
        (
            rate_marks.named(study, arm),
            rate_marks.scored(study, arm, panel=train),
            rate_marks.scored(study, arm),
            rate_marks.scored(study, arm, panel=gaps),
            rate_marks.scored(study, arm, panel=sizes),
            *(rate_marks.scored(study, arm, place, gaps) for place in range(len(gaps.tasks))),
        )
        for arm in sorted(gaps.arms, key=lambda arm: means[arm])
    ]
    columns = ("method", "train", study.role, "mean gap", "mean |gap|", *gaps.tasks)
    return Table("gap", "Generalisation gap in points", study.model, columns, tuple(rows), _notes(study))


def larger(study: Study, claim: Claim, options: Mapping[str, Any]) -> Finding:
    """Test whether left's gap is larger than right's, on the tasks that the ceiling learns."""
    margin, gaps = float(options["margin"]), panel(study)
    learnt = gaps.at([place for place, task in enumerate(gaps.tasks) if task not in study.unlearnt])
    compared = pairs.sides(study, options)
    differences = [_with_rows(study, learnt, estimates.difference(learnt, *pair), pair) for pair in compared]
    rows = comparisons.compare(study, compared, ["above"] * len(compared), differences, margin)
    rows = tuple(replace(row, sides=((), ())) for row in rows)  # a better rate may widen a gap, or narrow it
    rows = rows or pairs.absent(options, "above")
    remark = BOTH_SAMPLES if any(difference.main.row_se for difference in differences) else SEEDS_ALONE
    return finding(study, claim, margin, rows, {"left_out": (*study.left_out(), remark)}, [])


def _with_rows(study: Study, learnt: Panel, difference: Estimate, pair: tuple[str, str]) -> Estimate:
    """Return the difference of two gaps for new seeds, new test rows and another sample of training rows.

    The error of the two sets of rows is often larger than that over seeds.
    """
    if difference.reason and not estimates.difference(study.judged, *pair).reason:
        return replace(difference, reason=NO_SAMPLE)
    train = selection.panel(study.selected, frame.TRAIN, study.exhibit.methods(), scores=True)
    if difference.reason or not set(learnt.tasks) <= set(train.tasks):
        return difference
    parts = [whole.at([whole.tasks.index(task) for task in learnt.tasks]) for whole in (study.clean, train)]
    if not all(part.by_row.all() for part in parts):
        return difference
    error = math.hypot(*(row_errors.of_arms(part, pair) for part in parts))
    return replace(difference, main=statistics.with_rows(difference.main, error))


def _notes(study: Study) -> tuple[str, ...]:
    lacking = int((np.isnan(panel(study).values) & ~np.isnan(study.clean.values)).sum())
    return (
        *((f"{lacking} cells have no gap: {NO_SAMPLE}",) if lacking else ()),
        *notes.common_notes(study),
        "train: on a sample of the training rows; gap: train less test of the same cell and checkpoint",
        "|gap|: the absolute value of each cell's gap, which the paper's code prints; it is not 0 even without any gap",
        OTHER_COLUMNS,
        *rate_marks.notes(study),
    )
