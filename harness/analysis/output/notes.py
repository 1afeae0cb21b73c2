"""Notes under the tables of scores."""

from collections.abc import Sequence

import numpy as np

from harness.analysis.study import statistics
from harness.analysis.study.selection import Panel
from harness.analysis.study.study import Study


def common_notes(study: Study, shown: Panel | None = None) -> tuple[str, ...]:
    """Return what holds for every table of scores: the runs, how intervals are made, and what is missing.

    shown: the values of the table; None for the study's own scores. The rows' error of a probe's figures is not known.
    """
    panel = shown or study.clean
    _, most = seed_counts(panel)
    cut = "; [low, high]: an interval that is cut at 0 or 100" if panel.by_row.all() else ""
    spread = f"{interval(panel)}{cut}" if most > 1 else ""
    return (
        *label(study),
        f"{study.role} scores in points of 100, mean over {seeds(panel)}{spread}",
        *missing(study, panel),
    )


def missing(study: Study, panel: Panel) -> tuple[str, ...]:
    """Return which cells of a panel have no score."""
    failed = [f"{row.arm} on {row.task} seed {row.seed} {row.status}" for row in study.failures.itertuples()]
    if failed:
        named = "; ".join(failed[:6]) + (" …" if len(failed) > 6 else "")
        return (f"{len(failed)} attempted cells have no score: {named}",)
    if np.isnan(panel.values).any():
        return ("not every method has a cell on every task and seed; a mean over tasks needs a score on every task",)
    return ()


def seed_counts(*panels: Panel) -> tuple[int, int]:
    """Return the fewest and the most seeds behind a number of these panels; where no seed was run is no number."""
    counts = [int(count) for panel in panels for count in (~np.isnan(panel.values)).sum(axis=2).flat if count]
    return (min(counts), max(counts)) if counts else (0, 0)


def seeds(*panels: Panel) -> str:
    """Return the number of seeds behind the numbers: "3 seeds", or "2 to 3 seeds"."""
    least, most = seed_counts(*panels)
    return f"{most if least == most else f'{least} to {most}'} seed{'s' * (most != 1)}"


def interval(panel: Panel, rows: str = "test") -> str:
    """Return the meaning of the ± of a number. rows: the split whose rows are drawn too."""
    level = f" ± half of the {statistics.LEVEL:.0%} interval"
    if not panel.by_row.all():
        return f"{level} over seeds (Student's t on their means); it leaves out the error of the rows"
    drawn = "the spread of what each row scored" if _rows_are_known(panel) else "binomial"
    return f"{level} for new seeds (Student's t on their means) and new {rows} rows ({drawn}, added in quadrature)"


def _rows_are_known(panel: Panel) -> bool:
    """Return whether it is known of every score what each row scored."""
    known = ~np.isnan(panel.values)
    return panel.row_scores is not None and all(rows is not None for rows in panel.row_scores[known])


UNREAD = 0.01
"""The share of unknown tokens from which a table has a note about it."""


def label(study: Study) -> tuple[str, ...]:
    """Return the label that all numbers of the embedded world carry, and what a reader should know of the rows."""
    rows = (*_unread(study), *_leaked(study))
    if "embedded" not in set(study.scores.source):
        return rows
    return (
        "microworld: small backbones that were pretrained on a generated English world; not the paper's models or data",
        *rows,
    )


def labels(studies: Sequence[Study]) -> list[str]:
    """Return the labels of an exhibit on these models; one that only some of them carry names these models."""
    carried: dict[str, list[str]] = {}
    for study in studies:
        for line in label(study):
            carried.setdefault(line, []).append(study.model)
    return sorted(
        line if len(models) == len(studies) else f"{', '.join(dict.fromkeys(models))}: {line}"
        for line, models in carried.items()
    )


def _leaked(study: Study) -> tuple[str, ...]:
    """Return a line for each task with test or validation rows that are also in train, by the notes of the records."""
    pairs = dict.fromkeys(zip(map(str, study.scores.task), map(str, study.scores.leaked_rows), strict=True))
    return tuple(f"in {task}, {leaked}" for task, leaked in pairs if leaked)


def _unread(study: Study) -> tuple[str, ...]:
    """Return a line for each task of which a backbone does not know some tokens, by the notes of the records."""
    shares = study.scores.groupby(["task", "model"], sort=False, as_index=False).unknown_share.max()
    return tuple(
        f"{row.unknown_share:.0%} of the tokens of a split of {row.task} are unknown to {row.model}"
        for row in shares[shares.unknown_share >= UNREAD].itertuples()
    )
