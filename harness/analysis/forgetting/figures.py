"""Learning against forgetting over the steps of training, as curves: up is more learnt, right is more forgotten."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.analysis.forgetting import learning_paths
from harness.analysis.output import figure_style
from harness.analysis.study import statistics
from harness.analysis.study.study import Study

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Way = tuple["np.ndarray[Any, Any]", "np.ndarray[Any, Any]", "np.ndarray[Any, Any]"]
LINE = 9.0
"""Points of height that a name at the end of a curve takes."""


def of_claims(studies: Sequence[Study]) -> "Figure":
    """Draw the same figure of the methods alone that the exhibit's claims compare."""
    return draw(studies, claimed=True)


def draw(studies: Sequence[Study], claimed: bool = False) -> "Figure":
    """Draw two panels per model: the score against the rise of the loss, and the rise over the steps.

    Crosses at the ends are 95 % intervals over seeds. claimed: whether only the methods of the claims are drawn.
    """
    looks = figure_style.looks(studies)
    made = figure_style.figure(figsize=(8.4, 0.8 + 3.6 * len(studies)))
    grid = made.subplots(len(studies), 2, squeeze=False)
    drawn: list[str] = []
    for row, study in zip(grid, studies, strict=True):
        ways = mean_ways(study)
        if claimed:
            ways = {arm: way for arm, way in ways.items() if study.method_of[arm] in _in_claims(study)}
        drawn += [arm for arm in ways if arm not in drawn]
        _curves(row[0], {arm: (rises, 100 * scores) for arm, (_, scores, rises) in ways.items()}, looks, ends=True)
        _curves(row[1], {arm: (steps, rises) for arm, (steps, _, rises) in ways.items()}, looks, ends=False)
        _intervals(row[0], study, ways, looks)
        _names(row[1], ways)
        row[0].set_title(figure_style.short(study.model, 28))
        row[0].set_xlabel("forgotten: rise of the loss on pretraining text (nats per word)")
        row[0].set_ylabel(f"learnt: {study.role} score (points)")
        row[1].set_xlabel("step")
        row[1].set_ylabel("forgotten (nats per word)")
    _legend(made, studies, drawn, looks, claimed)
    return made


def mean_ways(study: Study) -> dict[str, Way]:
    """Return arm -> (steps, scores, rises), [N] each, means over seeds and tasks.

    Cells with other steps are left out, and arms that lack a task that another arm has.
    """
    paths, rows = learning_paths.paths(study), learning_paths.rows(study)
    rows = rows[[str(key) in paths and len(paths[str(key)].steps) > 1 for key in rows.key]]
    ways: dict[str, Way] = {}
    for arm, own in learning_paths.on_every_task(rows).groupby("arm", sort=False):
        steps = paths[str(own.key.iloc[0])].steps
        alike = own[[paths[str(key)].steps == steps for key in own.key]]
        scores, rises = (
            learning_paths.mean_over_tasks(alike, {key: getattr(path, name) for key, path in paths.items()})
            for name in ("scores", "rises")
        )
        ways[str(arm)] = np.array(steps), scores, rises
    return {arm: ways[arm] for arm in study.clean.arms if arm in ways}


def _curves(
    axes: "Axes",
    curves: Mapping[str, tuple["np.ndarray[Any, Any]", "np.ndarray[Any, Any]"]],
    looks: Mapping[str, Mapping[str, Any]],
    ends: bool,
) -> None:
    """Draw the curves. ends: whether a ring marks the last step of each."""
    for arm, (across, up) in curves.items():
        axes.plot(across, up, linestyle="-", linewidth=1.2, markersize=3.5, **looks[arm])
        if ends:
            ring: dict[str, Any] = {"markerfacecolor": "none", "markeredgecolor": looks[arm]["color"]}
            axes.plot(across[-1:], up[-1:], marker="o", markersize=9, linestyle="", **ring)
    if ends and any((across > 0).any() for across, _ in curves.values()):
        axes.set_xlim(left=min(0.0, *(float(across.min()) for across, _ in curves.values())))


def _in_claims(study: Study) -> set[str]:
    """Return the methods on the two sides of the exhibit's claims."""
    sides = [use[side] for _, use in study.exhibit.claims for side in ("left", "right") if use.get(side)]
    named = [side.get("method") if isinstance(side, Mapping) else side for side in sides]
    return {str(method) for methods in named for method in (methods if isinstance(methods, list) else [methods])}


def _intervals(axes: "Axes", study: Study, ways: Mapping[str, Way], looks: Mapping[str, Mapping[str, Any]]) -> None:
    """Draw the interval over seeds of each curve's end, of its score and of its rise."""
    paths = learning_paths.paths(study)
    ends = {key: (100 * path.scores[-1], path.rises[-1]) for key, path in paths.items()}
    rows = learning_paths.rows(study)
    for arm in ways:
        panels = [
            learning_paths.of_cells(study, [ends.get(str(key), (np.nan, np.nan))[place] for key in rows.key])
            for place in (0, 1)
        ]
        (up, _), (across, _) = (statistics.interval(panel.of(arm)) for panel in panels)
        if np.isnan([across.low, up.low]).any():
            continue
        spans = [[across.mean - across.low], [across.high - across.mean]], [[up.mean - up.low], [up.high - up.mean]]
        color = looks[arm]["color"]
        axes.errorbar([across.mean], [up.mean], xerr=spans[0], yerr=spans[1], color=color, linewidth=0.9, zorder=2)


def _names(axes: "Axes", ways: Mapping[str, Way]) -> None:
    """Write each arm's name beside the end of its curve, moved up where it would lie on another name."""
    if not ways:
        return
    axes.margins(x=0.03)
    low, high = axes.get_ylim()
    height = (high - low) * LINE / (axes.bbox.height / axes.figure.dpi * 72)
    place = -np.inf
    for arm, (steps, _, rises) in sorted(ways.items(), key=lambda item: float(item[1][2][-1])):
        place = max(place + height, float(rises[-1]))
        text: dict[str, Any] = {"fontsize": 7, "va": "center", "annotation_clip": False}
        axes.annotate(f" {arm}", (float(steps[-1]), place), xytext=(4, 0), textcoords="offset points", **text)


def _legend(
    made: "Figure", studies: Sequence[Study], arms: Sequence[str], looks: Mapping[str, Mapping[str, Any]], claimed: bool
) -> None:
    from matplotlib.lines import Line2D

    handles = [Line2D([], [], label=figure_style.named(studies, arm), markersize=4, **looks[arm]) for arm in arms]
    level = (
        f"means over tasks and {figure_style.seeds(studies)}; a mark each snapshot, a ring at the last step, with its "
        "95% interval over seeds"
    )

    def drawn_or_left_out(study: Study, arm: str) -> bool:
        """Return whether an arm is drawn, or does not belong here."""
        return arm in arms or not study.trains(arm) or (claimed and study.method_of[arm] not in _in_claims(study))

    absent = figure_style.unplaced(studies, drawn_or_left_out)
    lines = level, absent, figure_style.marked(studies, arms), figure_style.subtitle(studies)
    figure_style.legend(made, handles, 3, *lines)
