"""The table of a task with several test sets: a row per arm, a column per set, the mean, and collapsed answers."""

from collections.abc import Sequence

import numpy as np

from harness.analysis.output import best_marks, rate_marks
from harness.analysis.output.notes import common_notes, label
from harness.analysis.output.table import MISSING, Entry, Table
from harness.analysis.study import collapse
from harness.analysis.study.selection import Panel
from harness.analysis.study.study import Study


def table(study: Study) -> Table:
    """Return scores by set in points, their mean with its interval, unreadable answers, collapsed (seed, set) pairs."""
    panel = study.clean
    rows = [(*_scores(study, panel, arm), *_broken(study, arm)) for arm in panel.arms]
    columns = ("method", *(_short(name) for name in panel.tasks), "mean", "unparsed", "collapsed")
    notes = (
        *common_notes(study),
        "unparsed: share of test answers in which no answer of the expected form was found; they count as wrong",
        f"collapsed: (seed, set) pairs {collapse.MEANING}",
        *rate_marks.notes(study),
    )
    made = Table("suite", "Scores by test set", study.model, columns, tuple(rows), notes)
    return _marked(study, panel, made, columns[1:-2])


def by_likelihood(study: Study) -> Table:
    """Return the same by the likelihood of each row's options (harness/probes/likelihood.py); no rows without that
    probe.
    """
    panel = study.probed("likelihood", "accuracy")
    rows = [_scores(study, panel, arm) for arm in panel.arms] if panel else []
    columns = ("method", *(_short(name) for name in panel.tasks), "mean") if panel else ("method",)
    notes = (
        *label(study),
        "how often the right option of a row is the likeliest, in points of 100, whatever is generated; "
        "checkpoint and learning rate as above",
        *rate_marks.notes(study, scores=False),
    )
    made = Table("likelihood", "By the likelihood of the options", study.model, columns, tuple(rows), notes)
    return _marked(study, panel, made, columns[1:]) if panel else made


def _marked(study: Study, panel: Panel, made: Table, columns: Sequence[str]) -> Table:
    """Return the table with marks on the best scores of these columns."""
    better = dict.fromkeys(columns, best_marks.HIGHER)
    return best_marks.marked(made, better, rate_marks.not_ranked(study, panel.arms))


def _scores(study: Study, panel: Panel, arm: str) -> tuple[Entry, ...]:
    """Return the arm, its score on each set and their mean, in points."""
    scores = [rate_marks.scored(study, arm, index, panel) for index in range(len(panel.tasks))]
    return rate_marks.named(study, arm), *scores, rate_marks.scored(study, arm, None, panel)


def _short(name: str) -> str:
    return name.partition(":")[2] or name


def _broken(study: Study, arm: str) -> tuple[Entry, Entry]:
    rows = study.selected[(study.selected.arm == arm) & (study.selected.role == study.role)]
    known = rows.parse_failures.dropna().astype(float)
    keys = tuple(dict.fromkeys(map(str, rows.key)))
    unread = float(100 * known.mean()) if len(known) else None
    share = Entry(MISSING) if unread is None else Entry(f"{unread:.1f} %", unread, keys=keys)
    marks = collapse.of(rows)
    return share, Entry(f"{sum(marks)} of {len(marks)}", float(np.mean(marks)) if marks else None, keys=keys)
