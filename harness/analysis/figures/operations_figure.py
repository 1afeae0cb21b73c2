"""The figure of the operations of a step against the trained share: the count beside the formula."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from harness.analysis.output import figure_style
from harness.analysis.tuning import operations
from harness.analysis.views.forecast_memory import MemoryStudy

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LEAST = 50
"""Where the panels begin, in percent of the ceiling's step: below two thirds, so that names have room."""


def draw(studies: Sequence[MemoryStudy]) -> "Figure":
    """Draw one panel per model: the share of the ceiling's operations against the share of parameters that train."""
    from matplotlib.lines import Line2D

    figure = figure_style.figure(figsize=(0.9 + 3.2 * len(studies), 3.7))
    grid = figure.subplots(1, len(studies), squeeze=False, sharex=True, sharey=True)[0]
    methods: dict[str, str] = {}
    for axes, study in zip(grid, studies, strict=True):
        looks = figure_style.variants({method: method for method in study.arms.values()})
        points = [(study.trained(row.arm), operations.counted(study, row), row) for row in study.rows]
        known = [(trained, cost, row) for trained, cost, row in points if trained and cost and row.arm != study.ceiling]
        for trained, cost, row in known:
            axes.plot(100 * trained, 100 * cost, linestyle="", markersize=6, zorder=3, **looks[row.method])
            axes.annotate(
                row.arm.partition(" ")[2], (100 * trained, 100 * cost), (7, -4), textcoords="offset points",
                ha="left", va="top", fontsize=8,
            )  # fmt: skip
            methods[row.method] = looks[row.method]["color"]
        shares = [float(trained) for trained, _, _ in known] or [1e-4, 1.0]
        line = np.exp(np.linspace(np.log(min(shares) / 2), np.log(3 * max(shares)), 50))
        axes.plot(100 * line, 100 * (operations.FROZEN + line), color=figure_style.FLOOR, linewidth=1.2)
        axes.axhline(100, color="black", linewidth=0.8, linestyle=":")
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter("{x:g}")
        axes.minorticks_off()
        axes.set_xlabel("trained share (%)")
        axes.set_title(figure_style.short(study.model, 24))
        axes.set_ylim(bottom=LEAST)
    grid[0].set_ylabel(f"operations, % of {studies[0].ceiling}'s step" if studies else "")
    handles = [Line2D([], [], label=name, linestyle="", marker="o", color=color) for name, color in methods.items()]
    handles.append(Line2D([], [], label="2/3 + trained share", color=figure_style.FLOOR, linewidth=1.2))
    handles.append(Line2D([], [], label=str(studies[0].ceiling), color="black", linewidth=0.8, linestyle=":"))
    figure_style.legend(figure, handles, len(handles), "counted in one step, without weights; no interval")
    return figure
