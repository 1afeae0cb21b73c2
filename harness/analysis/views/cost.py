"""Score and cost of the methods: trainable parameters, their share, seconds per step."""

import math
from collections.abc import Sequence
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np

from harness import formatting
from harness.analysis.output import figure_style, notes, rate_marks
from harness.analysis.output.table import MISSING, Entry, Table
from harness.analysis.study import estimates
from harness.analysis.study.study import Study

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.transforms import Bbox

SIDES = ((1, 0), (-1, 0), (0, 1), (0, -1), (1, 1), (-1, 1), (1, -1), (-1, -1))
REACH = (6, 12, 20, 30, 42, 56, 72, 90)
"""Where a name may stand: to which side of its mark, and how many points away."""


def table(study: Study) -> Table:
    """Return one row per arm, the best mean score first: score, trainable parameters, their share, seconds per step.

    A device that reports energy adds a column of joules.
    """
    panel, energy = study.clean, bool(study.selected.energy_j.notna().any())
    rows = []
    for arm in rate_marks.by_score(study):
        keys, trained = panel.cells(arm), parameters(study, arm)
        share = MISSING if trained is None else f"{100 * trained[1]:.3g} %"
        rows.append((
            rate_marks.named(study, arm),
            rate_marks.scored(study, arm),
            Entry(MISSING) if trained is None else Entry(f"{trained[0]:,}", trained[0], keys=keys),
            Entry(share, None if trained is None else 100 * trained[1], keys=keys),
            _seconds(study, arm, keys),
            *(_joules(study, arm) if energy else ()),
        ))  # fmt: skip
    joules = ("joules per run", "joules per point") if energy else ()
    columns = ("method", "score", "trainable parameters", "share", "seconds per step", *joules)
    return Table("cost", "Score and cost", study.model, columns, tuple(rows), _notes(study))


def _notes(study: Study) -> tuple[str, ...]:
    beside = int(study.selected.cells_beside.max()) if len(study.selected) else 0
    others = formatting.count(beside, "other cell")
    beside_note = f"; up to {others} ran at the same time, so no claim uses them" if beside else ""
    return (
        *notes.common_notes(study),
        "share: trainable parameters as a share of the backbone's, a task head counted apart",
        f"seconds per step: seconds of training without evaluation, per step, median over cells{beside_note}",
        *rate_marks.notes(study),
    )


def parameters(study: Study, arm: str) -> tuple[int, float] | None:
    """Return (trainable parameters, their share of the backbone's); None where the records lack them."""
    return study.trained(arm)


def _joules(study: Study, arm: str) -> tuple[Entry, Entry]:
    """Return the joules of the device, from loading to the last score, median over cells; and per point of each cell's
    own score.
    """
    rows = study.selected[(study.selected.arm == arm) & (study.selected.role == study.role)]
    cells = rows.groupby("key", sort=False).agg(energy=("energy_j", "first"), score=("score", "mean")).dropna()
    if cells.empty:
        return Entry(MISSING), Entry(MISSING)
    keys = tuple(map(str, cells.index))
    run, point = float(cells.energy.median()), float((cells.energy / (100 * cells.score)).median())
    return Entry(f"{run:.4g}", run, keys=keys), Entry(f"{point:.3g}", point, keys=keys)


def _seconds(study: Study, arm: str, keys: Sequence[str]) -> Entry:
    middle = seconds_per_step(study, arm)
    return Entry(MISSING) if np.isnan(middle) else Entry(f"{middle:.3g}", middle, keys=tuple(keys))


def seconds_per_step(study: Study, arm: str) -> float:
    """Return the seconds per step, median over cells; NaN where nothing trained.

    The last point of a curve has the steps and seconds of the whole training.
    """
    last = study.curves[study.curves.key.isin(study.clean.cells(arm))].groupby("key")[["step", "seconds"]].max()
    last = last[last.step > 0].dropna()
    return float((last.seconds / last.step).astype(float).median()) if len(last) else math.nan


def against_share(studies: Sequence[Study]) -> "Figure":
    """Draw the mean score with its interval against the trainable share, on a log axis; a panel per model.

    What trains nothing is a line across. Names stand at their marks: there are more methods than colours.
    """
    looks = figure_style.looks(studies)
    figure = figure_style.figure(figsize=(7.6, 0.4 + 4.8 * len(studies)))
    grid = figure.subplots(len(studies), 1, squeeze=False, sharex=True, sharey=True)[:, 0]
    for axes, study in zip(grid, studies, strict=True):
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
        axes.margins(x=0.08, y=0.1)
        axes.set_title(figure_style.short(study.model, 28))
        axes.set_xlabel("trainable share of the backbone (%)")
        axes.set_ylabel(f"{study.role} score (points)")
        _marks(axes, study, looks)
    level = f"mean over tasks with its {figure_style.level(studies)}"
    marks = figure_style.marked(studies, untuned="*")
    absent = figure_style.unplaced(studies, _drawn)
    figure_style.legend(figure, [], 1, level, marks, absent, figure_style.subtitle(studies))
    figure.draw_without_rendering()  # names are placed on the page as it will be
    for axes, study in zip(grid, studies, strict=True):
        put_names(axes, study, {arm: place for arm in study.clean.arms if (place := _place(study, arm))}, looks)
    return figure


def _drawn(study: Study, arm: str) -> bool:
    """Return whether the arm has a mark or a line."""
    return parameters(study, arm) is not None and not np.isnan(estimates.score(study.clean, arm).main.mean)


def _label(study: Study, arm: str) -> str:
    """Return the name with the marks of its rates, shortened because many stand close together."""
    return figure_style.named([study], arm).replace(f" ({rate_marks.UNTUNED})", "*")


def _place(study: Study, arm: str) -> tuple[float, float] | None:
    """Return (share in percent, score in points); None where the score is not known or nothing trains."""
    trained, mean = parameters(study, arm), estimates.score(study.clean, arm).main.mean
    return None if trained is None or not trained[1] or np.isnan(mean) else (100 * trained[1], 100 * mean)


def _marks(axes: "Axes", study: Study, looks: dict[str, dict[str, Any]]) -> None:
    for arm in study.clean.arms:
        score, trained = estimates.score(study.clean, arm).main, parameters(study, arm)
        if np.isnan(score.mean) or trained is None:
            continue
        if not trained[1]:
            axes.axhline(100 * score.mean, color=looks[arm]["color"], linewidth=0.9, linestyle="--", zorder=1)
            where: Any = {"xycoords": ("axes fraction", "data"), "textcoords": "offset points"}
            axes.annotate(_label(study, arm), (0, 100 * score.mean), (3, 3), fontsize=7, **where)
            continue
        if score.high > score.low:
            ends = [[100 * (score.mean - score.low)], [100 * (score.high - score.mean)]]
            axes.errorbar(100 * trained[1], 100 * score.mean, yerr=ends, color=looks[arm]["color"], elinewidth=0.7)
        axes.plot(100 * trained[1], 100 * score.mean, linestyle="", markersize=5, zorder=3, **looks[arm])


def put_names(
    axes: "Axes", study: Study, placed: dict[str, tuple[float, float]], looks: dict[str, dict[str, Any]]
) -> None:
    """Draw each name at the first place where it covers no mark and no other name, with a thin line to its mark.

    Its letters have a white edge, so that a line behind them does not cross them.
    """
    from matplotlib.patheffects import withStroke
    from matplotlib.transforms import Bbox

    points: dict[str, tuple[float, float]] = {}
    for arm, place in placed.items():
        x, y = axes.transData.transform(place)
        points[arm] = float(x), float(y)
    taken = [Bbox.from_bounds(x - 4, y - 4, 8, 8) for x, y in points.values()]
    taken += [text.get_window_extent() for text in axes.texts]
    across = [line.get_window_extent() for line in axes.lines if line.get_linestyle() == "--"]
    taken += [Bbox.from_extents(axes.bbox.x0, line.y0 - 1, axes.bbox.x1, line.y0 + 1) for line in across]
    for arm in sorted(points, key=lambda arm: points[arm]):
        note = axes.annotate(
            _label(study, arm), placed[arm], (0, 0), textcoords="offset points", fontsize=7, zorder=4,
            arrowprops={"arrowstyle": "-", "color": looks[arm]["color"], "linewidth": 0.5, "shrinkA": 0, "shrinkB": 2},
        )  # fmt: skip
        note.set_in_layout(False)
        note.set_path_effects([withStroke(linewidth=2, foreground="white")])
        size, box = note.get_window_extent(), taken[0]
        for reach, (right, up) in product(REACH, SIDES):
            note.set_horizontalalignment(("center", "left", "right")[right])
            note.set_verticalalignment(("center", "bottom", "top")[up])
            note.xyann = (reach * right, reach * up)
            box = _box(points[arm], note.xyann, (size.width, size.height), (right, up), axes.figure.dpi / 72)
            inside = axes.bbox.contains(*box.min) and axes.bbox.contains(*box.max)
            if inside and not box.count_overlaps(taken):
                break
        taken.append(box)


def _box(
    point: tuple[float, float],
    offset: tuple[float, float],
    size: tuple[float, float],
    side: tuple[int, int],
    dot: float,
) -> "Bbox":
    """Return the box of a text of that size, in pixels, on `side` of the point, `offset` points away."""
    from matplotlib.transforms import Bbox

    left, low = (
        at + dot * away - (0, 0.5, 1)[(turn == 0) + 2 * (turn < 0)] * length
        for at, away, length, turn in zip(point, offset, size, side, strict=True)
    )
    return Bbox.from_bounds(left, low, *size)
