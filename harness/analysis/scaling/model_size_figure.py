"""Scores against the number of the backbone's parameters, a line per method."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.analysis.output import figure_style
from harness.analysis.scaling import joint, model_size
from harness.analysis.study import estimates
from harness.analysis.study.study import Study

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BESIDE = 1.04
"""By what factor the parameters of two neighbours differ on the page."""


def draw(studies: Sequence[Study]) -> "Figure":
    """Draw the mean score with its interval, and the steps to the goal of the smallest model, by size."""
    by_size, looks = model_size.ordered(studies), figure_style.looks(studies)
    steps = model_size.reached(joint.read(joint.of(studies)))
    figure = figure_style.figure(figsize=(7.4, 4.6))
    scores, speed = figure.subplots(1, 2)
    arms = model_size.arms_of(studies)
    for place, arm in enumerate(arms):
        aside = BESIDE ** (place - (len(arms) - 1) / 2)
        _scores(scores, by_size, arm, aside, looks[arm])
        _speed(speed, by_size, arm, aside, looks[arm], steps)
    scores.set_ylabel(f"{by_size[0].role} score (points)")
    speed.set_ylabel(f"steps to {model_size.SHARE:.0%} of the smallest ceiling")
    if not speed.lines:
        speed.set_yticks([])
        speed.annotate("no arm reaches the goal", (0.5, 0.5), xycoords="axes fraction", ha="center", fontsize=8)
    for axes in (scores, speed):
        _sizes(axes, by_size)
    _legend(figure, studies, arms, looks)
    return figure


def _scores(axes: "Axes", studies: Sequence[Study], arm: str, aside: float, look: dict[str, Any]) -> None:
    points = [(model_size.size(study) * aside, estimates.score(study.clean, arm).main)
             for study in studies if arm in study.clean.arms]  # fmt: skip
    known = [(at, main) for at, main in points if not np.isnan(main.mean)]
    if not known:
        return
    axes.plot([at for at, _ in known], [100 * main.mean for _, main in known], linewidth=1.3, markersize=5, **look)
    for at, main in known:
        if main.high > main.low:
            axes.plot([at, at], [100 * main.low, 100 * main.high], color=look["color"], linewidth=0.9, alpha=0.6)


def _speed(
    axes: "Axes", studies: Sequence[Study], arm: str, aside: float, look: dict[str, Any], steps: dict[str, Any]
) -> None:
    points = []
    for study in studies:
        values = steps.get(joint.named(arm, study.model))
        if values is None or np.isnan(values).all():
            continue
        middle = float(np.quantile(values[~np.isnan(values)], 0.5, method="higher"))
        if np.isfinite(middle):
            points.append((model_size.size(study) * aside, middle))
    if points:
        axes.plot(*zip(*points, strict=True), linewidth=1.3, markersize=5, **look)


def _sizes(axes: "Axes", studies: Sequence[Study]) -> None:
    sizes = [model_size.size(study) for study in studies]
    axes.set_xscale("log")
    axes.set_xticks(sizes, list(map(_short, sizes)))
    axes.set_xlim(min(sizes) / 1.6, max(sizes) * 1.6)
    axes.minorticks_off()
    axes.set_xlabel("parameters of the backbone")


def _short(parameters: float) -> str:
    for unit, name in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
        if parameters >= unit:
            return f"{parameters / unit:.3g}{name}"
    return f"{parameters:.0f}"


def _legend(figure: "Figure", studies: Sequence[Study], arms: Sequence[str], looks: dict[str, dict[str, Any]]) -> None:
    from matplotlib.lines import Line2D

    handles = [Line2D([], [], label=figure_style.named(studies, arm), markersize=5, **looks[arm]) for arm in arms]
    level = f"mean over tasks, bars: {figure_style.level(studies)}"
    never = "right: median over tasks and seeds; no mark where at least half of the cells never reach the goal"
    lines = level, never, figure_style.marked(studies), figure_style.subtitle(studies)
    figure_style.legend(figure, handles, 4, *lines)
