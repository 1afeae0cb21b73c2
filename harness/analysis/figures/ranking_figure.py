"""The figure of the ranking: scores with intervals, and mean ranks."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.analysis.output import figure_style, rate_marks
from harness.analysis.study import estimates, statistics
from harness.analysis.study.study import Study
from harness.analysis.views import ranking as tables

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TASK_MARKERS = "xv^<>+d*1p2P34X"
BELOW = 0.3  # of a row: the tasks' small marks stand under the mean, never on it


def ranking(studies: Sequence[Study]) -> "Figure":
    """Draw the mean score with its interval, small marks for the tasks, and the mean rank; a column per model.

    One model alone has both panels side by side.
    """
    looks, signs = figure_style.looks(studies), _task_marks(studies)
    most = max(len(study.clean.arms) for study in studies)
    ranked = any(_ranked(study) for study in studies)
    if len(studies) == 1:
        figure = figure_style.figure(figsize=(7.6, 1.5 + 0.36 * most))
        grid = (
            figure.subplots(1, 2, squeeze=False, width_ratios=(1.35, 1)).T
            if ranked
            else figure.subplots(1, 1, squeeze=False)
        )
    else:
        figure = figure_style.figure(figsize=(0.8 + 3.6 * len(studies), 1.0 + (1 + ranked) * (0.5 + 0.32 * most)))
        grid = figure.subplots(1 + ranked, len(studies), squeeze=False, sharex="row")
    for column, study in enumerate(studies):
        arms = rate_marks.by_score(study)[::-1]
        _scores(grid[0][column], study, arms, looks, signs)
        if len(grid) > 1:
            _ranks(grid[1][column], study, arms, looks)
        grid[0][column].set_title(figure_style.short(study.model, 28))
    _legend(figure, studies, signs)
    return figure


def _scores(
    axes: "Axes", study: Study, arms: Sequence[str], looks: dict[str, dict[str, Any]], signs: dict[str, str]
) -> None:
    panel = study.clean
    for place, arm in enumerate(arms):
        for index, task in enumerate(panel.tasks):
            mean = statistics.over_seeds(panel.of(arm)[index]).mean
            axes.plot(100 * mean, place - BELOW, signs[task], color="#8c8c8c", markersize=3.5)
        _dot(axes, estimates.score(panel, arm).main, place, looks[arm], 100)
    _names(axes, [figure_style.named([study], arm) for arm in arms])
    axes.set_xlabel(f"{study.role} score (points)")


def _ranked(study: Study) -> bool:
    return any(not np.isnan(rank.main.mean) for rank in tables.places(study).values())


def _ranks(axes: "Axes", study: Study, arms: Sequence[str], looks: dict[str, dict[str, Any]]) -> None:
    ranks = tables.places(study)
    arms = [arm for arm in arms if not rate_marks.untuned(study, arm)] or arms
    for place, arm in enumerate(arms):
        _dot(axes, ranks[arm].main, place, looks[arm], 1)
    _names(axes, [figure_style.named([study], arm) for arm in arms])
    last = max(len(arms), 2)
    axes.set_xlim(0.6, last + 0.4)
    axes.set_xticks(range(1, last + 1, 1 + last // 9))
    if all(np.isnan(rank.main.mean) for rank in ranks.values()):
        axes.annotate(
            figure_style.wrap(f"no mean rank: {ranks[arms[0]].reason}"),
            (0.5, 0.5),
            xycoords="axes fraction",
            ha="center",
            va="center",
        )
    axes.set_xlabel("mean rank (1 is best)")


def _dot(axes: "Axes", interval: statistics.Interval, place: int, look: dict[str, Any], factor: float) -> None:
    if np.isnan(interval.mean):
        return
    if not np.isnan(interval.low):
        ends = [[factor * (interval.mean - interval.low)], [factor * (interval.high - interval.mean)]]
        axes.errorbar(factor * interval.mean, place, xerr=ends, color=look["color"], capsize=3.5, elinewidth=1.4)
    axes.plot(factor * interval.mean, place, linestyle="", markersize=5.5, zorder=4, **look)


def _names(axes: "Axes", names: Sequence[str]) -> None:
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(-0.7, len(names) - 0.4)
    axes.grid(axis="y", visible=False)


def _task_marks(studies: Sequence[Study]) -> dict[str, str]:
    names = dict.fromkeys(task for study in studies for task in study.clean.tasks)
    return {task: TASK_MARKERS[index % len(TASK_MARKERS)] for index, task in enumerate(names)}


def _legend(figure: "Figure", studies: Sequence[Study], signs: dict[str, str]) -> None:
    from matplotlib.lines import Line2D

    handles = [
        Line2D([], [], linestyle="", marker=mark, color="#8c8c8c", markersize=3.5, label=figure_style.short(task))
        for task, mark in signs.items()
    ]
    level = f"mean over tasks with its {figure_style.level(studies)}; small marks: tasks"
    lines = level, figure_style.marked(studies), figure_style.subtitle(studies)
    figure_style.legend(figure, handles, 3 if len(studies) == 1 else 4, *lines)
