"""Learning against forgetting over the steps of training, as curves: up is more learnt, right is more forgotten."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.analysis.forgetting import learning_paths
from harness.analysis.output import figure_style
from harness.analysis.study.study import Study

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Way = tuple["np.ndarray[Any, Any]", "np.ndarray[Any, Any]", "np.ndarray[Any, Any]"]


def draw(studies: Sequence[Study]) -> "Figure":
    """Draw two panels per model: the score against the rise of the loss, and the rise over the steps."""
    looks = figure_style.looks(studies)
    made = figure_style.figure(figsize=(8.4, 0.8 + 3.6 * len(studies)))
    grid = made.subplots(len(studies), 2, squeeze=False)
    drawn: list[str] = []
    for row, study in zip(grid, studies, strict=True):
        ways = mean_ways(study)
        drawn += [arm for arm in ways if arm not in drawn]
        _curves(row[0], {arm: (rises, 100 * scores) for arm, (_, scores, rises) in ways.items()}, looks, ends=True)
        _curves(row[1], {arm: (steps, rises) for arm, (steps, _, rises) in ways.items()}, looks, ends=False)
        row[0].set_title(figure_style.short(study.model, 28))
        row[0].set_xlabel("forgotten: rise of the loss on pretraining text (nats per word)")
        row[0].set_ylabel(f"learnt: {study.role} score (points)")
        row[1].set_xlabel("step")
        row[1].set_ylabel("forgotten (nats per word)")
    _legend(made, studies, drawn, looks)
    return made


def mean_ways(study: Study) -> dict[str, Way]:
    """Return arm -> (steps, scores, rises), [N] each, means over seeds and tasks; cells with other steps are left
    out.
    """
    paths, rows = learning_paths.paths(study), learning_paths.rows(study)
    ways: dict[str, Way] = {}
    for arm in study.clean.arms:
        own = [paths[key] for key in rows[rows.arm == arm].key if key in paths and len(paths[key].steps) > 1]
        alike = [path for path in own if path.steps == own[0].steps]
        if alike:
            scores, rises = (np.mean([getattr(path, name) for path in alike], axis=0) for name in ("scores", "rises"))
            ways[arm] = np.array(alike[0].steps), scores, rises
    return ways


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


def _legend(
    made: "Figure", studies: Sequence[Study], arms: Sequence[str], looks: Mapping[str, Mapping[str, Any]]
) -> None:
    from matplotlib.lines import Line2D

    handles = [Line2D([], [], label=figure_style.named(studies, arm), markersize=4, **looks[arm]) for arm in arms]
    level = f"means over tasks and {figure_style.seeds(studies)}; a mark each snapshot, a ring at the last step"
    absent = figure_style.unplaced(studies, lambda study, arm: arm in arms or not study.trains(arm))
    lines = level, absent, figure_style.marked(studies, arms), figure_style.subtitle(studies)
    figure_style.legend(made, handles, 3, *lines)
