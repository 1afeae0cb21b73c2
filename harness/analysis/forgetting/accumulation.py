"""Intruder dimensions over tasks that are learnt one after the other, by the probe `spectrum`.

A sequence is a chain of cells, each with the one before as its only parent (methods/continual.py). Its first cell names
it. The intruders of a cell are counted in the weights that hold all tasks so far, against the pretrained ones.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from harness.analysis.output import notes, rate_marks
from harness.analysis.output.table import Table, number, word
from harness.analysis.robustness import tied_rates
from harness.analysis.study import comparisons, estimates, selection
from harness.analysis.study.estimates import Estimate
from harness.analysis.study.findings import OTHER_COLUMNS, finding
from harness.analysis.study.selection import Panel
from harness.analysis.study.study import Study
from harness.analysis.views import spectrum
from harness.experiments.claim_rows.claim import Claim
from harness.experiments.verdict import Comparison, Finding

SHOWN = (0.3, 0.5, 0.7)


@dataclass(frozen=True)
class Stage:
    """One cell's place in its sequence. first: the first cell's arm. tasks: those learnt so far, in order."""

    first: str
    method: str
    tasks: tuple[str, ...]

    @property
    def name(self) -> str:
        """Return "lora, 2 tasks"."""
        return f"{self.first}, {len(self.tasks)} task{'s' * (len(self.tasks) > 1)}"


def stages(study: Study) -> dict[str, Stage]:
    """Return key -> the cell's place, for the selected cells whose whole chain is among the records."""
    known = {str(row["key"]): row for row in study.scores.drop_duplicates("key").to_dict("records")}

    def place(key: str) -> Stage | None:
        """Return the place of a cell; None where a cell before it is missing."""
        row = known.get(key)
        if row is None:
            return None
        parents = [str(parent) for _, parent in row["cell"].get("parents") or ()]
        if not parents:
            return Stage(str(row["arm"]), str(row["method"]), (str(row["task"]),))
        before = place(parents[0]) if len(parents) == 1 else None
        return before and replace(before, tasks=(*before.tasks, str(row["task"])))

    placed = {str(key): place(str(key)) for key in study.selected.key}
    return {key: stage for key, stage in placed.items() if stage is not None}


def counts(study: Study, epsilon: float) -> Panel:
    """Return the intruders per matrix of each stage, as an arm of its own, in one column; NaN where not measured."""
    placed, names = stages(study), spectrum.shared(study)
    rows = study.selected[(study.selected.role == study.role) & study.selected.key.isin(list(placed))]
    rows = rows.drop_duplicates("key")
    values = [spectrum.mean(probed, names, "likeness", epsilon) for probed in rows.probes]
    labels = [placed[str(key)].name for key in rows.key]
    rows = rows.assign(score=values, arm=labels, task="tasks in turn", set=spectrum.PROBE)
    return selection.panel(rows, study.role, study.exhibit.methods())


def table(study: Study) -> Table:
    """Return one row per sequence and stage: the tasks so far, the last one's score, and intruders per matrix."""
    panels = [counts(study, epsilon) for epsilon in SHOWN]
    placed = {stage.name: (key, stage) for key, stage in stages(study).items()}
    arms = dict(zip(map(str, study.selected.key), map(str, study.selected.arm), strict=True))
    rows = []
    for name in panels[0].arms:
        key, stage = placed[name]
        index = study.clean.tasks.index(stage.tasks[-1])
        rows.append((
            word(name, panels[0].cells(name)),
            word(", then ".join(stage.tasks)),
            rate_marks.scored(study, arms[key], index),
            *(number(spectrum.estimate(panel, name), digits=2) for panel in panels),
        ))  # fmt: skip
    heads = (
        "what is tuned",
        "tasks so far",
        f"{study.role} score on the last",
        *(f"epsilon {each:g}" for each in SHOWN),
    )
    title = "Intruder dimensions per matrix over tasks learnt in sequence"
    return Table("intruders-in-sequence", title, study.model, heads, tuple(rows), _notes(study))


def accumulate(study: Study, claim: Claim, options: Mapping[str, Any]) -> Finding:
    """Test whether each sequence of the method has more intruders after its last task than after its first."""
    margin, epsilon = float(options["margin"]), float(options["epsilon"])
    panel, placed = counts(study, epsilon), stages(study)
    by_name = {stage.name: stage for stage in placed.values() if stage.method == options["method"]}
    compared = []
    for first in dict.fromkeys(stage.first for stage in by_name.values()):
        lengths = sorted((len(stage.tasks), name) for name, stage in by_name.items() if stage.first == first)
        if len(lengths) > 1:
            compared.append((lengths[-1][1], lengths[0][1]))
    differences = [_difference(panel, *pair) for pair in compared]
    rows = comparisons.compare(study, compared, ["above"] * len(compared), differences, margin)
    reason = "no cells that learn several tasks in sequence"
    rows = rows or (Comparison(str(options["method"]), "its first task", "above", "untested", reason=reason),)
    rows, tied = _at_each_rate(study, rows, placed, epsilon, margin)
    return finding(study, claim, margin, rows, {"left_out": tied}, [], spectrum.described)


def _at_each_rate(
    study: Study, rows: Sequence[Comparison], placed: Mapping[str, Stage], epsilon: float, margin: float
) -> tuple[tuple[Comparison, ...], list[str]]:
    """Return the comparisons of stages as they hold at each rate of the two stages' searches, and notes."""
    names = spectrum.shared(study)
    arms = dict(zip(map(str, study.selected.key), map(str, study.selected.arm), strict=True))
    places = {stage.name: (arms[key], stage.tasks[-1]) for key, stage in placed.items()}

    def of_trials(last: tied_rates.Row, first: tied_rates.Row) -> float:
        """Return how many intruders more per matrix the trial of the last task has."""
        many, few = (spectrum.mean(row["probes"], names, "likeness", epsilon) for row in (last, first))
        return many - few

    def sides(row: Comparison) -> tied_rates.Sides:
        """Return the places of the last stage and the first; none where there is no sequence."""
        return [(places[row.left], places[row.right])] if row.right in places else []

    return tied_rates.at_each(study, rows, sides, of_trials, margin, spectrum.described)


def _difference(panel: Panel, last: str, first: str) -> Estimate:
    known = np.isnan(panel.of(last) - panel.of(first))
    if known.all():
        return estimates.absent("no seed was measured after both its first and its last task")
    return replace(estimates.difference(panel, last, first), sides=((), ()))


def _notes(study: Study) -> tuple[str, ...]:
    return (
        *notes.common_notes(study),
        "intruders: of the first ten left singular vectors of each tuned matrix, those whose largest cosine with a "
        "pretrained one is below epsilon; in the weights that hold all tasks so far",
        OTHER_COLUMNS,
        *rate_marks.notes(study),
    )
