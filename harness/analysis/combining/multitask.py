"""One backbone with a delta per task, one full model per task, and one model tuned on all tasks together.

A cell is joint where a test set of its task has the name of another task of the exhibit (tasks/mixtures.py). Its score
on that set stands beside the scores of the models tuned on that task alone, as that of an arm of its own.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from harness.analysis.output import notes, rate_marks
from harness.analysis.output.table import MISSING, Entry, Table, word
from harness.analysis.study.study import Study
from harness.analysis.views import pairs
from harness.experiments.claim_rows.claim import Claim
from harness.experiments.verdict import Finding

if TYPE_CHECKING:
    import pandas as pd

JOINTLY = "on all tasks together"
BYTES, KIB = 4, 2.0**10
"""Of a stored parameter, in the precision of training."""


def ways(study: Study) -> Study:
    """Return the study with the joint cells on the single tasks, as arms of methods of their own."""
    tasks = set(study.scores.task)
    sets = study.scores.groupby("task", sort=False)["set"].unique()
    parts = {str(task): [str(name) for name in own if name in tasks] for task, own in sets.items() if tasks & set(own)}
    scores, curves, failures = (_placed(rows, parts) for rows in (study.scores, study.curves, study.failures))
    return replace(study, scores=scores, curves=curves, failures=failures)


def _placed(rows: "pd.DataFrame", parts: Mapping[str, list[str]]) -> "pd.DataFrame":
    """Return the rows with those of joint cells once for each part: its own test set, and all that is no test set."""
    import pandas as pd

    made = [rows[~rows.task.isin(list(parts))]]
    for joint, names in parts.items():
        own = rows[rows.task == joint]
        renamed = own.assign(**{name: [f"{value} {JOINTLY}" for value in own[name]] for name in ("arm", "method")})
        for part in names:
            here = renamed[(renamed["set"] == part) | (renamed.role != "test")] if "set" in rows else renamed
            moved = here.assign(task=part)
            made.append(moved.assign(set=moved["set"].replace(part, "test")) if "set" in rows else moved)
    return pd.concat([part for part in made if len(part)] or [rows], ignore_index=True)


def table(study: Study) -> Table:
    """Return one row per way: what it scores on each task and on average, and what it stores for each task."""
    whole = ways(study)
    panel, backbone = whole.clean, BYTES * float(whole.scores.backbone.astype(float).max())
    rows = []
    for arm in rate_marks.by_score(whole):
        stored, keys = _stored(whole, arm), panel.cells(arm)
        rows.append((
            rate_marks.named(whole, arm),
            *(rate_marks.scored(whole, arm, index) for index in range(len(panel.tasks))),
            rate_marks.scored(whole, arm),
            _entry(stored, KIB, "{:,.1f}", keys),
            _entry(stored, backbone / 100, "{:.3g} %", keys),
        ))  # fmt: skip
    bases = [*panel.base, panel.base.mean()]
    guesses = [Entry(f"{100 * base:.1f}", 100 * float(base)) for base in bases]
    rows.append((word("guessing"), *guesses, Entry("0", 0.0), Entry("0 %", 0.0)))
    heads = ("one model, or delta", *panel.tasks, "mean", "stored per task, KiB", "share of a model")
    title = "A delta per task, a model per task, and one model for all tasks"
    return Table("multitask", title, study.model, heads, tuple(rows), _notes(whole))


def _stored(study: Study, arm: str) -> float | None:
    """Return the bytes that an arm stores for each task beside one backbone that all tasks share; None if not known.

    What is tuned on all tasks together is stored once.
    """
    rows = study.selected[(study.selected.arm == arm) & (study.selected.role == study.role)]
    sizes = rows.delta.astype(float) + rows["head"].astype(float)
    shared = rows.task.nunique() if study.method_of[arm].endswith(JOINTLY) else 1
    return float(BYTES * sizes.mean() / shared) if len(rows) and sizes.notna().all() else None


def _entry(stored: float | None, unit: float, form: str, keys: tuple[str, ...]) -> Entry:
    return Entry(MISSING) if stored is None else Entry(form.format(stored / unit), stored / unit, keys=keys)


def as_separate(study: Study, claim: Claim, options: Mapping[str, Any]) -> Finding:
    """Test whether a delta per task scores at least as high as one model per task."""
    return pairs.at_least(ways(study), claim, {**options, "each": False})


def as_joint(study: Study, claim: Claim, options: Mapping[str, Any]) -> Finding:
    """Test whether a delta per task scores at least as high as one model that was tuned on all tasks."""
    return pairs.at_least(ways(study), claim, {**options, "right": f"{options['right']} {JOINTLY}", "each": False})


def _notes(study: Study) -> tuple[str, ...]:
    return (
        *notes.common_notes(study),
        f"{JOINTLY}: one model, trained on the rows of all tasks mixed, for as many steps as the models of the single "
        "tasks have together",
        "stored per task: the trained parameters, 4 bytes each, beside one backbone that all tasks share; what is "
        "tuned on all tasks together is stored once",
        *rate_marks.notes(study),
    )
