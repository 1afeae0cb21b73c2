"""The figure of inference latency: each method's time beside the bare backbone's, before and after merging."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.analysis.output import figure_style
from harness.analysis.study.study import Study
from harness.analysis.views import latency

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SHIFT = {"unmerged": 0.14, "merged": -0.14}
"""Of a row: the two states stand one under the other."""


def draw(studies: Sequence[Study]) -> "Figure":
    """Draw a row of panels per model, one per batch size; filled marks are unmerged, hollow ones merged, 1 is no
    cost.
    """
    from matplotlib.lines import Line2D

    looks = figure_style.looks(studies)
    sizes = sorted({size for study in studies for size in latency.sizes(study)}, key=int) or ["1"]
    most = max(len(study.clean.arms) for study in studies)
    figure = figure_style.figure(figsize=(1.2 + 3.2 * len(sizes), 0.9 + len(studies) * (0.6 + 0.34 * most)))
    grid = figure.subplots(len(studies), len(sizes), squeeze=False, sharex=True, sharey="row")
    for row, study in zip(grid, studies, strict=True):
        arms = latency.by_time(study, sizes[0])[::-1]
        for axes, size in zip(row, sizes, strict=True):
            _panel(axes, study, arms, size, looks)
            axes.set_title(f"{figure_style.short(study.model, 28)}, batch {size}")
        row[0].set_yticks(range(len(arms)), [figure_style.short(arm) for arm in arms])
    marks: list[Any] = [
        Line2D([], [], linestyle="", marker="o", color="#555555", label="unmerged"),
        Line2D([], [], linestyle="", marker="o", color="#555555", markerfacecolor="white", label="merged"),
    ]
    level = f"mean over tasks with its {figure_style.level(studies, over_seeds=True)}; in turns with the bare backbone"
    figure_style.legend(figure, marks, 2, level, figure_style.subtitle(studies))
    return figure


def _panel(axes: "Axes", study: Study, arms: Sequence[str], size: str, looks: dict[str, dict[str, Any]]) -> None:
    axes.axvline(1, color=figure_style.FLOOR, linewidth=0.9, linestyle="--", zorder=1)
    for state, shift in SHIFT.items():
        panel = latency.ratios(study, state, size)
        for place, arm in enumerate(arms):
            interval = latency.estimate(panel, arm).main
            if np.isnan(interval.mean):
                continue
            if interval.high > interval.low:
                axes.hlines(place + shift, interval.low, interval.high, color=looks[arm]["color"], linewidth=0.9)
            face = {"markerfacecolor": "white"} if state == "merged" else {}
            axes.plot(interval.mean, place + shift, linestyle="", markersize=5, **{**looks[arm], **face})
    axes.set_xlabel("time to answer, as a multiple of the backbone's")
    axes.grid(axis="y", visible=False)
    axes.set_ylim(-0.5, len(arms) - 0.5)
