"""The figures of losses over steps, and of losses over the size of a batch."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.analysis.output import figure_style
from harness.analysis.study import statistics
from harness.analysis.study.statistics import Array
from harness.analysis.study.study import Study
from harness.analysis.tuning import batch_cost, loss_differences, loss_lines

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Line = tuple[str, list[float], Array, dict[str, Any]]
"""The name of a line, its places, the log losses [places, seeds], and its look."""
BESIDE = 1.03
"""By what factor two lines stand apart, so that no interval hides another."""


def steps(studies: Sequence[Study]) -> "Figure":
    """Draw one panel per model: the training loss of each arm at its best rate over the steps."""
    return _draw(studies, _over_steps, "steps", "training loss", "each arm at its best rate; ")


def sizes(studies: Sequence[Study]) -> "Figure":
    """Draw one panel per model: the lowest validation loss of each method over the size of a batch."""
    return _draw(studies, _over_sizes, "rows of a batch", "lowest validation loss", "as many rows in all; ")


def _over_steps(study: Study, looks: dict[str, Any]) -> list[Line]:
    known = [(arm, loss_lines.lines(study, arm)) for arm in study.clean.arms]
    return [(arm, [float(step) for step in made.steps], made.logs, looks[arm]) for arm, made in known if made]


def _over_sizes(study: Study, looks: dict[str, Any]) -> list[Line]:
    logs = loss_differences.panel(study)
    groups = batch_cost.by_size(study)
    methods = figure_style.variants({name: study.method_of[next(iter(arms.values()))] for name, arms in groups.items()})
    drawn = []
    for name, arms in groups.items():
        known = {size: logs.of(arm).mean(axis=0) for size, arm in arms.items() if arm in logs.arms}
        if known:
            drawn.append((name, [float(size) for size in known], np.stack(list(known.values())), methods[name]))
    return drawn


def _draw(
    studies: Sequence[Study], lines_of: Callable[..., list[Line]], across: str, down: str, about: str
) -> "Figure":
    from matplotlib.ticker import LogLocator

    looks = figure_style.looks(studies)
    figure = figure_style.figure(figsize=(1.2 + 3.8 * len(studies), 3.9))
    grid = figure.subplots(1, len(studies), squeeze=False, sharey=True)[0]
    named: dict[str, dict[str, Any]] = {}
    for axes, study in zip(grid, studies, strict=True):
        lines = lines_of(study, looks)
        axes.set_xscale("log", base=2)
        axes.set_yscale("log")
        for place, line in enumerate(lines):
            _line(axes, line, BESIDE ** (place - (len(lines) - 1) / 2))
            named[line[0]] = line[3]
        ticks = sorted({at for _, places, _, _ in lines for at in places})
        axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter("{x:.3g}")
        axes.minorticks_off()
        axes.set_xlabel(across)
        axes.set_title(figure_style.short(study.model, 28))
    grid[0].set_ylabel(down)
    _legend(figure, studies, named, about)
    return figure


def _line(axes: "Axes", line: Line, aside: float) -> None:
    _, places, logs, look = line
    ends = [statistics.over_seeds(row[None]) for row in logs]
    at = [place * aside for place in places]
    axes.plot(at, [np.exp(end.mean) for end in ends], linewidth=1.4, markersize=5, zorder=3, **look)
    for x, end in zip(at, ends, strict=True):
        if end.high > end.low:
            axes.plot([x, x], np.exp([end.low, end.high]), color=look["color"], linewidth=1.0, alpha=0.6)


def _legend(figure: "Figure", studies: Sequence[Study], named: dict[str, dict[str, Any]], about: str) -> None:
    from matplotlib.lines import Line2D

    handles = [Line2D([], [], label=figure_style.short(name), markersize=5, **look) for name, look in named.items()]
    level = f"{about}bars: {figure_style.level(studies, over_seeds=True)}"
    figure_style.legend(figure, handles, max(1, min(len(handles), 4)), level, figure_style.subtitle(studies))
