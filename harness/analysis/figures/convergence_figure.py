"""Convergence curves: validation score against steps or seconds, a panel per task."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from harness.analysis.output import figure_style
from harness.analysis.study import convergence_speed, statistics
from harness.analysis.study.study import Study
from harness.analysis.views import convergence

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ACROSS = 3


def against_steps(studies: Sequence[Study]) -> "Figure":
    """Draw one panel per task and model; the dotted line is the goal, a share of the ceiling's final score."""
    return _draw(studies, "step", "optimiser steps", ())


def against_seconds(studies: Sequence[Study]) -> "Figure":
    """Draw one panel per task and model, as against steps, over the median seconds of training without evaluation."""
    notes = dict.fromkeys(note for study in studies for note in convergence.side_by_side(study))
    return _draw(studies, "seconds", "seconds of training", tuple(notes))


def _draw(studies: Sequence[Study], column: str, label: str, notes: tuple[str, ...]) -> "Figure":
    looks = figure_style.looks(studies)
    panels = _panels(studies)
    rows, across = len(panels), max(len(row) for row in panels)
    # One narrow panel would have a legend of one column, which leaves the panel no height.
    figure = figure_style.figure(figsize=(0.8 + 2.6 * max(across, 2), 1.1 + 2.1 * rows))
    grid = figure.subplots(rows, across, squeeze=False, sharex=column == "step", sharey=True)
    for row, line in zip(grid, panels, strict=True):
        for axes, place in zip(row, line, strict=False):
            _panel(axes, *place, column, looks)
            axes.set_xlabel(label)
            axes.tick_params(labelbottom=True)  # shared axes leave them to the last row
        for axes in row[len(line) :]:
            axes.set_axis_off()
        row[0].set_ylabel("validation score (points)")
    _legend(figure, studies, looks, notes)
    return figure


def _panels(studies: Sequence[Study]) -> list[list[tuple[Study, str]]]:
    """Draw the tasks of one model after those of the other, in rows of three."""
    rows = []
    for study in studies:
        cells = [(study, str(task)) for task in study.curves.task.unique()]
        rows += [cells[at : at + ACROSS] for at in range(0, len(cells), ACROSS)]
    return rows or [[]]


def _panel(axes: "Axes", study: Study, task: str, column: str, looks: dict[str, dict[str, Any]]) -> None:
    rows = study.selected_curves
    rows = rows[rows.task == task]
    for arm in study.clean.arms:
        _curve(axes, rows[rows.arm == arm], column, looks[arm])
    goals = convergence_speed.goals_of(study)
    if task in goals:
        axes.axhline(100 * goals[task], color="#555555", linewidth=0.9, linestyle=":", zorder=1)
    axes.set_title(figure_style.short(f"{task}, {study.model}", 40))
    axes.set_xlim(left=0)


def _band(rows: "pd.DataFrame") -> tuple[tuple[float, float], str]:
    """Return the quantiles of the band and their name: the range where so few seeds have no useful quartiles."""
    few = rows.seed.nunique() < statistics.FEW_SEEDS
    return ((0.0, 1.0), "range") if few else ((0.25, 0.75), "middle half")


def _curve(axes: "Axes", rows: "pd.DataFrame", column: str, look: dict[str, Any]) -> None:
    if rows.empty or rows[column].isna().all():
        return
    steps = rows.groupby("step")
    across = steps[column].median().to_numpy(dtype=float)
    middle, low, high = (100 * steps.score.quantile(q).to_numpy(dtype=float) for q in (0.5, *_band(rows)[0]))
    if len(across) == 1:
        axes.axhline(middle[0], color=look["color"], linewidth=1.2)
        return
    every = max(1, (len(across) - 1) // 4)  # some markers, so that the lines differ without colours too
    axes.plot(across, middle, linewidth=1.5, markersize=3.5, markevery=every, zorder=3, **look)
    axes.plot(across[-1], middle[-1], linestyle="", markersize=4, clip_on=False, zorder=4, **look)
    if rows.seed.nunique() > 1:
        axes.fill_between(across, low, high, color=look["color"], alpha=0.18, linewidth=0)


def _legend(
    figure: "Figure", studies: Sequence[Study], looks: dict[str, dict[str, Any]], notes: tuple[str, ...]
) -> None:
    from matplotlib.lines import Line2D

    handles = [
        Line2D([], [], linewidth=1.5, markersize=4, label=figure_style.named(studies, arm), **look)
        for arm, look in looks.items()
    ]
    if any(study.ceiling for study in studies):
        label = f"{convergence_speed.SHARE:.0%} of '{studies[0].exhibit.ceiling}' at its end"
        handles.append(Line2D([], [], color="#555555", linewidth=0.9, linestyle=":", label=label))
    bands = {_band(study.curves)[1] for study in studies}
    first = f"median and {' or '.join(sorted(bands))} over seeds, {figure_style.seeds(studies)}"
    absent = figure_style.unplaced(studies, _drawn)
    lines = first, absent, *notes, figure_style.marked(studies), figure_style.subtitle(studies)
    figure_style.legend(figure, handles, 4, *lines)


def _drawn(study: Study, arm: str) -> bool:
    """Return whether the arm has a curve of validation scores."""
    return bool((study.selected_curves.arm == arm).any())
