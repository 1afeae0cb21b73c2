"""Intruder dimensions against the threshold that makes a singular vector one."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.analysis.output import figure_style
from harness.analysis.study import statistics
from harness.analysis.study.study import Study
from harness.analysis.views import spectrum

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

THRESHOLDS = np.linspace(0.1, 1.0, 46)


def draw(studies: Sequence[Study]) -> "Figure":
    """Draw a panel per model and task: intruders per matrix of every arm, mean over seeds with their range."""
    looks = figure_style.looks(studies)
    every = {id(study): [spectrum.counts(study, float(epsilon)) for epsilon in THRESHOLDS] for study in studies}
    places = [(study, task) for study in studies for task in range(len(every[id(study)][0].tasks))]
    figure = figure_style.figure(figsize=(0.8 + 3.3 * max(1, len(places)), 3.6))
    grid = figure.subplots(1, max(1, len(places)), squeeze=False, sharey=True)[0]
    for axes, (study, task) in zip(grid, places, strict=False):
        panels = every[id(study)]
        for arm in study.clean.arms:
            _line(axes, np.stack([panel.of(arm)[task] for panel in panels]), looks[arm])
        for epsilon in {float(use["epsilon"]) for _, use in study.exhibit.claims if "epsilon" in use}:
            axes.axvline(epsilon, color=figure_style.FLOOR, linewidth=0.9, linestyle="--", zorder=1)
        axes.set_title(figure_style.short(f"{study.model}, {panels[0].tasks[task]}", 40))
        axes.set_xlabel("epsilon: below this cosine it is an intruder")
    grid[0].set_ylabel("intruders per matrix, of the first 10")
    _legend(figure, looks, studies)
    return figure


def _drawn(study: Study, arm: str) -> bool:
    """Return whether the arm has a spectrum on some task."""
    return not np.isnan(spectrum.counts(study, float(THRESHOLDS[0])).of(arm)).all()


def _line(axes: "Axes", values: Any, look: dict[str, Any]) -> None:
    """Draw the mean and the range over seeds. values: [thresholds, seeds]."""
    if np.isnan(values).all():
        return
    every = slice(2, None, 6)
    axes.plot(THRESHOLDS, np.nanmean(values, axis=1), linewidth=1.3, markersize=4, markevery=every, zorder=3, **look)
    low, high = np.nanmin(values, axis=1), np.nanmax(values, axis=1)
    axes.fill_between(THRESHOLDS, low, high, color=look["color"], alpha=0.15, linewidth=0)


def _legend(figure: "Figure", looks: dict[str, dict[str, Any]], studies: Sequence[Study]) -> None:
    from matplotlib.lines import Line2D

    arms = list(dict.fromkeys(arm for study in studies for arm in study.clean.arms))
    handles = [Line2D([], [], label=figure_style.named(studies, arm), markersize=4, **looks[arm]) for arm in arms]
    seeds = max((len(study.clean.seeds) for study in studies), default=0)
    few = "range" if seeds < statistics.FEW_SEEDS else "range, which grows with their number"
    absent = figure_style.unplaced(studies, _drawn)
    lines = (
        f"mean, and bands: {few} over seeds, {figure_style.seeds(studies)}",
        absent,
        figure_style.marked(studies),
        figure_style.subtitle(studies),
    )
    figure_style.legend(figure, handles, min(5, len(handles)) or 1, *lines)
