"""Intruder dimensions of the cells, by the probe `spectrum`, counted at a threshold that analysis chooses.

Only matrices that every arm changed are counted, so that a method does not look better for unchanged matrices.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from harness.analysis.output import notes, rate_marks
from harness.analysis.output.table import Table, number
from harness.analysis.robustness import tied_rates
from harness.analysis.study import comparisons, estimates, findings, selection, statistics
from harness.analysis.study.estimates import Estimate
from harness.analysis.study.selection import Panel
from harness.analysis.study.study import Study
from harness.experiments import units
from harness.experiments.claims import Claim
from harness.experiments.verdict import Comparison, Finding

PROBE = "spectrum"
SHOWN = (0.3, 0.5, 0.7)


def table(study: Study) -> Table:
    """Return one row per arm: intruders per matrix at several thresholds, how far the weights moved, and the score."""
    panels, names = [counts(study, epsilon) for epsilon in SHOWN], shared(study)
    moved = _panel(study, [mean(probed, names, "change") for probed in _rows(study).probes])
    rows = []
    for arm in study.clean.arms:
        entries = [number(estimate(panel, arm), digits=2) for panel in panels]
        score = rate_marks.scored(study, arm)
        rows.append((rate_marks.named(study, arm), *entries, number(estimate(moved, arm), digits=3), score))
    heads = ("method", *(f"intruders, epsilon {epsilon:g}" for epsilon in SHOWN), "change", f"{study.role} score")
    return Table("spectrum", "Intruder dimensions per matrix", study.model, heads, tuple(rows), _notes(study))


def more(study: Study, claim: Claim, options: Mapping[str, Any]) -> Finding:
    """Test whether every variant of the left method has more intruders than the right method."""
    margin, panel = float(options["margin"]), counts(study, float(options["epsilon"]))
    sides = ([arm for arm in panel.arms if study.method_of[arm] == options[side]] for side in ("left", "right"))
    left, right = sides
    pairs = [(first, other) for first in left for other in right]
    differences = [estimates.difference(panel, *pair) for pair in pairs]
    rows = comparisons.compare(study, pairs, ["above"] * len(pairs), differences, margin)
    absent = [str(options[side]) for side, there in (("left", left), ("right", right)) if not there]
    rows = tuple(replace(row, sides=((), ())) for row in rows)  # a better rate may find more of them, or fewer
    names, epsilon = shared(study), float(options["epsilon"])

    def of_trials(first: tied_rates.Row, other: tied_rates.Row) -> float:
        """Return how many intruders more per matrix the first trial has."""
        many, few = (mean(row["probes"], names, "likeness", epsilon) for row in (first, other))
        return many - few

    rows, tied = tied_rates.at_each(study, rows, tied_rates.on_each(panel.tasks), of_trials, margin, described)
    return findings.finding(study, claim, margin, rows, {"epsilon": epsilon, "left_out": tied}, absent, described)


def counts(study: Study, epsilon: float) -> Panel:
    """Return the intruders per matrix of every cell in place of its score; NaN where there are none."""
    names = shared(study)
    return _panel(study, [mean(probed, names, "likeness", epsilon) for probed in _rows(study).probes])


def estimate(panel: Panel, arm: str) -> Estimate:
    """Return the mean over tasks, with its interval over seeds."""
    return Estimate(*statistics.interval(panel.of(arm)), keys=panel.cells(arm))


def shared(study: Study) -> frozenset[str]:
    """Return the matrices that every probed cell changed, apart from cells that changed none at all."""
    changed = [{row["name"] for row in _matrices(probed) if row["change"] > 0} for probed in _rows(study).probes]
    return frozenset.intersection(*(frozenset(names) for names in changed if names)) if any(changed) else frozenset()


def _rows(study: Study) -> Any:
    return study.selected[study.selected.role == study.role].drop_duplicates(["key"])


def _panel(study: Study, values: Sequence[float]) -> Panel:
    return selection.panel(_rows(study).assign(score=values, set=PROBE), study.role, study.exhibit.methods())


def _matrices(probed: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    return (probed.get(PROBE) or {}).get("matrices") or ()


def mean(probed: Mapping[str, Any], names: frozenset[str], field: str, epsilon: float | None = None) -> float:
    """Return the mean over these matrices, of a number or of how many of a list are below epsilon.

    NaN where an older version measured no such field.
    """
    fields = [row[field] for row in _matrices(probed) if row["name"] in names and field in row]
    values = fields if epsilon is None else [sum(value < epsilon for value in row) for row in fields]
    return float(np.mean(values)) if values else np.nan


def described(row: Comparison) -> str:
    """Return 'lora rank=1 has 2.10 [1.80, 2.40] more per matrix than full'."""
    if row.estimate is None:
        return f"{row.left} against {row.right}"
    size, more_of_them = units.sided(row)
    return f"{row.left} has {size} {'more' if more_of_them else 'fewer'} per matrix than {row.right}"


def _notes(study: Study) -> tuple[str, ...]:
    results = [probed.get(PROBE) or {} for probed in study.selected.probes]
    lacking = sorted({str(result.get("error")) for result in results if result.get("status") == "failed"})
    top = max((len(row["likeness"]) for result in results for row in result.get("matrices") or ()), default=0)
    return (
        *notes.label(study),
        *rate_marks.rate_notes(study),
        f"intruders: of the first {top} left singular vectors of a tuned matrix, those whose largest cosine with a "
        f"pretrained one is below epsilon; mean over the {len(shared(study))} matrices that every method changed, over "
        f"tasks and seeds, ± half of its {statistics.LEVEL:.0%} interval over seeds",
        "change: ||W - W0|| / ||W0||, mean over the same matrices; weights merged, of the best checkpoint",
        *(f"a probe failed: {reason}" for reason in lacking),
    )
