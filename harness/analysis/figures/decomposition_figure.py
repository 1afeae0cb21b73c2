"""Weights' changes in magnitude against their changes in direction: our points, and under them the paper's."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.analysis.output import figure_style
from harness.analysis.study.estimates import Estimate
from harness.analysis.study.statistics import Array
from harness.analysis.study.study import Study
from harness.analysis.views import decomposition, decomposition_clouds
from harness.analysis.views.decomposition_clouds import ALL, WITHIN, Cloud

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

STEPS = ["#56B4E9", "#0072B2", "#D55E00", "#661100"]
"""Of the checkpoints, the first one first."""
MARKERS = {"encoder": "o", "decoder": "^", "": "s", "1": "D", "2": "v"}
LINE = "#222222"


def draw(studies: Sequence[Study]) -> "Figure":
    """Draw a column per arm and a row per role, model and task; the last row of a role has the paper's points."""
    arms = list(dict.fromkeys(arm for study in studies for arm in study.clean.arms))
    rows = list(_rows(studies))
    figure = figure_style.figure(figsize=(0.5 + 2.75 * max(1, len(arms)), 1.2 + 2.3 * max(1, len(rows))))
    grid = figure.subplots(max(1, len(rows)), max(1, len(arms)), squeeze=False)
    seen: set[str] = set()
    for line, (study, role, task) in zip(grid, rows, strict=False):
        for axes, arm in zip(line, arms, strict=True):
            name, drawn, shown = _place(study, role, task, arm)
            _panel(axes, drawn)
            seen |= {kind for cloud in drawn for kind in cloud.kinds}
            axes.set_title(f"{name}\n{shown}", fontsize=8)
            axes.set_xlabel("ΔD (direction)")
        line[0].set_ylabel("ΔM (magnitude)")
    for axes in () if rows else grid[0]:
        axes.set_axis_off()
    _legend(figure, studies, seen)
    return figure


def _rows(studies: Sequence[Study]) -> Iterator[tuple[Study, str, str | None]]:
    """Return (study, role, task); the task is None for the paper's own points."""
    for role in dict.fromkeys(role for study in studies for role in decomposition.roles(study)):
        yield from ((study, role, task) for study in studies for task in decomposition.panel_of(study, role, ALL).tasks)
        if studies[0].published:
            yield studies[0], role, None


def _place(study: Study, role: str, task: str | None, arm: str) -> tuple[str, list[Cloud], str]:
    """Return a panel's name, its points, and their correlations as text."""
    weights = decomposition_clouds.PRINTED.get(role, role)
    if task is None:
        quote = decomposition.quotes(study).get(study.method_of.get(arm, arm), {})
        label, stated = str(quote.get("label", "")), (quote.get("stated") or {}).get(role)
        cloud = decomposition_clouds.printed(study, label, role)
        correlations = [
            _plain(decomposition_clouds.pearson(cloud, over) if cloud else np.nan) for over in (ALL, WITHIN)
        ]
        text = "" if stated is None else f", {_plain(float(stated))} in its text"
        return (
            f"{label or arm}, {weights}\nas published",
            [cloud] if cloud else [],
            _words(correlations[0] + text, correlations[1]),
        )
    if arm not in study.clean.arms:
        return f"{arm}, {weights}", [], "no cells"
    place = decomposition.panel_of(study, role, ALL).tasks.index(task)
    shown = [_interval(decomposition.correlation(study, arm, role, over, place)) for over in (ALL, WITHIN)]
    name = f"{figure_style.short(f'{arm}, {weights}', 38)}\n{figure_style.short(f'{study.model}, {task}', 38)}"
    return name, list(decomposition_clouds.of(study, arm, role, task)), _words(*shown)


def _words(overall: str, within: str) -> str:
    return f"r {overall}\nwithin a step {within}"


def _plain(value: float) -> str:
    return "—" if np.isnan(value) else f"{value:.2f}"


def _interval(estimate: Estimate) -> str:
    if np.isnan(estimate.main.low):
        return _plain(estimate.main.mean)
    return f"{estimate.main.mean:.2f} [{estimate.main.low:.2f}, {estimate.main.high:.2f}]"


def _panel(axes: "Axes", drawn: Sequence[Cloud]) -> None:
    from matplotlib.ticker import MaxNLocator

    if not drawn:
        axes.set_axis_off()
        return
    size = 14 if len(drawn) == 1 else 9
    for cloud in drawn:
        for kind in dict.fromkeys(cloud.kinds):
            own = [place for place, other in enumerate(cloud.kinds) if other == kind]
            for step in range(cloud.direction.shape[1]):
                at = cloud.direction[own, step], cloud.magnitude[own, step]
                look: dict[str, Any] = {"color": _colour(step), "marker": MARKERS.get(kind, "o")}
                # Thousands of points are one picture inside the SVG and the PDF.
                axes.scatter(*at, s=size, alpha=0.75, linewidths=0, zorder=2, rasterized=True, **look)
    across, up = (np.stack([getattr(cloud, side) for cloud in drawn]) for side in ("direction", "magnitude"))
    for step in range(across.shape[2]):
        _line(axes, across[:, :, step], up[:, :, step], color=_colour(step), linewidth=0.9, linestyle="--")
    _line(axes, across, up, color=LINE, linewidth=1.6)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(4))


def _line(axes: "Axes", across: Array, up: Array, **look: Any) -> None:
    """Draw the least-squares line over the range of the points."""
    x, y = across.ravel(), up.ravel()
    if len(x) < 3 or np.ptp(x) <= 1e-9 * np.abs(x).max():
        return
    slope, level = np.polyfit(x, y, 1)
    ends = np.array([x.min(), x.max()])
    axes.plot(ends, slope * ends + level, zorder=3, **look)


def _colour(step: int) -> str:
    return STEPS[step % len(STEPS)]


def _legend(figure: "Figure", studies: Sequence[Study], kinds: set[str]) -> None:
    from matplotlib.lines import Line2D

    point: Mapping[str, Any] = {"linestyle": "", "markersize": 4}
    handles = [
        Line2D([], [], marker="s", color=_colour(i), label=f"checkpoint {i + 1}", **point) for i in range(len(STEPS))
    ]
    names = {
        "encoder": "encoder",
        "decoder": "decoder",
        "": "a model of one stack",
        "1": "published, point 1",
        "2": "published, point 2",
    }
    shown = {kind: name for kind, name in names.items() if kind in kinds}
    handles += [Line2D([], [], marker=MARKERS[k], color="#777777", label=name, **point) for k, name in shown.items()]
    handles += [
        Line2D([], [], color=LINE, linewidth=1.6, label="all points"),
        Line2D([], [], color="#777777", linewidth=0.9, linestyle="--", label="within a step"),
    ]
    level = "a point: one layer's self-attention at one checkpoint of one seed; lines: least squares over what is drawn"
    more = f"r: mean over seeds of each one's correlation, with its {figure_style.level(studies, over_seeds=True)}"
    figure_style.legend(figure, handles, 5, level, more, figure_style.subtitle(studies))
