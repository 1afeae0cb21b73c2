"""Scores by the number of training rows: the table, and the test whether more rows help."""

from collections.abc import Iterator, Mapping
from typing import Any

from harness.analysis.output import rate_marks
from harness.analysis.output.notes import common_notes
from harness.analysis.output.table import MISSING, Entry, Table, word
from harness.analysis.study import comparisons, estimates, selection
from harness.analysis.study.findings import finding
from harness.analysis.study.selection import Panel
from harness.analysis.study.study import Study
from harness.analysis.views import cost
from harness.experiments.claims import Claim
from harness.experiments.verdict import Finding

BESIDE = (
    ("overlap", "exact_match", "exact match", 100.0),
    ("overlap", "rouge_l", "ROUGE-L", 100.0),
    ("judge", "grade", "judge, 1 to 10", 1.0),
    ("judge_pairs", "won_or_half", "judge: share won, ties count half", 100.0),
)
"""Figures of the probes that read answers: probe, figure, what it is called, its unit."""
GRADES = (1.0, 10.0)
"""The lowest and the highest grade of a judge."""


def quantities(study: Study) -> Iterator[tuple[str, Panel, float]]:
    """Return (name, panel, factor): the probes' figures of the same answers or, without them, the task's own metric."""
    panels = [
        (name, study.probed(probe, figure, (0.0, 1.0) if factor > 1 else GRADES), factor)
        for probe, figure, name, factor in BESIDE
    ]
    some = [(name, panel, factor) for name, panel, factor in panels if panel is not None]
    yield from some or [("score", study.clean, 100.0)]


def sizes(study: Study) -> dict[str, int]:
    """Return column -> training rows, the fewest first, of columns that differ in nothing else."""
    rows = study.selected[study.selected.role == study.role]
    named = zip(selection.columns(rows), rows.train_size, strict=True)
    by_column = {column: int(size) for column, size in named if size == size and size is not None}
    return (
        dict(sorted(by_column.items(), key=lambda item: item[1]))
        if len(set(by_column.values())) == len(by_column)
        else {}
    )


def table(study: Study) -> Table:
    """Return a row per arm and measure: what trains, and the mean over seeds at every number of training rows."""
    by_size = sizes(study)
    names = tuple(by_size) or study.clean.tasks
    heads = [f"{by_size[name]:,} rows" if name in by_size else name for name in names]
    rows, measures = [], list(quantities(study))
    for arm in rate_marks.by_score(study):
        for measure, panel, factor in measures:
            digits = 2 if factor == 1 else 1
            at = [panel.tasks.index(name) for name in names]
            scores = [rate_marks.scored(study, arm, index, panel, factor, digits) for index in at]
            rows.append((rate_marks.named(study, arm), *_trains(study, arm), word(measure), *scores))
    columns = ("method", "trains", "share", "measure", *heads)
    notes = (
        *common_notes(study, measures[0][1]),
        "trains: trainable parameters; share: of the backbone's",
        "ROUGE-L: F-measure of the longest common subsequence of words; exact match after SQuAD's normalisation",
        *rate_marks.notes(study),
    )
    return Table("samples", "Scores by training rows", study.model, columns, tuple(rows), notes)


def _trains(study: Study, arm: str) -> tuple[Entry, Entry]:
    trained, keys = cost.parameters(study, arm), study.clean.cells(arm)
    if trained is None:
        return Entry(MISSING), Entry(MISSING)
    count, share = trained
    return Entry(f"{count:,}", count, keys=keys), Entry(f"{100 * share:.3g} %", 100 * share, keys=keys)


def more_help(study: Study, claim: Claim, options: Mapping[str, Any]) -> Finding:
    """Compare the most rows with the fewest, each method with itself.

    Where the ceiling learns nothing from the most rows the task is no yardstick. From the fewest it may: that is what
    more rows help against.
    """
    margin, by_size, panel = float(options["margin"]), sizes(study), study.clean
    wanted = options["methods"]
    chosen = [arm for arm in study.others if wanted is None or study.method_of[arm] in wanted]
    if len(by_size) < 2:
        return finding(study, claim, margin, (), {}, [])
    (few, fewest), *_, (many, most) = by_size.items()
    at = panel.tasks.index(many), panel.tasks.index(few)
    pairs, estimated = [], []
    for arm in chosen:
        pairs.append((f"{arm} on {most:,} rows", f"on {fewest:,}"))
        unlearnt = many in study.unlearnt
        estimated.append(estimates.absent(estimates.UNLEARNT) if unlearnt else estimates.between(panel, arm, *at))
    return finding(
        study, claim, margin, comparisons.compare(study, pairs, ["above"] * len(pairs), estimated, margin), {}, []
    )
