"""Methods in turn: scores against steps over all stages, and the claim that no order of them is best everywhere."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import permutations
from typing import TYPE_CHECKING, Any

from harness.analysis.output import figure_style
from harness.analysis.output.method_looks import COLOURS, MARKERS
from harness.analysis.study import comparisons, estimates, open_rates
from harness.analysis.study.findings import ALPHA, finding, over_looks
from harness.analysis.study.more_seeds import looks
from harness.analysis.study.study import Study
from harness.experiments.claims import Claim
from harness.experiments.verdict import Comparison, Finding

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

THEN = " → "
ACROSS = 2


def orders(study: Study) -> dict[str, str]:
    """Return arm -> its order in words, such as "a → b → c", of the arms that have their parts in turn."""
    listed = {arm: study.field(arm, "parts") for arm in study.clean.arms}
    named = {arm: [str(part).partition(" ")[0] for part in parts] for arm, parts in listed.items() if parts}
    return {arm: THEN.join(parts) for arm, parts in named.items() if len(parts) > 1}


def no_order_is_best(study: Study, claim: Claim, options: Mapping[str, Any]) -> Finding:
    """Test, for each order, whether some other one is above it on some task.

    Contradicted where one order is nowhere below any other by the margin. Holm's adjustment is over all pairs of orders
    on all tasks, of which the finding has the surest one for each order.
    """
    margin, names, panel = float(options["margin"]), orders(study), study.judged
    pairs = [(other, arm, place) for arm, other in permutations(names, 2) for place in range(len(panel.tasks))]
    estimated = [estimates.difference(panel.at([place]), other, arm) for other, arm, place in pairs]
    words = [(f"{names[other]} ({panel.tasks[place]})", names[arm]) for other, arm, place in pairs]
    rows = comparisons.compare(study, words, ["above"] * len(words), estimated, margin)
    judged = over_looks(study, claim, margin, rows)
    both = list(zip(rows, judged, strict=True))
    by_order = {order: [pair for pair in both if pair[0].right == order] for order in names.values()}
    surest = tuple(
        min(mine, key=lambda pair: _doubt(pair[0], pair[1], margin))[0] for mine in by_order.values() if mine
    )
    best = _never_below(study, names, margin)
    left_out = [*study.left_out(), *(f"{order} is nowhere below another order by the margin" for order in best)]

    def over(verdicts: list[str]) -> str:
        """Return the verdict: every order has to be below another one somewhere."""
        tested = [verdict for verdict in verdicts if verdict != "untested"]
        if best or not tested:
            return "contradicted" if best else "untested"
        return "reproduced" if set(verdicts) == {"reproduced"} else "inconclusive"

    made = finding(study, claim, margin, surest, {"left_out": left_out}, [], over=over)
    return replace(made, chosen_from=rows)


def _never_below(study: Study, names: Mapping[str, str], margin: float) -> list[str]:
    """Return the orders that are at least as good as every other on every task.

    Each of an order's tests has the level of 5 % over the number of orders, because any order may be found so by luck.
    None where the learning rate of an order is open, because a better one could undo it.
    """
    panel, best = study.judged, []
    level = ALPHA / max(1, len(names))
    if study.over_looks is not None:
        level = looks.strictest(level, len(study.seeds))
    if not open_rates.cells_of(study).keys().isdisjoint(panel.cells(*names)):
        return []
    for arm in names:
        tests = [
            comparisons.RULES["at least"](estimates.difference(panel.at([place]), arm, other).main, margin)
            for other in names if other != arm
            for place in range(len(panel.tasks))
        ]  # fmt: skip
        if tests and all(verdict == "reproduced" and p < level for verdict, p in tests):
            best.append(names[arm])
    return best


def _doubt(row: Comparison, judged: Comparison, margin: float) -> float:
    """Return the p of "not above" before any adjustment, which makes many of them 1; 2 where it was not tested.

    A comparison that several looks reproduced has no doubt left.
    """
    if judged.look is not None and judged.verdict == "reproduced":
        return -1.0
    if row.estimate is None or row.test is None:
        return 2.0
    return comparisons.doubt(row.estimate, row.test.p, margin)


def draw(studies: Sequence[Study]) -> "Figure":
    """Draw a panel per task and model: the validation score over the steps of all stages, a line per order."""
    places = [(study, str(task)) for study in studies for task in study.curves.task.unique()]
    down = max(1, -(-len(places) // ACROSS))
    figure = figure_style.figure(figsize=(0.6 + 3.4 * min(ACROSS, max(1, len(places))), 1.3 + 2.3 * down))
    grid = list(figure.subplots(down, min(ACROSS, max(1, len(places))), squeeze=False, sharey=True).flat)
    looks = _looks([name for study in studies for name in orders(study).values()])
    for axes, (study, task) in zip(grid, places, strict=False):
        _panel(axes, study, task, looks)
    for axes in grid[len(places) :]:
        axes.set_axis_off()
    _legend(figure, studies, looks)
    return figure


def _looks(names: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Return order -> colour and marker: all are variants of one method, which have to be told apart here."""
    distinct = list(dict.fromkeys(names))
    return {
        name: {"color": COLOURS[place % len(COLOURS)][0], "marker": MARKERS[place % len(MARKERS)]}
        for place, name in enumerate(distinct)
    }


def _panel(axes: "Axes", study: Study, task: str, looks: Mapping[str, Mapping[str, Any]]) -> None:
    rows = study.selected_curves[study.selected_curves.task == task]
    names = orders(study)
    for arm, name in names.items():
        _line(axes, rows[rows.arm == arm], dict(looks[name]))
    for step in _boundaries(study, task, names):
        axes.axvline(step, color="#555555", linewidth=0.8, linestyle=":", zorder=1)
    axes.set_title(figure_style.short(f"{task}, {study.model}", 40))
    axes.set_xlabel("optimiser steps, all stages")
    axes.set_ylabel("validation score (points)")
    axes.set_xlim(left=0)


def _line(axes: "Axes", rows: "pd.DataFrame", look: dict[str, Any]) -> None:
    if rows.empty:
        return
    means = rows.groupby("step").score.mean()
    axes.plot(means.index, 100 * means, linewidth=1.4, markersize=3.5, markevery=max(1, len(means) // 6), **look)


def _boundaries(study: Study, task: str, names: Mapping[str, str]) -> list[float]:
    """Return the steps at which a stage ends and another begins; stages have equal shares."""
    steps = [cell["recipe"]["steps"] for cell in study.scores[study.scores.task == task].cell]
    stages = max((name.count(THEN) + 1 for name in names.values()), default=1)
    return [max(steps) * number / stages for number in range(1, stages)] if steps else []


def _legend(figure: "Figure", studies: Sequence[Study], looks: Mapping[str, Mapping[str, Any]]) -> None:
    from matplotlib.lines import Line2D

    handles = [Line2D([], [], linewidth=1.4, markersize=4, label=name, **look) for name, look in looks.items()]
    handles.append(Line2D([], [], color="#555555", linewidth=0.8, linestyle=":", label="a stage ends"))
    lines = f"mean over seeds, {figure_style.seeds(studies)}", figure_style.subtitle(studies)
    figure_style.legend(figure, handles, 2, *lines)
