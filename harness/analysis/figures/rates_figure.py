"""The figure of validation scores over learning rates."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from harness.analysis.output import figure_style
from harness.analysis.study.study import Study
from harness.formatting import rate

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw(studies: Sequence[Study]) -> "Figure":
    """Draw one column per model: validation score, mean over tasks and seeds, against the learning rate."""
    from harness.analysis.views.rates import by_method

    looks = figure_style.looks(studies)
    figure = figure_style.figure(figsize=(1.6 + 3.4 * len(studies), 3.6))
    grid = figure.subplots(1, len(studies), squeeze=False, sharey=True)[0]
    for axes, study in zip(grid, studies, strict=True):
        for arm, (table, chosen) in by_method(study).items():
            means = table.mean(axis="columns")
            axes.plot(
                means.index, 100 * means, label=figure_style.short(arm), markersize=4, linewidth=1.4, **looks[arm]
            )
            best = chosen["learning_rate"]
            ring = {
                "markersize": 12,
                "markerfacecolor": (0, 0, 0, 0),  # transparent, so that the point below stays visible
                "markeredgecolor": looks[arm]["color"],
                "markeredgewidth": 1.4,
                "clip_on": False,
            }
            axes.plot(best, 100 * means[best], linestyle="", **{**looks[arm], **ring, "marker": "o"})
        axes.set_xscale("log")
        axes.set_xlabel("learning rate")
        axes.set_title(figure_style.short(study.model, 28))
        ticks = sorted(study.scores.learning_rate.unique())
        axes.set_xticks(ticks, [rate(tick) for tick in ticks], rotation=45)
        axes.minorticks_off()
    grid[0].set_ylabel("validation score (points)")
    handles = {line.get_label(): line for axes in grid for line in axes.get_legend_handles_labels()[0]}
    columns = 3 * len(studies)
    level = f"mean over tasks and seeds, {figure_style.seeds(studies)}, no intervals; ring: the chosen rate"
    absent = figure_style.unplaced(studies, lambda study, arm: bool(by_method(study)[arm][0].size))
    figure_style.legend(figure, list(handles.values()), columns, level, absent, figure_style.subtitle(studies))
    return figure
