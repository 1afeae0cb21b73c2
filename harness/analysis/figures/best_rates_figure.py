"""The figure of validation losses over learning rates, with the parabolas and the intervals of the best rates."""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.analysis.output import figure_style
from harness.analysis.study import statistics
from harness.analysis.study.study import Study
from harness.analysis.tuning import losses, optimum
from harness.analysis.tuning.optimum import Grid
from harness.formatting import rate

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FOOT = 0.035
"""The distance of two intervals at the foot of a panel, as a share of its height."""
FEWEST_TICKS = 3


def draw(studies: Sequence[Study]) -> "Figure":
    """Draw one row of panels per model: after the fewest and after the most steps."""
    looks = figure_style.looks(studies)
    shown = {study.model: _shown(study) for study in studies}
    across = max(map(len, shown.values()), default=1) or 1
    figure = figure_style.figure(figsize=(0.9 + 3.5 * across, 1.1 + 2.9 * len(studies)))
    grid = figure.subplots(len(studies), across, squeeze=False, sharex="row", sharey="row")
    for row, study in zip(grid, studies, strict=True):
        panels = [_grids(study, step) for step in shown[study.model]]
        for axes, step, known in zip(row, shown[study.model], panels, strict=False):
            _losses(axes, known, looks)
            axes.set_title(f"{figure_style.short(study.model, 24)}, {step} steps")
        between = row[0].get_ylim()  # of all panels of the row, which share it
        for axes, known in zip(row, panels, strict=False):
            _best(axes, known, between, looks)
        for axes in row[len(shown[study.model]) :]:
            axes.set_axis_off()
        row[0].set_ylabel("lowest validation loss")
    for axes in grid[-1]:
        axes.set_xlabel("learning rate")
    _legend(figure, studies, looks)
    return figure


def _shown(study: Study) -> list[int]:
    known = losses.steps(study)
    return list(dict.fromkeys((known[0], known[-1]))) if known else []


def _grids(study: Study, step: int) -> dict[str, Grid]:
    """Return arm -> its losses by rate up to a step, for the arms that have any."""
    grids = {arm: losses.grid(study, arm, step) for arm in study.clean.arms}
    return {arm: grid for arm, grid in grids.items() if grid.values.size}


def _losses(axes: "Axes", known: Mapping[str, Grid], looks: Any) -> None:
    """Draw the mean losses, and the parabola near the best one."""
    axes.set_xscale("log")
    axes.set_yscale("log")
    for arm, grid in known.items():
        axes.plot(grid.rates, np.exp(grid.values.mean(axis=1)), markersize=4, linestyle="", **looks[arm])
        if (fitted := optimum.parabola(grid)) is not None:
            axes.plot(fitted[0], np.exp(fitted[1]), color=looks[arm]["color"], linewidth=1.4)


def _best(axes: "Axes", known: Mapping[str, Grid], between: tuple[float, float], looks: Any) -> None:
    """Draw the intervals of the best rates at the foot. between: the limits of what is drawn above it."""
    low, high = between
    room = FOOT * (len(known) + 1) * (math.log(high) - math.log(low))
    axes.set_ylim(low * math.exp(-room), high)
    for place, (arm, grid) in enumerate(known.items()):
        _interval(axes, grid, FOOT * (place + 0.7), looks[arm])
    _ticks(axes, sorted({float(value) for grid in known.values() for value in grid.rates}), between)


def _ticks(axes: "Axes", rates: Sequence[float], losses_between: tuple[float, float]) -> None:
    """Set a tick at every second rate, and at losses of 1, 2 and 5 of each decade, or of all digits where few fit."""
    axes.set_xticks(rates[::2], [rate(value) for value in rates[::2]], rotation=45)
    low, high = losses_between
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    within: list[float] = []
    for digits in ((1, 2, 5), range(1, 10)):
        if len(within) < FEWEST_TICKS:
            ticks = [digit * 10.0**decade for decade in decades for digit in digits]
            within = [tick for tick in ticks if low <= tick <= high]
    axes.set_yticks(within, [f"{tick:g}" for tick in within])
    axes.minorticks_off()


def _interval(axes: "Axes", grid: Grid, height: float, look: Any) -> None:
    """Draw the best rate and its interval at a height of the panel, as a share of it, cut at the panel's sides."""
    main = optimum.best(grid).interval
    if math.isnan(main.mean):
        return
    across = axes.get_xaxis_transform()
    if not math.isnan(main.low):
        ends = [max(10**main.low, grid.rates[0]), min(10**main.high, grid.rates[-1])]
        axes.plot(ends, [height] * 2, color=look["color"], linewidth=2.2, alpha=0.7, transform=across)
    axes.plot([10**main.mean], [height], markersize=6, linestyle="", transform=across, **look)


def _legend(figure: "Figure", studies: Sequence[Study], looks: Any) -> None:
    from matplotlib.lines import Line2D

    arms = list(dict.fromkeys(arm for study in studies for arm in study.clean.arms))
    handles = [Line2D([], [], label=figure_style.short(arm), markersize=5, linewidth=1.4, **looks[arm]) for arm in arms]
    level = (
        f"points: geometric mean over seeds and tasks, {figure_style.seeds(studies)}; line: parabola near the lowest; "
        f"\nat the foot: its lowest point, the best rate, with its {statistics.LEVEL:.0%} interval over seeds"
    )
    absent = figure_style.unplaced(studies, _drawn)
    figure_style.legend(figure, handles, max(1, min(len(handles), 4)), level, absent, figure_style.subtitle(studies))


def _drawn(study: Study, arm: str) -> bool:
    known = losses.steps(study)
    return bool(known) and bool(losses.grid(study, arm, known[-1]).values.size)
