"""The measured peak memory of training beside the score, a row per arm."""

from typing import TYPE_CHECKING

import numpy as np

from harness.analysis.output import notes, rate_marks
from harness.analysis.output.table import MISSING, Entry, Table, number
from harness.analysis.study import selection, statistics
from harness.analysis.study.estimates import Estimate
from harness.analysis.study.selection import Panel
from harness.analysis.study.study import Study
from harness.analysis.views import cost

if TYPE_CHECKING:
    import pandas as pd

MIB = 2**20


def panel(study: Study) -> Panel:
    """Return the bytes at the peak of training in place of scores.

    The bytes are those of torch's allocator where all cells have them, else the counted storages; NaN where neither is
    known.
    """
    rows = study.selected[study.selected.role == study.role].drop_duplicates(["key"])
    return selection.panel(rows.assign(score=known(rows), set="peak"), study.role, study.exhibit.methods())


def known(rows: "pd.DataFrame") -> "pd.Series[float]":
    """Return the bytes at the peak of training of these rows; NaN where they are not known."""
    allocated = rows.allocated_bytes.astype(float)
    return allocated if allocated.notna().all() else rows.live_bytes.astype(float)


def table(study: Study) -> Table:
    """Return score, trainable share, peak of training in MiB, and the peak as a share of the largest arm's."""
    memory, clean = panel(study), study.clean
    means = {arm: _estimate(memory, arm).main.mean for arm in clean.arms}
    known = [value for value in means.values() if not np.isnan(value)]
    rows = []
    for arm in rate_marks.by_score(study):
        trained, keys = cost.parameters(study, arm), clean.cells(arm)
        share = MISSING if trained is None else f"{100 * trained[1]:.3g} %"
        rows.append((
            rate_marks.named(study, arm),
            rate_marks.scored(study, arm),
            Entry(share, None if trained is None else 100 * trained[1], keys=keys),
            number(_estimate(memory, arm), 1 / MIB, digits=2),
            _against(means[arm], max(known, default=np.nan), keys),
        ))  # fmt: skip
    columns = ("method", "score", "trains", "peak of training, MiB", "of the largest")
    return Table("peaks", "Score and memory", study.model, columns, tuple(rows), _notes(study))


def _estimate(memory: Panel, arm: str) -> Estimate:
    return Estimate(*statistics.interval(memory.of(arm)), keys=memory.cells(arm))


def _against(value: float, largest: float, keys: tuple[str, ...]) -> Entry:
    if np.isnan(value) or not largest:
        return Entry(MISSING)
    return Entry(f"{100 * value / largest:.1f} %", 100 * value / largest, keys=keys)


def _notes(study: Study) -> tuple[str, ...]:
    rows = study.selected[study.selected.role == study.role]
    counted = rows.allocated_bytes.isna().any()
    how = (
        "storages that live at once in one training step on the widest batch, counted by a dispatch mode on the CPU"
        if counted
        else "what torch's allocator held at most during training"
    )
    return (*notes.common_notes(study), f"peak of training: {how}; mean over tasks", *rate_marks.notes(study))
