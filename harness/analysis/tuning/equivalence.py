"""Variants against one reference: each at its own tuned rate, beside all of them at one shared rate.

Equivalence is tested by two one-sided tests (Schuirmann 1987) at 2.5 % each: the 95 % interval of the difference of
scores lies within the margin on both sides.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from harness.analysis.output import notes, rate_marks
from harness.analysis.output.table import MISSING, Entry, Table, number, word
from harness.analysis.study import comparisons, estimates, selection
from harness.analysis.study.estimates import Estimate
from harness.analysis.study.findings import finding
from harness.analysis.study.selection import Panel
from harness.analysis.study.study import Study
from harness.analysis.views import pairs
from harness.experiments.claims import Claim, side_text
from harness.experiments.verdict import Comparison, Finding
from harness.formatting import rate as rate_text
from harness.formatting import value as value_text

SIMILAR = "similar"
REFERENCE = "reference"
MARGIN = 0.02
WORDS = {"reproduced": "equivalent", "contradicted": "different", "inconclusive": "undecided", "untested": "untested"}
"""What a verdict on "similar" says of a difference."""


@dataclass(frozen=True)
class Compared:
    """The variants against the reference on one panel. differences: arm -> its score less the reference's.

    panel: [A, T, S] scores, at tuned rates or at the shared one. rows: arm -> its test of equivalence.
    """

    panel: Panel
    differences: Mapping[str, Estimate]
    rows: Mapping[str, Comparison]


def reference(study: Study, side: Any = None) -> str | None:
    """Return the arm that the others are compared with: of this side, or of the exhibit's claim; None without one."""
    if side is None:
        side = next((options[REFERENCE] for _, options in study.exhibit.claims if REFERENCE in options), None)
    arms = pairs.arms(study, side) if side is not None else []
    return arms[0] if len(arms) == 1 else None


def shared_rate(study: Study) -> float | None:
    """Return a learning rate at which the reference and every variant have reported cells; None without one.

    A rate to which all of them were tuned is taken only where there is no other.
    """
    arms = [arm for arm in study.clean.arms if _has_delta(study, arm)]
    rows = study.reported_rows
    tried = [frozenset(rows[rows.arm == arm].learning_rate) for arm in arms]
    common = sorted(frozenset.intersection(*tried)) if tried else []
    tuned = [frozenset(study.rates.xs(arm, level="arm").learning_rate) for arm in arms]
    apart = [value for value in common if not all(value in rates for rates in tuned)]
    return float((apart or common)[0]) if common else None


def shared(study: Study) -> Panel:
    """Return the scores of all arms at the shared rate; an empty panel where there is none."""
    rows, value = study.reported_rows, shared_rate(study)
    rows = rows[(rows.checkpoint == "best") & (rows.learning_rate == value)]
    return selection.panel(rows, study.role, study.exhibit.methods(), scores=True)


def compared(study: Study, panel: Panel, arm: str | None, margin: float = MARGIN) -> Compared:
    """Return every variant against the reference on this panel. An arm that trains a head alone is none."""
    others = [name for name in study.clean.arms if arm is not None and name != arm and _has_delta(study, name)]
    learnt = [place for place, task in enumerate(panel.tasks) if task not in study.unlearnt]
    differences = {name: estimates.difference(panel.at(learnt), name, str(arm)) for name in others}
    if panel is not study.clean:  # a better rate is not what is asked there
        differences = {name: replace(difference, at_best=None) for name, difference in differences.items()}
    names = [(short(study, name, arm), short(study, str(arm), arm)) for name in others]
    rows = comparisons.compare(study, names, [SIMILAR] * len(names), list(differences.values()), margin)
    return Compared(panel, differences, dict(zip(others, rows, strict=True)))


def _has_delta(study: Study, arm: str) -> bool:
    """Return whether an arm trains more than a head."""
    trained = study.trained(arm)
    return trained is None or trained[0] > 0


def once_tuned(study: Study, claim: Claim, options: Mapping[str, Any]) -> Finding:
    """Test whether each variant at its own tuned rate scores as the reference at its own, within the margin."""
    return _finding(study, claim, options, study.clean)


def at_one_rate(study: Study, claim: Claim, options: Mapping[str, Any]) -> Finding:
    """Test the same at the rate that all arms share."""
    return _finding(study, claim, options, shared(study))


def _finding(study: Study, claim: Claim, options: Mapping[str, Any], panel: Panel) -> Finding:
    margin, arm = float(options["margin"]), reference(study, options[REFERENCE])
    rows = tuple(compared(study, panel, arm, margin).rows.values()) if arm else ()
    if not rows:
        wanted = str(side_text(options[REFERENCE]))
        rows = (Comparison("the variants", wanted, SIMILAR, "untested", reason="not both among these cells"),)
    return finding(study, claim, margin, rows, {"left_out": study.left_out()}, [])


def short(study: Study, arm: str, base: str | None) -> str:
    """Return what an arm differs in from the reference, such as "init=pissa", or its method's name."""
    if base is None or arm == base:
        return study.method_of[arm]
    if study.method_of[arm] != study.method_of[base]:
        alone = sum(method == study.method_of[arm] for method in study.method_of.values()) == 1
        return study.method_of[arm] if alone else arm
    mine, other = (study.scores[study.scores.arm == name].iloc[0].fields for name in (arm, base))
    changed = [f"{name}={value_text(value)}" for name, value in mine.items() if value != other.get(name)]
    return ", ".join(changed) or arm


def table(study: Study) -> Table:
    """Return one row per arm: its tuned rate, its score there and the difference from the reference with its test, and
    the same at the shared rate.
    """
    base, value = reference(study), shared_rate(study)
    both = compared(study, study.clean, base), compared(study, shared(study), base)
    rows = []
    for arm in study.clean.arms:
        name = Entry(short(study, arm, base), arm, keys=study.clean.cells(arm))
        cells = [entry for part in both for entry in _cells(part, arm)]
        rows.append((name, rate_marks.rates(study, arm), *cells))
    at = MISSING if value is None else rate_text(value)
    columns = (
        "method",
        "tuned rate",
        "tuned",
        "less reference",
        "tuned is",
        f"at {at}",
        "less reference there",
        "there",
    )
    title = f"Variants against {short(study, base, base) if base else MISSING}, tuned and at one rate"
    return Table("tuned-variants", title, study.model, columns, tuple(rows), _notes(study))


def _cells(part: Compared, arm: str) -> tuple[Entry, Entry, Entry]:
    score = number(estimates.score(part.panel, arm), 100) if arm in part.panel.arms else Entry(MISSING)
    if arm not in part.rows:
        return score, Entry(MISSING), Entry(MISSING)
    return score, number(part.differences[arm], 100, bounds=True), word(WORDS[part.rows[arm].verdict])


def _notes(study: Study) -> tuple[str, ...]:
    return (
        *notes.common_notes(study),
        f"difference: from the reference, which the title names; equivalent: its interval is within {100 * MARGIN:g} "
        "points (two one-sided tests, adjusted by Holm); different: wholly outside; undecided: neither",
        *rate_marks.notes(study),
    )
