"""The heat map of transfer: the ratio to the target's own delta, sources by targets, ordered by category."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from harness.analysis.combining import transfer_matrix
from harness.analysis.combining.transfer_matrix import Matrix
from harness.analysis.output import figure_style
from harness.analysis.study.study import Study

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.image import AxesImage

ACROSS = 2
MOST = 1.0
"""The ratio of the darkest colour; higher ones have it too, and their numbers tell them apart."""
DARK = 0.55
"""The share of the colours from which numbers are white."""
GAP = "#ffffff"


def draw(studies: Sequence[Study]) -> "Figure":
    """Draw a heat map per method and model; a place without all of its cells is hatched."""
    maps = [(study, matrix, place) for study in studies for matrix in [transfer_matrix.read(study)]
            for place in range(len(matrix.arms))]  # fmt: skip
    across, down = min(ACROSS, max(1, len(maps))), max(1, -(-len(maps) // ACROSS))
    tasks = max((len(matrix.tasks) for _, matrix, _ in maps), default=1)
    side = 1.3 + 0.26 * tasks
    figure = figure_style.figure(figsize=(0.4 + across * (side + 0.5), 1.2 + down * (side + 0.3)))
    grid = list(figure.subplots(down, across, squeeze=False).flat)
    image = None
    for axes, (study, matrix, place) in zip(grid, maps, strict=False):
        image = _map(axes, matrix, place)
        title = figure_style.named([study], matrix.arms[place])
        axes.set_title(title if len(studies) == 1 else f"{title}, {figure_style.short(study.model, 20)}")
    for axes in grid[len(maps) :]:
        axes.set_axis_off()
    if image is not None:
        bar = figure.colorbar(image, ax=grid, shrink=0.9, aspect=30, extend="max")
        bar.set_label("ratio to the own delta", fontsize=8)
    _legend(figure, studies, any(np.isnan(matrix.ratios).any() for _, matrix, _ in maps))
    return figure


def _map(axes: "Axes", matrix: Matrix, place: int) -> "AxesImage":
    from matplotlib.patches import Rectangle

    whole = ~np.isnan(matrix.ratios[place]).any(axis=-1)
    means = np.where(whole, matrix.ratios[place].mean(axis=-1), np.nan)
    image = axes.imshow(means, cmap="Blues", vmin=0.0, vmax=MOST, aspect="equal")
    for source, target in np.ndindex(*means.shape):
        if np.isnan(means[source, target]):
            box = Rectangle((target - 0.5, source - 0.5), 1, 1, facecolor=GAP, edgecolor="#b0b0b0", hatch="////")
            axes.add_patch(box)
            continue
        value = means[source, target]
        weak = value <= matrix.guess(place, target)
        axes.text(
            target, source, f"{100 * value:.0f}", ha="center", va="center", fontsize=6.5,
            color="#ffffff" if value > DARK * MOST else "#222222", style="italic" if weak else "normal",
            alpha=0.75 if weak else 1.0,
        )  # fmt: skip
    names = [task.rpartition("/")[2] for task in matrix.tasks]
    axes.set_xticks(range(len(names)), names, rotation=90, fontsize=7)
    axes.set_yticks(range(len(names)), names, fontsize=7)
    axes.set_xlabel("evaluated on")
    axes.set_ylabel("trained on")
    axes.grid(visible=False)
    for edge in _edges(matrix):
        axes.axhline(edge, color="#D55E00", linewidth=1.0)
        axes.axvline(edge, color="#D55E00", linewidth=1.0)
    return image


def _edges(matrix: Matrix) -> list[float]:
    """Return where one category ends and another begins."""
    kinds = [matrix.categories[task] for task in matrix.tasks]
    return [place - 0.5 for place in range(1, len(kinds)) if kinds[place] != kinds[place - 1]]


def _legend(figure: "Figure", studies: Sequence[Study], gaps: bool) -> None:
    lines = (
        "percent, mean over seeds; lines part the categories; italic: no better than guessing on the target",
        "hatched: a cell of some seed is missing, or the target's own delta scores 0" if gaps else "",
        figure_style.subtitle(studies),
    )
    figure_style.legend(figure, [], 1, *lines)
