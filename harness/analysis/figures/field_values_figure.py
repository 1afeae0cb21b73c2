"""Mean score against a field of the methods, such as the rank: ours beside the published."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.analysis.output import figure_style, rate_marks
from harness.analysis.study import estimates
from harness.analysis.study.study import Study
from harness.analysis.views import field_values

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BESIDE = 1.06
"""By what factor two methods at one value of the field stand apart."""


def draw(studies: Sequence[Study]) -> "Figure":
    """Draw one panel per model, the mean over test sets with its interval; the last has the published averages."""
    field, compared = _compared(studies[0])
    printed = _printed(studies[0], field)
    looks = figure_style.looks(studies)
    across = len(studies) + bool(printed)
    figure = figure_style.figure(figsize=(0.8 + 3.4 * across, 3.6))
    grid = figure.subplots(1, across, squeeze=False, sharex=True, sharey=True)[0]
    colours = {method: _look(studies[0], method, field, looks) for method in compared}
    for axes, study in zip(grid, studies, strict=False):
        for place, method in enumerate(compared):
            aside = BESIDE ** (place - (len(compared) - 1) / 2)
            _ours(axes, study, (method, field), colours[method], aside)
        axes.set_title(figure_style.short(study.model, 28))
        axes.set_ylabel(f"{study.role} score, mean over sets (points)")
    for method, points in printed.items():
        look = colours.get(method, {"color": figure_style.FLOOR, "marker": "."})
        grid[-1].plot(*zip(*points, strict=True), linestyle="-", linewidth=1.2, markersize=5, **look)
        grid[-1].set_title("as published")
        grid[-1].set_ylabel("average accuracy (points)")
    ours = {value for study in studies for method in compared for value in field_values.arms(study, method, field)}
    theirs = {value for points in printed.values() for value, _ in points}
    for axes in grid:
        _ranks(axes, field, sorted(ours | theirs))
    _legend(figure, colours, field, studies, [method for method in printed if method not in colours])
    return figure


def _compared(study: Study) -> tuple[str, tuple[str, ...]]:
    """Return (field, methods) of the exhibit's first claim about variants."""
    for _, options in study.exhibit.claims:
        if "left" in options:
            return str(options.get("field", "rank")), (str(options["right"]), str(options["left"]))
    return "rank", study.exhibit.methods()


def _look(study: Study, method: str, field: str, looks: Mapping[str, Any]) -> dict[str, Any]:
    """Return the look of a method's first variant, which all its variants share."""
    arms = list(field_values.arms(study, method, field).values())
    return dict(looks[arms[0]]) if arms else {"color": figure_style.FLOOR, "marker": "."}


def _ours(axes: "Axes", study: Study, place: tuple[str, str], look: Mapping[str, Any], aside: float) -> None:
    """Draw one method. place: (method, field). aside: a factor of the field's values, so that no bar hides another."""
    arms = field_values.arms(study, *place)
    scores = {value: estimates.score(study.clean, arm).main for value, arm in arms.items()}
    known = {value: score for value, score in scores.items() if not np.isnan(score.mean)}
    if not known:
        return
    means = [100 * score.mean for score in known.values()]
    axes.plot([value * aside for value in known], means, linestyle="-", linewidth=1.2, markersize=5, zorder=3, **look)
    for value, score in known.items():
        edges = rate_marks.arrows(study, arms[value], study.clean.tasks).strip()
        top = score.mean if np.isnan(score.high) else score.high
        axes.annotate(
            edges,
            (value * aside, 100 * top),
            (0, 2),
            textcoords="offset points",
            ha="center",
            fontsize=8,
            color=look["color"],
        )
        if score.high > score.low:
            axes.plot(
                [value * aside] * 2, [100 * score.low, 100 * score.high], color=look["color"], linewidth=1.0, alpha=0.6
            )


def _printed(study: Study, field: str) -> dict[str, list[tuple[float, float]]]:
    """Return method -> (value of the field, printed average), of the paper's last version in the file."""
    rows = [row for row in study.published if row.get(field) and row.get("avg_reported")]
    versions = [row.get("paper_version") for row in rows if "README" not in str(row.get("paper_version"))]
    last = [row for row in rows if row.get("paper_version") == versions[-1]] if versions else []
    points: dict[str, list[tuple[float, float]]] = {}
    for row in last:
        points.setdefault(row["method"].lower(), []).append((float(row[field]), float(row["avg_reported"])))
    return points


def _ranks(axes: "Axes", field: str, ticks: Sequence[float]) -> None:
    axes.set_xscale("log", base=2)
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.minorticks_off()
    axes.set_xlabel(field)


def _legend(
    figure: "Figure", colours: Mapping[str, Any], field: str, studies: Sequence[Study], foreign: Sequence[str]
) -> None:
    from matplotlib.lines import Line2D

    alone = {study.method_of[arm] for study in studies for arm in study.clean.arms if rate_marks.untuned(study, arm)}
    shown = [arm for study in studies for arm in study.clean.arms if study.method_of[arm] in colours]
    names = {method: f"{method} ({rate_marks.UNTUNED})" if method in alone else method for method in colours}
    handles = [Line2D([], [], label=names[method], markersize=5, **look) for method, look in colours.items()]
    level = f"bars: {figure_style.level(studies)}{figure_style.PRINTED if foreign or studies[0].published else ''}"
    grey = f"grey, published alone: {', '.join(foreign)}" if foreign else ""
    placed = {
        arm
        for study in studies
        for method in colours
        for arm in field_values.arms(study, method, field).values()
        if not np.isnan(estimates.score(study.clean, arm).main.mean)
    }
    absent = figure_style.unplaced(studies, lambda study, arm: arm in placed)
    lines = level, grey, absent, figure_style.marked(studies, shown), figure_style.subtitle(studies)
    figure_style.legend(figure, handles, len(handles), *lines)
