"""Score against each cost: which methods are dominated, as a table and as one panel a cost."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.analysis.output import figure_style, notes, rate_marks
from harness.analysis.output.table import MISSING, Entry, Table, word
from harness.analysis.study import estimates
from harness.analysis.study.study import Study
from harness.analysis.tradeoffs import dominance
from harness.analysis.views import cost

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MIB, KIB, MILLION = 2.0**20, 2.0**10, 1e6
TRAINED = 4
"""A trained parameter has a value, a gradient and AdamW's two moments."""
SHOWN = 6
"""The most dominators that a row names."""
OTHERS = "#c4c4c4"
WIDE = 100
MEANING = (
    "mean over tasks; the line joins what no method beats at a lower cost of this kind\n"
    "small grey marks: other methods with one untuned rate, named in the table"
)


@dataclass(frozen=True)
class Axis:
    """A cost as an axis of the figure. value: (study, arm) -> its value in the unit, NaN where it is not known."""

    label: str
    value: Callable[[Study, str, Mapping[str, dominance.Cost]], float]


AXES = (
    Axis("peak of training (MiB)", lambda study, arm, known: known[arm].peak / MIB),
    Axis("operations of a step (millions)", lambda study, arm, known: known[arm].operations / MILLION),
    Axis("seconds per step", lambda study, arm, known: cost.seconds_per_step(study, arm)),
    Axis("stored bytes (KiB)", lambda study, arm, known: known[arm].stored / KIB),
)


def table(study: Study) -> Table:
    """Return one row per arm, the best score first: score, costs, and which arms dominate it."""
    known, rows = dominance.costs(study), []
    for arm in rate_marks.by_score(study):
        keys = study.clean.cells(arm)
        trained = known[arm].stored * TRAINED
        rows.append((
            rate_marks.named(study, arm),
            rate_marks.scored(study, arm),
            _entry(known[arm].peak / MIB, keys),
            _entry(known[arm].operations / MILLION, keys),
            _entry(cost.seconds_per_step(study, arm), keys),
            _entry(trained / KIB, keys),
            _entry(known[arm].stored / KIB, keys),
            _dominated(study, arm, known),
        ))  # fmt: skip
    heads = (
        "method", f"{study.role} score", "peak of training, MiB", "operations of a step, millions", "seconds per step",
        "trained, KiB", "stored, KiB", "dominated by",
    )  # fmt: skip
    return Table("pareto", "Score against each cost", study.model, heads, tuple(rows), _notes(study))


def _dominated(study: Study, arm: str, known: Mapping[str, dominance.Cost]) -> Entry:
    better = dominance.dominators(study, arm, known)
    names = [name if sure else f"({name})" for name, sure in better]
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return word(", ".join(names[:SHOWN]) + more if names else MISSING)


def figure(studies: Sequence[Study]) -> "Figure":
    """Draw the mean score against each cost, four panels per model. A line joins what no arm beats at a lower cost.

    Arms on the line and arms with a tuned rate have names, the others are grey: the table has them all. What trains
    nothing is a dashed line across, because its costs of training are 0.
    """
    looks = figure_style.looks(studies)
    made = figure_style.figure(figsize=(8.4, 0.8 + 6.4 * len(studies)))
    grid = made.subplots(2 * len(studies), 2, squeeze=False)
    drawn = []
    for place, study in enumerate(studies):
        known = dominance.costs(study)
        for index, axis in enumerate(AXES):
            axes = grid[2 * place + index // 2][index % 2]
            points = _points(study, {arm: axis.value(study, arm, known) for arm in study.clean.arms})
            named = _panel(axes, study, points, looks)
            axes.set_xlabel(axis.label)
            axes.set_title(figure_style.short(study.model, 28) if index == 0 else "")
            drawn.append((axes, study, {arm: points[arm] for arm in named}))
    lines = MEANING, figure_style.level(studies), figure_style.marked(studies, untuned="*")
    figure_style.legend(made, [], 1, *lines, figure_style.subtitle(studies))
    made.draw_without_rendering()  # names are placed on the page as it will be
    for axes, study, placed in drawn:
        cost.put_names(axes, study, placed, looks)
    return made


def _points(study: Study, values: Mapping[str, float]) -> dict[str, tuple[float, float]]:
    """Return arm -> (cost, score in points) of the arms that have both."""
    means = {arm: 100 * estimates.score(study.clean, arm).main.mean for arm in values}
    return {
        arm: (value, means[arm])
        for arm, value in values.items()
        if study.trains(arm) and value > 0 and not np.isnan(means[arm])
    }


def _panel(
    axes: "Axes", study: Study, points: Mapping[str, tuple[float, float]], looks: Mapping[str, Mapping[str, Any]]
) -> list[str]:
    """Draw one panel and return the arms whose names it needs."""
    best = frontier(points)
    named = [arm for arm, point in points.items() if point in best or not rate_marks.untuned(study, arm)]
    for arm, (value, mean) in points.items():
        look = looks[arm] if arm in named else {"color": OTHERS, "marker": "."}
        main = estimates.score(study.clean, arm).main
        if main.high > main.low and arm in named:
            axes.plot([value] * 2, [100 * main.low, 100 * main.high], color=look["color"], linewidth=0.8, alpha=0.5)
        axes.plot(value, mean, linestyle="", markersize=5, zorder=3 if arm in named else 2, **look)
    if best:
        axes.step(*zip(*best, strict=True), where="post", color=OTHERS, linewidth=1.0, zorder=1)
    _lines_across(axes, study, looks)
    _scale(axes, f"{study.role} score (points)")
    return named


def _lines_across(axes: "Axes", study: Study, looks: Mapping[str, Mapping[str, Any]]) -> None:
    """Draw the score of what trains nothing."""
    for arm in study.clean.arms:
        mean = 100 * estimates.score(study.clean, arm).main.mean
        if not study.trains(arm) and not np.isnan(mean):
            where: Any = {"xycoords": ("axes fraction", "data"), "textcoords": "offset points"}
            axes.axhline(mean, color=looks[arm]["color"], linewidth=0.9, linestyle="--", zorder=1)
            axes.annotate(arm, (0, mean), (3, 3), fontsize=7, **where)


def _scale(axes: "Axes", label: str) -> None:
    """Give a panel its logarithmic axis; its ticks are at 1, 2 and 5 of each decade where these are few."""
    from matplotlib.ticker import LogLocator, NullFormatter, NullLocator

    axes.set_xscale("log")
    low, high = axes.get_xlim()
    axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if high < WIDE * low else (1.0,)))
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_ylabel(label)
    axes.margins(x=0.12, y=0.1)


def frontier(points: Mapping[str, tuple[float, float]]) -> list[tuple[float, float]]:
    """Return the points (cost, score) that no other reaches at the same or a lower cost, the cheapest first."""
    best: list[tuple[float, float]] = []
    for value, mean in sorted(points.values(), key=lambda point: (point[0], -point[1])):
        if not best or mean > best[-1][1]:
            best.append((value, mean))
    return best


def _entry(value: float, keys: Sequence[str]) -> Entry:
    return Entry(MISSING) if np.isnan(value) else Entry(f"{value:.4g}", value, keys=tuple(keys))


def _notes(study: Study) -> tuple[str, ...]:
    beside = int(study.selected.cells_beside.max()) if len(study.selected) else 0
    shared = f"; up to {beside} other cells ran at the same time" if beside else ""
    return (
        *notes.common_notes(study),
        "dominated by: methods that cost no more in memory, operations and stored bytes and score at least as high; "
        "in brackets where the interval of the difference of scores is not above 0, or a better rate could change it",
        "operations of a step: counted, on a typical batch; they stand for the time, because seconds depend on what "
        f"else the machine did{shared}",
        "trained: the bytes of the values, gradients and AdamW's moments of what trains; stored: those of the delta, "
        "4 for each of its parameters and of its head's",
        *rate_marks.notes(study),
    )
