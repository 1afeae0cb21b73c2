"""Peak memory as bars: a panel per model, a group per batch, a bar per arm, and a mark for the measured peak."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from harness.analysis.output import figure_style, method_looks
from harness.analysis.views.forecast_memory import GIB, MemoryStudy, too_large

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FULL = 0.86
"""Width of a group; the groups stand 1 apart."""


def draw(studies: Sequence[MemoryStudy]) -> "Figure":
    """Draw a panel per model, a group per batch and a bar per arm; a mark shows the measured peak."""
    looks = _looks(studies)
    across = min(2, len(studies))
    down = -(-len(studies) // across)
    figure = figure_style.figure(figsize=(0.6 + 4.3 * across, 0.9 + 2.7 * down))
    grid = figure.subplots(down, across, squeeze=False).flatten()
    for axes, study in zip(grid, studies, strict=False):
        _panel(axes, study, looks)
    for axes in grid[len(studies) :]:
        axes.set_axis_off()
    _legend(figure, studies, looks)
    return figure


def _looks(studies: Sequence[MemoryStudy]) -> dict[str, dict[str, Any]]:
    """Return arm -> colour and pattern of its bars; the variants of a method are lighter."""
    methods = {arm: method for study in studies for arm, method in study.arms.items()}
    looks = figure_style.variants(methods)
    hatches = {arm: method_looks.of(method).hatch for arm, method in methods.items()}
    return {arm: {"facecolor": looks[arm]["color"], "hatch": hatches[arm], "edgecolor": "white"} for arm in methods}


def _panel(axes: "Axes", study: MemoryStudy, looks: dict[str, dict[str, Any]]) -> None:
    width = FULL / len(study.arms)
    for place, arm in enumerate(study.arms):
        for group, batch in enumerate(study.batches):
            row, x = study.at(arm, batch), group - FULL / 2 + (place + 0.5) * width
            if row is None or row.bytes is None:
                continue
            axes.bar(x, row.bytes / GIB, 0.92 * width, linewidth=0, **looks[arm])
            if too_large(study, row):
                axes.annotate("×", (x, row.bytes / GIB), ha="center", va="bottom", fontsize=7, color="#a00000")
            if row.measured_bytes is not None:
                axes.plot(x, row.measured_bytes / GIB, "_", color="#d00000", markersize=7, markeredgewidth=1.4)
    device = study.exhibit.device_bytes
    if device is not None and device / GIB < axes.get_ylim()[1]:
        axes.axhline(device / GIB, color="#a00000", linewidth=0.9, linestyle="--", zorder=0)
    axes.set_xticks(range(len(study.batches)), [str(batch) for batch in study.batches])
    axes.grid(axis="x", visible=False)
    axes.set_xlabel("batch")
    axes.set_ylabel("peak (GiB)")
    axes.set_title(figure_style.short(study.model, 28))


def _legend(figure: "Figure", studies: Sequence[MemoryStudy], looks: dict[str, dict[str, Any]]) -> None:
    from matplotlib.patches import Patch

    handles = [Patch(label=figure_style.short(arm), **look) for arm, look in looks.items()]
    measured = any(row.measured for study in studies for row in study.rows)
    source = f"one forecast a bar{', red marks: measured once' if measured else ', nothing is measured'}; no intervals"
    figure_style.legend(figure, handles, 6, source, _limit(studies))


def _limit(studies: Sequence[MemoryStudy]) -> str:
    """Return what the figure says of the device's memory; "" where no device is given."""
    device = studies[0].exhibit.device_bytes
    if device is None:
        return ""
    if any(too_large(study, row) for study in studies for row in study.rows if row.bytes is not None):
        return f"dashed: {device / GIB:.0f} GiB; ×: would not fit it"
    return f"all fit in {device / GIB:.0f} GiB"
