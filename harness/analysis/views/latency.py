"""Inference latency of a method as a ratio to the bare backbone, by the probe `latency` of its cells.

A ratio is taken in turns within one process (harness/probes/latency.py) and is one draw per task and seed. There is no
verdict on cells that were not probed alone.
"""

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np

from harness.analysis.output import notes
from harness.analysis.output.table import MISSING, Entry, Table, number, word
from harness.analysis.study import comparisons, selection, statistics
from harness.analysis.study.estimates import Estimate
from harness.analysis.study.findings import ALPHA, finding
from harness.analysis.study.more_seeds.next_steps import ONE_SEED
from harness.analysis.study.selection import Panel
from harness.analysis.study.study import Study
from harness.experiments.claims import Claim
from harness.experiments.verdict import Comparison, Finding

STATES = ("unmerged", "merged")
BARE = "the bare backbone"
BUSY = 0.2
"""Cores that other work may have kept busy during a probe that counts as alone."""


def table(study: Study) -> Table:
    """Return one row per arm, the fastest unmerged first: its time as a share of the bare backbone's, by state and
    batch.
    """
    listed = sizes(study)
    panels = {(state, size): ratios(study, state, size) for state in STATES for size in listed}
    columns = [f"{state}, batch {size}" for state, size in panels]
    rows = []
    for arm in by_time(study, listed[0]) if listed else study.clean.arms:
        keys = study.clean.cells(arm)
        cells = [number(estimate(panel, arm), digits=3) for panel in panels.values()]
        rows.append((word(arm, keys), *cells, *(_milliseconds(study, arm, size) for size in listed)))
    heads = ("method", *columns, *(f"ms, batch {size}" for size in listed))
    title = "Time to answer, as a multiple of the bare backbone's"
    return Table("latency", title, study.model, heads, tuple(rows), _notes(study))


def slower(study: Study, claim: Claim, options: Mapping[str, Any]) -> Finding:
    """Test whether the method's arms, in this state, take longer than the bare backbone."""
    return _finding(study, claim, options, "slower than", statistics.superior)


def as_fast(study: Study, claim: Claim, options: Mapping[str, Any]) -> Finding:
    """Test whether the method's arms, in this state, take no longer than the bare backbone, within the margin."""
    return _finding(study, claim, options, "as fast as", statistics.at_most)


def ratios(study: Study, state: str, size: str) -> Panel:
    """Return the ratio of every cell in place of its score; NaN where the probe has none."""
    rows = study.selected[study.selected.role == study.role].drop_duplicates(["key"])
    figures = [_figure(probed, state, size, "ratio") for probed in rows.probes]
    return selection.panel(rows.assign(score=figures, set="latency"), study.role, study.exhibit.methods())


def estimate(panel: Panel, arm: str) -> Estimate:
    """Return the mean over tasks, with its interval over seeds."""
    return Estimate(*statistics.interval(panel.of(arm)), keys=panel.cells(arm))


def alone(study: Study, arm: str) -> str:
    """Return why an arm's seconds cannot be judged; "" where its probes ran alone."""
    for probed in study.selected[study.selected.arm == arm].probes:
        figures = probed.get("latency") or {}
        if figures.get("cells_beside"):
            return "other cells ran during the probe"
        if figures.get("busy_beside") is not None and figures["busy_beside"] > BUSY:
            return f"other work kept {figures['busy_beside']:.1f} cores busy during the probe"
    return ""


def _finding(study: Study, claim: Claim, options: Mapping[str, Any], relation: str, rule: Any) -> Finding:
    """Return the finding over every variant of the method."""
    margin, state, size = float(options["margin"]), str(options["state"]), str(options["batch"])
    panel = ratios(study, state, size)
    arms = [arm for arm in panel.arms if study.method_of[arm] == options["method"]]
    figures = [Estimate(*statistics.interval(panel.of(arm) - 1), keys=panel.cells(arm)) for arm in arms]
    tests = [rule(figure.main, margin) for figure in figures]
    adjusted = statistics.holm([p for _, p in tests])
    judged = zip(arms, figures, tests, adjusted, strict=True)
    rows = tuple(_compared(study, arm, relation, figure, test, p, margin, len(arms)) for arm, figure, test, p in judged)
    return finding(study, claim, margin, rows, {}, [], partial(_described, size=size))


def _compared(
    study: Study, arm: str, relation: str, ratio: Estimate, test: tuple[str, float], p: float, margin: float,
    family: int,
) -> Comparison:  # fmt: skip
    """Return the comparison. test: its verdict and p before Holm's adjustment over the family; p: after it."""
    main, reason = ratio.main, alone(study, arm)
    if np.isnan(main.mean):
        return Comparison(arm, BARE, relation, "untested", reason="this probe was not run on every task")
    if not reason and np.isnan(p):
        reason = ONE_SEED
    if reason:
        return Comparison(arm, BARE, relation, "untested", main.mean, reason=reason, keys=ratio.keys)
    verdict = test[0] if p < ALPHA else "inconclusive"
    row = Comparison(arm, BARE, relation, verdict, main.mean, main.low, main.high, p, keys=ratio.keys)
    return comparisons.with_own_test(row, main, abs(main.mean - margin), (*test, False), family)


def _described(row: Comparison, size: str) -> str:
    """Return 'adapter takes +31.0 % [+25.1, +38.2] at batch 1'."""
    change = "" if row.estimate is None else f" takes {100 * row.estimate:+.1f} %"
    if row.low is not None and row.high is not None:
        change += f" [{100 * row.low:+.1f}, {100 * row.high:+.1f}]"
    return f"{row.left}{change} at batch {size}"


def _figure(probed: Mapping[str, Any], state: str, size: str, figure: str) -> float:
    """Return the median of a figure of one cell's probe; NaN where it has none."""
    figures = (probed.get("latency") or {}).get(state) or {}
    value = ((figures.get(size) or {}).get(figure) or {}).get("median")
    return float(value) if isinstance(value, int | float) else np.nan


def _milliseconds(study: Study, arm: str, size: str) -> Entry:
    rows = study.selected[(study.selected.arm == arm) & (study.selected.role == study.role)]
    figures = [_figure(probed, "unmerged", size, "ms") for probed in rows.probes]
    known = [value for value in figures if not np.isnan(value)]
    middle = float(np.median(known)) if known else None
    return Entry(MISSING) if middle is None else Entry(f"{middle:.3g}", middle, keys=tuple(map(str, rows.key)))


def by_time(study: Study, size: str) -> list[str]:
    """Return the arms, the fastest unmerged first."""
    panel = ratios(study, "unmerged", size)
    means = {arm: estimate(panel, arm).main.mean for arm in study.clean.arms}
    return sorted(means, key=lambda arm: (np.isnan(means[arm]), np.nan_to_num(means[arm])))


def sizes(study: Study) -> list[str]:
    """Return the batch sizes that were measured, smallest first."""
    probed = [(results.get("latency") or {}).get("unmerged") or {} for results in study.selected.probes]
    return sorted({size for figures in probed for size in figures}, key=int)


def _notes(study: Study) -> tuple[str, ...]:
    seen = [results["latency"] for results in study.selected.probes if results.get("latency")]
    devices = sorted({str(result.get("device")) for result in seen})
    reasons = sorted({reason for arm in study.clean.arms if (reason := alone(study, arm))})
    lacking = sorted({str(result.get("error")) for result in seen if result.get("status") != "done"})
    return (
        *notes.label(study),
        "ratio to the bare backbone on the same rows, in turns within one process: median over turns, then mean over "
        f"tasks and seeds ± half of its {statistics.LEVEL:.0%} interval; 1 is no cost",
        "merged: the delta folded into the backbone's weights; — where a method cannot be",
        f"ms: median per batch, unmerged, on {', '.join(devices) or 'no device'}",
        *(f"no verdict on seconds: {reason}" for reason in reasons),
        *(f"a probe failed: {reason}" for reason in lacking),
    )
