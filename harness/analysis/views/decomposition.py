"""How far weights moved in magnitude (dM) and in direction (dD), by the probe `weight_decomposition`, and their
correlation.

A correlation is taken over the points of one cell, one for each layer and checkpoint, and is one draw per task and
seed. The points of a cell are not independent of each other, so their number gives no confidence.
Intervals are over seeds: Student's t on Fisher's z as everywhere here (a bootstrap of so few seeds is too narrow),
transformed back to correlations. They hold for other seeds on the same backbone, not for other backbones.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from harness.analysis.output import notes, rate_marks
from harness.analysis.output.table import MISSING, Entry, Table, number
from harness.analysis.study import comparisons, selection, statistics
from harness.analysis.study.estimates import Estimate
from harness.analysis.study.findings import ALPHA, finding
from harness.analysis.study.more_seeds.next_steps import ONE_SEED
from harness.analysis.study.selection import Panel
from harness.analysis.study.statistics import Array, Interval
from harness.analysis.study.study import Study
from harness.analysis.views import decomposition_clouds
from harness.analysis.views.decomposition_clouds import ALL, PROBE, WITHIN, cloud, fisher, pearson, printed
from harness.errors import UsageError
from harness.experiments.claims import Claim
from harness.experiments.verdict import Comparison, Finding


def table(study: Study) -> Table:
    """Return one row per role and arm: both correlations, how far the weights moved, and the published text."""
    quoted, rows = quotes(study), []
    for role in roles(study):
        for arm in study.clean.arms:
            quote = quoted.get(study.method_of[arm], {})
            correlations = [correlation(study, arm, role, over) for over in (ALL, WITHIN)]
            moved = [_moved(study, arm, role, side) for side in ("direction", "magnitude")]
            score = rate_marks.scored(study, arm)
            ours = [*(number(estimate, digits=2, bounds=True) for estimate in correlations), *moved, score]
            rows.append((rate_marks.named(study, arm, f", {role}"), *ours, *_quoted(study, quote, role)))
    paper = ("paper's text", "paper's figure", "its figure, within a step") if study.published else ()
    ends = ("ΔD at the end", "ΔM at the end", f"{study.role} score")
    heads = ("weights", f"over {ALL}", f"over {WITHIN}", *ends, *paper)
    title = "Correlation of the changes in direction and in magnitude"
    return Table("decomposition", title, study.model, heads, tuple(rows), _notes(study))


def correlation(study: Study, arm: str, role: str, over: str, task: int | None = None) -> Estimate:
    """Return the mean correlation over tasks (or of one task), by Fisher's z over seeds."""
    panel = panel_of(study, role, over)
    values = panel.of(arm) if task is None else panel.of(arm)[task : task + 1]
    main, beside = (_back(interval) for interval in statistics.interval(values))
    return Estimate(main, beside, keys=panel.cells(arm))


def panel_of(study: Study, role: str, over: str) -> Panel:
    """Return Fisher's z of every cell in place of its score; NaN where there is none."""
    rows = study.selected[study.selected.role == study.role].drop_duplicates(["key"])
    values = [fisher(pearson(drawn, over)) if (drawn := cloud(probed, role)) else np.nan for probed in rows.probes]
    return selection.panel(rows.assign(score=values, set=PROBE), study.role, study.exhibit.methods())


def roles(study: Study) -> list[str]:
    """Return the roles that were measured, in the probe's order."""
    names = (row["role"] for probed in study.selected.probes for row in (probed.get(PROBE) or {}).get("matrices") or ())
    return list(dict.fromkeys(names))


def quotes(study: Study) -> dict[str, Mapping[str, Any]]:
    """Return method -> the options of its claim: the paper's name for it and the paper's text."""
    return {str(use["method"]): use for _, use in study.exhibit.claims if use.get("label")}


def _back(interval: statistics.Interval) -> statistics.Interval:
    mean, low, high = np.tanh([interval.mean, interval.low, interval.high])
    return replace(interval, mean=float(mean), low=float(low), high=float(high))


def _moved(study: Study, arm: str, role: str, side: str) -> Entry:
    """Return the range of a layer's movement by the last step, over cells."""
    rows = study.selected[(study.selected.arm == arm) & (study.selected.role == study.role)]
    ends = [getattr(drawn, side)[:, -1] for probed in rows.probes if (drawn := cloud(probed, role))]
    if not ends:
        return Entry(MISSING)
    values = np.concatenate(ends)
    return Entry(f"{values.min():.2g} to {values.max():.2g}", float(np.median(values)), keys=study.clean.cells(arm))


def _quoted(study: Study, quote: Mapping[str, Any], role: str) -> list[Entry]:
    """Return the paper's text, its figure, and its figure within a step; none without published points."""
    if not study.published:
        return []
    stated, points = (quote.get("stated") or {}).get(role), printed(study, str(quote.get("label")), role)
    figures = [pearson(points, over) if points else None for over in (ALL, WITHIN)]
    return [
        Entry(MISSING) if figure is None else Entry(f"{figure:.2f}", float(figure)) for figure in (stated, *figures)
    ]


def _notes(study: Study) -> tuple[str, ...]:
    probed = [results.get(PROBE) or {} for results in study.selected.probes]
    steps = sorted({tuple(result["steps"]) for result in probed if result.get("steps")})
    layers = sorted({len(drawn.kinds) for probed in study.selected.probes for role in roles(study)
                     if (drawn := cloud(probed, role))})  # fmt: skip
    lacking = sorted({str(result.get("error")) for result in probed if result.get("status") == "failed"})
    return (
        *notes.label(study),
        *rate_marks.rate_notes(study),
        f"points: merged weights of each self-attention ({' or '.join(map(str, layers))} of them) after steps "
        f"{'; '.join(', '.join(map(str, pair)) for pair in steps)}",
        "correlation: of one cell's points, mean over tasks and seeds by Fisher's z, with its "
        f"{statistics.LEVEL:.0%} interval over seeds (Student's t on the means of seeds); within a step: each step's "
        "points centred on their own mean first",
        "at the end: the least and the most that a layer moved by the last step, over cells",
        *(("paper's: one run of another model; its text and its own figure disagree, both are shown",)
          if study.published else ()),
        *(f"a probe failed: {reason}" for reason in lacking),
    )  # fmt: skip


SIGNS = {"positive": 1, "negative": -1}


def test(study: Study, claim: Claim, options: Mapping[str, Any]) -> Finding:
    """Test every variant of the method and each role of weights; `margin` is a correlation."""
    sign, over = SIGNS.get(str(options["sign"])), str(options["over"])
    if sign is None or over not in (decomposition_clouds.ALL, decomposition_clouds.WITHIN):
        raise UsageError(
            f"claim {claim.name}: sign is one of {', '.join(SIGNS)}, over one of {decomposition_clouds.ALL}, "
            f"{decomposition_clouds.WITHIN}; it says {options['sign']} and {over}."
        )
    margin, wanted = float(options["margin"]), options["roles"] or roles(study)
    panels = {role: panel_of(study, role, over) for role in wanted}
    arms = [arm for arm in study.clean.arms if study.method_of[arm] == options["method"]]
    cases = [(arm, role, sign * panel.of(arm), panel.cells(arm)) for arm in arms for role, panel in panels.items()]
    tests = [_tested(values, margin) for _, _, values, _ in cases]
    adjusted = statistics.holm([p for *_, p in tests])
    rows = tuple(
        _compared(f"{arm}, {role}", f"{options['sign']}ly over {over}", sign, test, p, margin, keys, len(cases))
        for (arm, role, _, keys), test, p in zip(cases, tests, adjusted, strict=True)
    )
    return finding(study, claim, margin, rows, {"stated": dict(options["stated"] or {})}, [], _described)


def _tested(values: Array, margin: float) -> tuple[Interval, str, float]:
    """Return the test of Fisher's z. values: [T, S], with the claimed sign turned to plus."""
    main, _ = statistics.interval(values)
    return main, *statistics.superior(main, decomposition_clouds.fisher(margin))


def _compared(
    left: str, right: str, sign: int, tested: tuple[Interval, str, float], p: float, margin: float,
    keys: tuple[str, ...], family: int,
) -> Comparison:  # fmt: skip
    main, verdict, own = tested
    relation = "correlates"
    if np.isnan(main.mean):
        reason = "this probe was not run on every task, or there are too few layers"
        return Comparison(left, right, relation, "untested", reason=reason, keys=keys)
    estimate = float(np.tanh(sign * main.mean))
    if np.isnan(p):
        reason = ONE_SEED
        return Comparison(left, right, relation, "untested", estimate, reason=reason, keys=keys)
    low, high = sorted(float(np.tanh(sign * bound)) for bound in (main.low, main.high))
    row = Comparison(left, right, relation, verdict if p < ALPHA else "inconclusive", estimate, low, high, p, keys=keys)
    return comparisons.with_own_test(
        row, main, abs(main.mean - decomposition_clouds.fisher(margin)), (verdict, own, False), family
    )


def _described(row: Comparison) -> str:
    """Return 'lora, q: r = 0.83 [0.71, 0.90]'."""
    number = "" if row.estimate is None else f" r = {row.estimate:.2f}"
    if row.low is not None and row.high is not None:
        number += f" [{row.low:.2f}, {row.high:.2f}]"
    return f"{row.left}:{number}"
