"""Examples in the prompt against examples in training: scores by their number, and the claim about it.

A column with shots shows so many rows of train before each text; a column with a limited train split trains on so many.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from harness.analysis.output import rate_marks
from harness.analysis.output.notes import common_notes
from harness.analysis.output.table import MISSING, Entry, Table, word
from harness.analysis.study import comparisons, estimates, row_errors, selection, statistics
from harness.analysis.study.estimates import Estimate
from harness.analysis.study.findings import finding
from harness.analysis.study.selection import Panel
from harness.analysis.study.study import Study
from harness.analysis.views import pairs
from harness.experiments.claims import Claim
from harness.experiments.verdict import Finding

SHOWN, TRAINED = "in the prompt", "in training"
Places = dict[tuple[str, str, int], str]


def places(study: Study) -> Places:
    """Return (task's own name, how the examples are given, their number) -> its column; 0 stands for both ways."""
    rows = study.selected[study.selected.role == study.role]
    by_way: Places = {}
    for column, cell in dict(zip(selection.columns(rows), rows.cell, strict=True)).items():
        task = cell["task"]
        shots, size = int(task.get("shots") or 0), task.get("train_size")
        if shots:
            by_way[task["name"], SHOWN, shots] = column
        elif size is not None:
            by_way[task["name"], TRAINED, int(size)] = column
        else:
            by_way[task["name"], SHOWN, 0] = column
    return by_way


def table(study: Study) -> Table:
    """Return one row per task, arm and way of giving examples, one column per number of examples."""
    known = places(study)
    numbers = sorted({number for _, _, number in known})
    rows: list[tuple[Entry, ...]] = []
    for task in dict.fromkeys(name for name, _, _ in known):
        for way in (SHOWN, TRAINED):
            for arm in study.clean.arms:
                columns = [known.get((task, way, number)) for number in numbers]
                entries = [_score(study, arm, column) for column in columns]
                if any(entry.value is not None for entry in entries):
                    rows.append((word(task), rate_marks.named(study, arm), word(way), *entries))
    heads = ("task", "method", "examples", *map(_rows, numbers))
    notes = (
        *common_notes(study),
        f"{SHOWN}: so many rows of train, with their answers, stand before each text; {TRAINED}: so many rows of train",
        "each row of examples is drawn by seed; those in training are the same for all seeds of a task",
        *rate_marks.notes(study),
    )
    return Table("in-context", "Examples in the prompt or in training", study.model, heads, tuple(rows), notes)


def _score(study: Study, arm: str, column: str | None) -> Entry:
    if column is None or np.isnan(study.clean.of(arm)[study.clean.tasks.index(column)]).all():
        return Entry(MISSING)
    return rate_marks.scored(study, arm, study.clean.tasks.index(column))


def tuning_is_better(study: Study, claim: Claim, options: Mapping[str, Any]) -> Finding:
    """Test whether tuning on some rows scores above showing as many in the prompt, for each number of rows."""
    margin, known, panel = float(options["margin"]), places(study), study.clean
    tasks = list(dict.fromkeys(name for name, _, _ in known))
    named, estimated = [], []
    for left, right in pairs.sides(study, options):
        for number in sorted({number for _, way, number in known if way == TRAINED}):
            columns = [(known.get((task, TRAINED, number)), known.get((task, SHOWN, number))) for task in tasks]
            both = [(mine, other) for mine, other in columns if mine and other]
            if both:
                named.append((f"{left} on {_rows(number)}", f"{right} with {number} in the prompt"))
                estimated.append(across(panel, left, right, both))
    rows = comparisons.compare(study, named, ["above"] * len(named), estimated, margin)
    return finding(study, claim, margin, rows or pairs.absent(options, "above"), {}, [])


def _rows(number: int) -> str:
    return f"{number} row{'s' * (number != 1)}"


def across(panel: Panel, left: str, right: str, columns: list[tuple[str, str]]) -> Estimate:
    """Return left's score in the first column less right's in the second, mean over pairs of columns, by seed."""
    mine, other = (panel.at([panel.tasks.index(pair[side]) for pair in columns]) for side in (0, 1))
    values = mine.of(left) - other.of(right)
    if np.isnan(values).all(axis=1).any():
        return estimates.absent("no seed was run for both on every task")
    main, beside = statistics.interval(values)
    places = [[panel.tasks.index(pair[side]) for pair in columns] for side in (0, 1)]
    share = 1 / len(columns)
    terms = [(share, left, place) for place in places[0]] + [(-share, right, place) for place in places[1]]
    error = row_errors.of_terms(panel, terms)
    sides = mine.cells(left), other.cells(right)
    again = estimates.raised(panel, lambda raised: across(raised, left, right, columns))
    return Estimate(statistics.with_rows(main, error), beside, keys=sides[0] + sides[1], sides=sides, at_best=again)
