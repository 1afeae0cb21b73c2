"""PSCP of our arms with its costs, who is first at which exponent, and both as curves over the exponent."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.analysis.output import figure_style, method_looks, notes, rate_marks
from harness.analysis.output.table import MISSING, Entry, Table, number, word
from harness.analysis.study import estimates, findings
from harness.analysis.study.study import Study
from harness.analysis.tradeoffs import pscp
from harness.analysis.views import measured_memory

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from harness.analysis.study.selection import Panel

SHOWN = (0.5, 1.0, 2.0)
LOWEST = 0.7
"""The least share of the best PSCP that the figure shows."""


def table(study: Study) -> Table:
    """Return one row per arm: score, its three costs, and PSCP at several exponents; the best at 1 comes first."""
    rows, panels = pscp.costs(study), [pscp.panel(study, exponent) for exponent in SHOWN]
    known = pscp.means(study, 1.0)
    arms = [*pscp.order(known), *(arm for arm in study.clean.arms if arm not in known)]
    lines = []
    for arm in arms:
        own = rows[rows.arm == arm]
        extra = [pscp.extra(probed, where) for probed, where in zip(own.probes, own["set"], strict=True)]
        keys = study.clean.cells(arm)
        trained = study.trained(arm)
        lines.append((
            rate_marks.named(study, arm),
            rate_marks.scored(study, arm),
            _plain(np.nan if trained is None else 100 * trained[1], "{:.3g} %", keys),
            _plain(100 * float(np.mean(extra)), "{:+.2f} %", keys),
            _plain(float(measured_memory.known(own).mean()) / measured_memory.MIB, "{:.2f}", keys),
            *(number(estimates.score(panel, arm), 100) for panel in panels),
        ))  # fmt: skip
    heads = ("method", f"{study.role} score", "trains", "operations added", "peak of training, MiB")
    exponents = (f"PSCP, exponent {exponent:g}" for exponent in SHOWN)
    return Table("pscp", "PSCP in points", study.model, (*heads, *exponents), tuple(lines), _notes(study))


def winners(study: Study) -> Table:
    """Return one row per exponent: the two highest PSCP and their difference, of our means and of the published."""
    theirs = {row.label: row for row in pscp.printed(study)}
    lines = []
    for exponent in pscp.EXPONENTS:
        made = pscp.panel(study, exponent)
        published = {label: row.pscp(exponent) for label, row in theirs.items()}
        lines.append((word(f"{exponent:g}"), *_first(study, made), *_first_printed(published)))
    heads = tuple(f"{whose} {what}" for whose in ("our", "published") for what in ("first", "second", "lead"))
    title = "Who has the highest PSCP, by exponent (points)"
    return Table("pscp-winners", title, study.model, ("exponent", *heads), tuple(lines), _winner_notes(study))


def _first(study: Study, made: "Panel") -> tuple[Entry, Entry, Entry]:
    means = {arm: estimates.score(made, arm).main.mean for arm in made.arms}
    names = pscp.order({arm: mean for arm, mean in means.items() if not np.isnan(mean)})
    if len(names) < 2:
        return word(names[0] if names else MISSING), Entry(MISSING), Entry(MISSING)
    best, second = (rate_marks.named(study, arm) for arm in names[:2])
    return best, second, number(estimates.difference(made, names[0], names[1]), 100)


def _first_printed(values: Mapping[str, float]) -> tuple[Entry, Entry, Entry]:
    best, second, *_ = pscp.order(values)
    lead = values[best] - values[second]
    return word(best), word(second), Entry(f"{lead:.1f}", lead)


def figure(studies: Sequence[Study]) -> "Figure":
    """Draw PSCP as a share of the highest one, over the exponent: a panel per model, and one of the published means."""
    made = figure_style.figure(figsize=(0.8 + 3.4 * (len(studies) + 1), 3.8))
    grid = made.subplots(1, len(studies) + 1, squeeze=False, sharex=True, sharey=True)[0]
    exponents = np.linspace(0, max(pscp.EXPONENTS), 33)
    ours = [_curves([pscp.means(study, exponent) for exponent in exponents]) for study in studies]
    theirs = _curves([{row.method: row.pscp(b) for row in pscp.printed(studies[0])} for b in exponents])
    looks = figure_style.looks(studies)
    looks |= {name: _look(name) for name in theirs if name not in looks}
    titles = [*(figure_style.short(study.model, 28) for study in studies), "published means"]
    for axes, curves, title in zip(grid, [*ours, theirs], titles, strict=True):
        _draw(axes, exponents, curves, looks)
        axes.set_title(title)
    grid[0].set_ylabel("PSCP as a share of the highest")
    _legend(made, studies, [*dict.fromkeys(name for curves in (*ours, theirs) for name in curves)], looks)
    return made


def _curves(points: Sequence[Mapping[str, float]]) -> dict[str, list[float]]:
    """Return name -> its PSCP as a share of the highest one at each exponent, of those that have one at each."""
    names = [name for name in points[0] if all(name in values for values in points)]
    highest = [max((values[name] for name in names), default=np.nan) for values in points]
    return {name: [values[name] / top for values, top in zip(points, highest, strict=True)] for name in names}


def _draw(
    axes: "Axes", exponents: "np.ndarray", curves: Mapping[str, Sequence[float]], looks: Mapping[str, Mapping[str, Any]]
) -> None:
    for name, shares in curves.items():
        axes.plot(exponents, shares, linestyle="-", linewidth=1.3, markersize=4, markevery=4, **looks[name])
    axes.set_xlabel("exponent of every penalty")
    low = min((min(shares) for shares in curves.values()), default=LOWEST)
    axes.set_ylim(min(LOWEST, max(low, 0.0)) - 0.02, 1.015)


def _look(method: str) -> dict[str, Any]:
    look = method_looks.of(method)
    return {"color": look.color, "marker": look.marker}


def _legend(
    made: "Figure", studies: Sequence[Study], names: Sequence[str], looks: Mapping[str, Mapping[str, Any]]
) -> None:
    from matplotlib.lines import Line2D

    handles = [Line2D([], [], label=figure_style.named(studies, name), markersize=4, **looks[name]) for name in names]
    lines = f"means over tasks and {figure_style.seeds(studies)}{figure_style.PRINTED}", figure_style.marked(studies)
    figure_style.legend(made, handles, 4, *lines, figure_style.subtitle(studies))


def _plain(value: float, form: str, keys: Sequence[str]) -> Entry:
    return Entry(MISSING) if np.isnan(value) else Entry(form.format(value), value, keys=tuple(keys))


def _notes(study: Study) -> tuple[str, ...]:
    share = pscp.shares(study)
    constants = (
        f"{100 * share[0]:.1f} % of the backbone's parameters, {share[1]:.2f} times its operations for an answer and "
        f"{share[2]:.1f} times its bytes"
    )
    return (
        *notes.common_notes(study),
        "PSCP: the score times (1 + cost / constant) to the power of minus the exponent, for each of the costs: "
        f"{', '.join(pscp.COSTS)}",
        f"constants: {constants}, which are the shares that the authors' constants have of LLaMA-3-8B",
        "operations added: to an answer, unmerged, against the bare backbone, counted (probe answer_operations)",
        findings.OTHER_COLUMNS,
        *rate_marks.notes(study),
    )


def _winner_notes(study: Study) -> tuple[str, ...]:
    return (
        *notes.label(study),
        "lead: the first's PSCP less the second's; one exponent serves for all penalties; at 0 it is the score alone",
        "published: computed from the means and costs in the authors' code, with their constants; no intervals",
        findings.SEEDS_ALONE,
        *rate_marks.notes(study),
    )
