"""The style of the figures: fonts, lines, the looks of arms, and what every caption has."""

import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import matplotlib

from harness.analysis.output import method_looks, notes, rate_marks
from harness.analysis.study import statistics
from harness.analysis.study.selection import Panel
from harness.analysis.study.study import Study

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FLOOR = "#8c8c8c"
"""The grey of what is drawn beside the methods: reference lines, and published methods without a cell of ours."""
HALVES = ("left", "right", "top", "bottom")
"""Which half of the marker is filled for a method's variants after the first, in their order."""
PRINTED = "; as published: no intervals"
"""What a caption has of a panel of printed numbers."""

SETTINGS: Any = {
    "font.size": 9,
    "font.family": "DejaVu Sans",
    "axes.titlesize": 9,
    "axes.labelsize": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e6e6e6",
    "grid.linewidth": 0.6,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "legend.fontsize": 8,
    "legend.frameon": False,
    "figure.dpi": 100,
    "savefig.dpi": 200,
    "svg.fonttype": "path",
    "svg.hashsalt": "deltabench",
}
LETTER = 0.066
"""The width of a letter of a legend's title, in inches: somewhat more than the mean of English text has."""
MARK = 8
"""The width of an entry's mark and of the space between two entries, in letters."""


@contextmanager
def style() -> Iterator[None]:
    """Use matplotlib's defaults with our settings inside the block, and no matplotlibrc of the user."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(SETTINGS)
        yield


def figure(**options: Any) -> "Figure":
    """Return a figure without a window and without global state."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    made = Figure(layout="constrained", **options)
    FigureCanvasAgg(made)
    return made


def settle(figure: "Figure") -> None:
    """Lay the figure out once; otherwise each saved format would lay it out again."""
    figure.draw_without_rendering()
    figure.set_layout_engine(None)


def looks(studies: Sequence[Study]) -> dict[str, dict[str, Any]]:
    """Return arm -> colour and marker: those of its method everywhere (method_looks.py).

    Variants of a method are lighter, with half-filled markers.
    """
    return variants({arm: study.method_of.get(arm, arm) for study in studies for arm in study.clean.arms})


def variants(methods: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """Return the look of each arm. methods: arm -> its method."""
    siblings: dict[str, list[str]] = {}
    for arm, method in methods.items():
        siblings.setdefault(method, []).append(arm)
    return {
        arm: _variant(method, siblings[method].index(arm), len(siblings[method])) for arm, method in methods.items()
    }


def _variant(method: str, place: int, count: int) -> dict[str, Any]:
    look = method_looks.of(method)
    if place == 0:
        return {"color": look.color, "marker": look.marker}
    return {
        "color": _lighter(look.color, 0.6 * place / (count - 1)),
        "marker": look.marker,
        "fillstyle": HALVES[(place - 1) % len(HALVES)],
    }


def _lighter(color: str, share: float) -> str:
    """Return the colour mixed with this share of white."""
    parts = (int(color[at : at + 2], 16) for at in (1, 3, 5))
    return "#" + "".join(f"{round(part + share * (255 - part)):02x}" for part in parts)


def short(name: str, width: int = 26) -> str:
    """Return a long name with its middle left out, so that labels do not collide."""
    return name if len(name) <= width else f"{name[: width // 2]}…{name[-(width // 2 - 1) :]}"


def named(studies: Sequence[Study], arm: str) -> str:
    """Return an arm's name with the marks of its rates (rate_marks.py): '… ↑2', or '… ↑' for several models."""
    here = [study for study in studies if arm in study.clean.arms]
    marks = [rate_marks.arrows(study, arm, study.clean.tasks) for study in here]
    several = "".join(f" {sign}" for sign in "↑↓" if any(sign in mark for mark in marks))
    untuned = f" ({rate_marks.UNTUNED})" if any(rate_marks.untuned(study, arm) for study in here) else ""
    return short(arm) + untuned + (marks[0] if len(marks) == 1 else several)


def marked(studies: Sequence[Study], arms: Sequence[str] | None = None, untuned: str = rate_marks.UNTUNED) -> str:
    """Return the meaning of the marks that these arms have; of all arms where none are given."""
    chosen = arms if arms is not None else [arm for study in studies for arm in study.clean.arms]
    names = "".join(named(studies, arm) for arm in dict.fromkeys(chosen))
    lines = []
    if "↑" in names or "↓" in names:
        lines.append("↑, ↓: a learning rate at the upper, lower edge of those tried (on how many tasks)")
    if f"({rate_marks.UNTUNED})" in names:
        lines.append(f"{untuned}: only one learning rate was tried, not tuned on this model; not ranked")
    return "\n".join(lines)


def seeds(studies: Sequence[Study]) -> str:
    """Return the number of seeds behind a figure: "n = 3 seeds"."""
    return f"n = {notes.seeds(*(study.clean for study in studies))}"


def level(studies: Sequence[Study], panels: Sequence[Panel] = (), over_seeds: bool = False) -> str:
    """Return what the bars of a figure are, with n.

    panels: what is drawn where it is not the scores. over_seeds: whether the error of the rows is left out anyway.
    """
    by_row = all(panel.by_row.all() for panel in panels or [study.clean for study in studies])
    what = "for new seeds and test rows" if by_row and not over_seeds else "over seeds"
    return f"{statistics.LEVEL:.0%} interval {what}, {seeds(studies)}"


def unplaced(studies: Sequence[Study], drawn: Callable[[Study, str], bool]) -> str:
    """Return a line that names the arms without a place in the figure; "" where all have one."""
    several = len(studies) > 1
    absent = [
        f"{short(arm)}{f' ({short(study.model, 20)})' if several else ''}"
        for study in studies
        for arm in study.clean.arms
        if not drawn(study, arm)
    ]
    return textwrap.fill(f"without a place here: {', '.join(absent)}", 110) if absent else ""


def align(compared: "Mapping[str, Sequence[Axes]]") -> None:
    """Give panels that are compared the same vertical range. compared: what they show -> its panels."""
    for panels in compared.values():
        ends = [end for axes in panels for end in axes.get_ylim()]
        pad = 0.03 * (max(ends) - min(ends)) if len(panels) > 1 else 0.0
        for axes in panels:
            axes.set_ylim(min(ends) - pad, max(ends) + pad)


def wrap(text: str) -> str:
    """Return a sentence on several lines, for the middle of an empty panel."""
    return "\n".join(textwrap.wrap(text, 28))


def legend(figure: "Figure", handles: Sequence[Any], columns: int, *lines: str) -> None:
    """Draw the legend under the panels, in at most so many columns, with `lines` above its entries.

    Lines and columns are fitted to the width of the figure. Empty lines are left out.
    """
    width = int(figure.get_figwidth() / LETTER)
    title = "\n".join(textwrap.fill(part, width) for line in lines if line for part in line.splitlines())
    widest = MARK + max((len(str(handle.get_label())) for handle in handles), default=0)
    made = figure.legend(
        handles=handles, loc="outside lower center", ncols=max(1, min(columns, width // widest)), title=title,
        title_fontsize=8,
    )  # fmt: skip
    made.get_title().set_multialignment("center")


def subtitle(studies: Sequence[Study]) -> str:
    """Return the line under a figure that names the source of its numbers, and whose they are beside real models."""
    embedded = [study.model for study in studies if "embedded" in set(study.scores.source)]
    whose = f"{', '.join(map(short, embedded))}: " if 0 < len(embedded) < len(studies) else ""
    return f"{whose}microworld backbones and tasks, not the paper's" if embedded else ""
