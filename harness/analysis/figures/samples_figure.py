"""Scores against the number of training rows, ours beside the published."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.analysis.output import figure_style
from harness.analysis.study import estimates
from harness.analysis.study.selection import Panel
from harness.analysis.study.study import Study
from harness.analysis.views import samples

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ACROSS = 2
BESIDE = 1.03
"""By what factor the rows of two neighbours differ on the page."""


def draw(studies: Sequence[Study]) -> "Figure":
    """Draw a panel per model and measure, then one per model of the paper."""
    looks, printed = figure_style.looks(studies), _printed(studies[0])
    ours = [(study, *quantity) for study in studies for quantity in samples.quantities(study)]
    count = len(ours) + len(printed)
    down = -(-count // ACROSS)
    figure = figure_style.figure(figsize=(0.8 + 3.4 * min(count, ACROSS), 0.7 + 2.7 * down))
    grid = figure.subplots(down, min(count, ACROSS), squeeze=False).flat
    compared: dict[str, list[Axes]] = {}
    for study, name, panel, factor in ours:
        axes = next(grid)
        compared.setdefault(name, []).append(axes)
        _ours(axes, study, panel, factor, looks)
        axes.set_title(figure_style.short(study.model, 28))
        axes.set_ylabel(f"{name} (points)" if factor > 1 else name)
    for model, lines in printed.items():
        axes = next(grid)
        compared.setdefault("published", []).append(axes)
        for method, points in lines.items():
            arm = studies[0].arm(method)
            look = looks.get(arm or "", {"color": figure_style.FLOOR, "marker": "."})
            axes.plot(*zip(*points, strict=True), linestyle="-", linewidth=1.2, markersize=5, **look)
        _rows(axes, sorted({rows for points in lines.values() for rows, _ in points}))
        axes.set_title(f"as published: {model}")
        axes.set_ylabel("MT-Bench score, by GPT-4")
    figure_style.align(compared)
    for axes in grid:
        axes.set_axis_off()
    _legend(figure, studies, looks)
    return figure


def _ours(axes: "Axes", study: Study, panel: Panel, factor: float, looks: Mapping[str, Any]) -> None:
    """Draw our scores, shifted a little per method so that no interval hides another."""
    by_size = {name: size for name, size in samples.sizes(study).items() if name in panel.tasks}
    for place, arm in enumerate(panel.arms):
        scores = {size: estimates.score(panel, arm, panel.tasks.index(name)).main for name, size in by_size.items()}
        known = {size: score for size, score in scores.items() if not np.isnan(score.mean)}
        if not known:
            continue
        aside = BESIDE ** (place - (len(panel.arms) - 1) / 2)
        means = [factor * score.mean for score in known.values()]
        at = [size * aside for size in known]
        axes.plot(at, means, linestyle="-", linewidth=1.2, markersize=5, zorder=3, **looks[arm])
        for x, score in zip(at, known.values(), strict=True):
            if score.high > score.low:
                ends = [factor * score.low, factor * score.high]
                axes.plot([x, x], ends, color=looks[arm]["color"], linewidth=1.0, alpha=0.6)
    _rows(axes, sorted(by_size.values()))


def _printed(study: Study) -> dict[str, dict[str, list[tuple[float, float]]]]:
    """Return model -> method -> (training rows, printed score), where the published file has such columns."""
    printed: dict[str, dict[str, list[tuple[float, float]]]] = {}
    for row in study.published:
        if row.get("n_samples") and row.get("mtbench_score"):
            lines = printed.setdefault(row["model"], {})
            lines.setdefault(row["method"].lower(), []).append((float(row["n_samples"]), float(row["mtbench_score"])))
    return printed


def _rows(axes: "Axes", ticks: Sequence[float]) -> None:
    """Set a log axis with a tick at every number of rows; of two that would touch, only the last."""
    axes.set_xscale("log")
    spaced = [tick for tick in ticks if tick == ticks[-1] or ticks[-1] / tick > 1.3]
    axes.set_xticks(spaced, [f"{tick:,.0f}" for tick in spaced])
    axes.minorticks_off()
    axes.set_xlabel("training rows")


def _legend(figure: "Figure", studies: Sequence[Study], looks: Mapping[str, Any]) -> None:
    from matplotlib.lines import Line2D

    arms = list(dict.fromkeys(arm for study in studies for arm in study.clean.arms))
    handles = [Line2D([], [], label=figure_style.named(studies, arm), markersize=5, **looks[arm]) for arm in arms]
    panels = [panel for study in studies for _, panel, _ in samples.quantities(study)]
    printed = figure_style.PRINTED if _printed(studies[0]) else ""
    level = f"mean over seeds, bars: {figure_style.level(studies, panels)}{printed}"
    absent = figure_style.unplaced(studies, _drawn)
    marks, below = figure_style.marked(studies), figure_style.subtitle(studies)
    figure_style.legend(
        figure, handles, max(1, min(len(handles), 4)), level, _foreign(studies[0]), absent, marks, below
    )


def _drawn(study: Study, arm: str) -> bool:
    """Return whether the arm has a score at some number of rows."""
    return any(not np.isnan(panel.of(arm)).all() for _, panel, _ in samples.quantities(study) if arm in panel.arms)


def _foreign(study: Study) -> str:
    """Return a line that names the published methods without an arm of ours, which are drawn grey."""
    methods = dict.fromkeys(method for lines in _printed(study).values() for method in lines)
    grey = [method for method in methods if not study.arm(method)]
    return f"grey, published alone: {', '.join(grey)}" if grey else ""
