"""The figure of variants against one reference: differences of scores at tuned rates and at one shared rate."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.analysis.output import figure_style, rate_marks
from harness.analysis.study.study import Study
from harness.analysis.tuning import equivalence
from harness.analysis.tuning.equivalence import MARGIN, Compared
from harness.formatting import rate

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ASIDE = 0.16
"""How far the two intervals of a row stand from its middle."""
TUNED: dict[str, Any] = {"color": "#0072b2", "marker": "o"}
SHARED: dict[str, Any] = {"color": "#d55e00", "marker": "s", "markerfacecolor": "white"}


def draw(studies: Sequence[Study]) -> "Figure":
    """Draw one panel per model: a row per variant with its difference at its own tuned rate and at the shared one."""
    most = max((len(study.clean.arms) for study in studies), default=1)
    figure = figure_style.figure(figsize=(2.0 + 3.6 * len(studies), 1.6 + 0.42 * most))
    grid = figure.subplots(1, len(studies), squeeze=False)[0]
    shown: list[str] = []
    for axes, study in zip(grid, studies, strict=True):
        base = equivalence.reference(study)
        tuned = equivalence.compared(study, study.clean, base)
        shared = equivalence.compared(study, equivalence.shared(study), base)
        axes.axvspan(-100 * MARGIN, 100 * MARGIN, color="#e8eef5", zorder=0)
        axes.axvline(0, color="black", linewidth=0.8)
        arms = list(tuned.rows)
        shown += [*arms, *([base] if base else [])]
        _points(axes, arms, tuned, -ASIDE, TUNED)
        _points(axes, arms, shared, ASIDE, SHARED)
        marks = [rate_marks.arrows(study, arm, study.clean.tasks) for arm in arms]
        named = [equivalence.short(study, arm, base) + mark for arm, mark in zip(arms, marks, strict=True)]
        axes.set_yticks(range(len(arms)), named)
        axes.set_ylim(len(arms) - 0.4, -0.6)
        axes.set_xlabel(f"points above {equivalence.short(study, base, base) if base else 'the reference'}")
        axes.set_title(figure_style.short(study.model, 28))
    _legend(figure, studies, shown)
    return figure


def _points(axes: "Axes", arms: Sequence[str], part: Compared, aside: float, look: dict[str, Any]) -> None:
    for place, arm in enumerate(arms):
        main = part.differences[arm].main
        if np.isnan(main.mean):
            continue
        if not np.isnan(main.low):
            axes.plot([100 * main.low, 100 * main.high], [place + aside] * 2, color=look["color"], linewidth=1.4)
        axes.plot([100 * main.mean], [place + aside], markersize=5, linestyle="", zorder=3, **look)


def _legend(figure: "Figure", studies: Sequence[Study], shown: Sequence[str]) -> None:
    from matplotlib.lines import Line2D

    rates = dict.fromkeys(rate(value) for study in studies if (value := equivalence.shared_rate(study)) is not None)
    handles = [
        Line2D([], [], label="each at its own tuned rate", markersize=5, linewidth=1.4, **TUNED),
        Line2D([], [], label=f"all at one rate ({', '.join(rates)})", markersize=5, linewidth=1.4, **SHARED),
    ]
    level = f"bars: {figure_style.level(studies)}; shaded: within {100 * MARGIN:g} points"
    figure_style.legend(figure, handles, 2, level, figure_style.marked(studies, shown), figure_style.subtitle(studies))
