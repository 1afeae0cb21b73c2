"""Whether the validation loss predicts the score: rank correlation over methods and models, table, figure and claim.

Astraios (Zhuo et al. 2024, arXiv 2401.00788) compares methods over sizes of one family by both. The loss is that of the
checkpoint whose score is reported; a lower loss with a higher score counts as positive.
"""

import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import stats

from harness.analysis.output import figure_style, notes
from harness.analysis.output.table import Table, number, word
from harness.analysis.scaling import joint
from harness.analysis.study import comparisons, estimates, selection, statistics
from harness.analysis.study.estimates import Estimate
from harness.analysis.study.findings import SEEDS_ALONE, finding
from harness.analysis.study.selection import Panel
from harness.analysis.study.study import Study
from harness.experiments import units
from harness.experiments.claims import Claim
from harness.experiments.verdict import Comparison, Finding

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LEAST = 4
"""The fewest arms whose ranks are correlated."""
ACROSS = 3


def losses(study: Study) -> Panel:
    """Return the validation loss of each reported score, in its place."""
    rows = study.selected[study.selected.role == study.role]
    return selection.panel(rows.assign(score=rows.validation_loss.astype(float)), study.role, study.exhibit.methods())


def correlation(study: Study, task: int | None = None) -> Estimate:
    """Return Spearman's correlation of score and minus loss over the arms, mean over tasks, with an interval over
    seeds.
    """
    panel, loss = study.clean, losses(study)
    places = range(len(panel.tasks)) if task is None else [task]
    values = np.full((len(places), len(panel.seeds)), np.nan)
    for row, place in enumerate(places):
        for seed in range(len(panel.seeds)):
            values[row, seed] = _spearman(panel.values[:, place, seed], -loss.values[:, place, seed])
    if np.isnan(values).all(axis=1).any() or not values.size:
        return estimates.absent(f"it takes {LEAST} arms with a score and a loss, which differ, on every task")
    main, beside = (estimates.clip(interval, -1, 1) for interval in statistics.interval(values))
    return Estimate(main, beside, keys=panel.cells(*panel.arms))


def _spearman(scores: Any, losses_of: Any) -> float:
    known = ~(np.isnan(scores) | np.isnan(losses_of))
    if known.sum() < LEAST or np.ptp(scores[known]) == 0 or np.ptp(losses_of[known]) == 0:
        return float("nan")
    return float(stats.spearmanr(scores[known], losses_of[known]).statistic)


def table(studies: Sequence[Study]) -> Table:
    """Return the rank correlation on each task, over the methods of each model and over those of all models."""
    whole = joint.of(studies)
    rows = []
    for study in (*studies, *([whole] if len(studies) > 1 else [])):
        by_task = [number(correlation(study, place), 1, 2, bounds=True) for place in range(len(study.clean.tasks))]
        mean = number(correlation(study), 1, 2, bounds=True)
        rows.append((word(study.model), word(len(study.clean.arms)), *by_task, mean))
    text = (
        *notes.label(whole),
        "Spearman's rank correlation of the score and of minus the validation loss, over methods (and models); mean "
        "over seeds with its 95 % interval over seeds",
    )
    columns = ("model", "arms", *whole.clean.tasks, "mean")
    return Table("loss-and-score", "Does validation loss predict the score?", joint.MODEL, columns, tuple(rows), text)


def predicts(study: Study, claim: Claim, options: Mapping[str, Any]) -> Finding:
    """Test whether the rank correlation over all methods and models is above the margin."""
    margin = float(options["margin"])
    pairs = [("validation loss", "no order of the scores")]
    rows = comparisons.compare(study, pairs, ["above"], [correlation(study)], margin)
    return finding(study, claim, margin, rows, {"left_out": [SEEDS_ALONE]}, [], _described)


def _described(row: Comparison) -> str:
    """Return 'the rank correlation is 0.85 [0.65, 1.00]'."""
    text = units.UNITS["correlation, -1 to 1"].text(row)
    return f"the rank correlation is {text}" if text else "no rank correlation"


def draw(studies: Sequence[Study]) -> "Figure":
    """Draw the score against the validation loss, a mark per method, model and seed, a panel per task."""
    from matplotlib.lines import Line2D

    looks = figure_style.looks(studies)
    tasks = list(dict.fromkeys(task for study in studies for task in study.clean.tasks))
    across, down = min(ACROSS, max(1, len(tasks))), max(1, -(-len(tasks) // ACROSS))
    figure = figure_style.figure(figsize=(0.6 + 2.5 * across if across > 1 else 4.6, 1.4 + 2.5 * down))
    grid = list(figure.subplots(down, across, squeeze=False).flat)
    for axes, task in zip(grid, tasks, strict=False):
        for place, study in enumerate(studies):
            panel, loss = study.clean, losses(study)
            at = panel.tasks.index(task) if task in panel.tasks else None
            for arm in panel.arms if at is not None else ():
                look = {**looks[arm], "markersize": 3.5 + 1.6 * place, "linestyle": "", "alpha": 0.8}
                axes.plot(loss.of(arm)[at], 100 * panel.of(arm)[at], **look)
        axes.set_title(figure_style.short(task, 30))
        axes.set_xlabel("validation loss (nats)")
        axes.set_ylabel("score (points)")
    for axes in grid[len(tasks) :]:
        axes.set_axis_off()
    handles = [Line2D([], [], linestyle="", markersize=5, label=arm, **look) for arm, look in looks.items()]
    models = ", ".join(study.model for study in studies)
    sizes = textwrap.fill(f"from small marks to large ones: {models}", 30 * across + 20)
    lines = f"one mark per seed, {figure_style.seeds(studies)}", sizes, figure_style.subtitle(studies)
    figure_style.legend(figure, handles, 2 + across, *lines)
    return figure
