"""The figure of on/off combinations: which parts are on, and the mean score in each setting with its interval."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.analysis.combining import combination_table, factorial
from harness.analysis.combining.factorial import Factorial, Parts, Setting
from harness.analysis.output import figure_style
from harness.analysis.study import estimates
from harness.analysis.study.study import Study

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, PALE = "#0072B2", "#d9d9d9"
PAPER = "#D55E00"
ABOVE, BELOW = -0.14, 0.14
"""How far of a row the two selections stand apart."""


def draw(studies: Sequence[Study]) -> "Figure":
    """Draw a row of panels per model: the parts that are on, then the mean score in each setting."""
    plans = [factorial.of(study) for study in studies]
    across = 1 + max((len(plan.columns) for plan in plans), default=0)
    heights = [0.32 * len(plan.combinations()) + 0.9 for plan in plans]
    figure = figure_style.figure(figsize=(2.0 + 1.75 * (across - 1), 1.0 + sum(heights)))
    widths = [1.0, *[1.6] * (across - 1)]
    grid = figure.subplots(len(studies), across, squeeze=False, width_ratios=widths, height_ratios=heights)
    for row, study, plan in zip(grid, studies, plans, strict=True):
        _parts(row[0], plan, figure_style.short(study.model, 20))
        panels = list(zip(row[1:], plan.columns, strict=False))
        for axes, setting in panels:
            _scores(axes, study, plan, setting)
        for axes in row[1 + len(panels) :]:
            axes.set_axis_off()
        _same_range([axes for axes, _ in panels])
    _legend(figure, studies)
    return figure


def _parts(axes: "Axes", plan: Factorial, title: str) -> None:
    """Draw a filled mark for a part that is on and a pale one for one that is off, a row per combination."""
    rows = plan.combinations()
    for place, chosen in enumerate(rows):
        on = [at for at, part in enumerate(plan.parts) if part in chosen]
        off = [at for at, part in enumerate(plan.parts) if part not in chosen]
        axes.plot(on, [place] * len(on), color=INK, marker="o", markersize=7, linewidth=1.2)
        axes.plot(off, [place] * len(off), color=PALE, marker="o", markersize=7, linestyle="")
    axes.set_xticks(range(len(plan.parts)), plan.parts, rotation=35, ha="right")
    axes.set_xlim(-0.6, len(plan.parts) - 0.4)
    _rows(axes, len(rows))
    axes.set_title(title)
    axes.grid(visible=False)
    for side in ("left", "bottom"):
        axes.spines[side].set_visible(False)


def _rows(axes: "Axes", count: int) -> None:
    axes.set_yticks([])
    axes.set_ylim(count - 0.5, -0.5)


def _scores(axes: "Axes", study: Study, plan: Factorial, setting: Setting) -> None:
    named = list(plan.columns[setting].values())
    means: dict[Parts, float] = {}
    for place, chosen in enumerate(plan.combinations()):
        arm = plan.arm_of.get(chosen)
        if arm is None or not combination_table.known(study, arm, named):
            axes.annotate("not run", (0.5, place), xycoords=("axes fraction", "data"), ha="center", va="center",
                          fontsize=7, color="#555555", backgroundcolor="#ffffff", zorder=4)  # fmt: skip
            continue
        for panel, shift, look in ((study.clean, ABOVE, _solid()), (study.paper, BELOW, _hollow())):
            main = estimates.score(panel.at(combination_table.places(panel, named)), arm).main
            if np.isnan(main.mean):
                continue
            axes.plot(100 * main.mean, place + shift, zorder=3, **look)
            if main.high > main.low and shift == ABOVE:
                axes.plot([100 * main.low, 100 * main.high], [place + shift] * 2, color=INK, linewidth=1.0)
        means[chosen] = estimates.score(study.clean.at(combination_table.places(study.clean, named)), arm).main.mean
    if means:
        best = max(means.values())
        axes.axvline(100 * best, color="#555555", linewidth=0.8, linestyle=":", zorder=1)
    _rows(axes, len(plan.combinations()))
    axes.set_title(setting.name.replace(", ", ",\n"))
    axes.set_xlabel("score (points)")


def _same_range(panels: "Sequence[Axes]") -> None:
    """Give all settings of a model one range of scores, so that they can be compared by eye."""
    ends = [end for axes in panels for end in axes.get_xlim()]
    for axes in panels:
        axes.set_xlim(min(ends), max(ends))


def _solid() -> dict[str, Any]:
    return {"color": INK, "marker": "o", "markersize": 5, "linestyle": ""}


def _hollow() -> dict[str, Any]:
    return {"color": PAPER, "marker": "D", "markersize": 4, "fillstyle": "none", "linestyle": ""}


def _legend(figure: "Figure", studies: Sequence[Study]) -> None:
    from matplotlib.lines import Line2D

    level = figure_style.level(studies)
    handles = [
        Line2D([], [], label="chosen on validation", **_solid()),
        Line2D([], [], label="select=paper (optimistic)", **_hollow()),
        Line2D([], [], label="highest mean of its panel", color="#555555", linewidth=0.8, linestyle=":"),
    ]
    lines = f"mean over tasks; bars: {level}", figure_style.subtitle(studies)
    figure_style.legend(figure, handles, 3, *lines)
