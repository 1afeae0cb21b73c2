"""Soups against their own ingredients: the best of them by validation, and their mean.

Wortsman et al. 2022 (arXiv 2203.05482). An arm is a soup where its cells build on others and train nothing. Which
ingredient is the best is decided on validation, as in the paper, so that the choice does not use the reported scores.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from harness.analysis.output import notes, rate_marks
from harness.analysis.output.table import Table, number
from harness.analysis.study import comparisons, estimates, selection, statistics
from harness.analysis.study.estimates import Estimate
from harness.analysis.study.findings import OTHER_COLUMNS, SEEDS_ALONE, finding
from harness.analysis.study.selection import Panel
from harness.analysis.study.study import Study
from harness.experiments.claim_rows.claim import Claim
from harness.experiments.verdict import Comparison, Finding

BEST, MEAN = "best", "mean"


@dataclass(frozen=True)
class Scores:
    """The scores of finished cells at their best checkpoint, 0 to 1, by key: on validation and on the reported sets."""

    validation: Mapping[str, float]
    reported: Mapping[str, float]

    def of(self, keys: list[str], against: str) -> float:
        """Return the reported score of the best of these cells by validation, or the mean; NaN where one is missing."""
        if any(key not in self.validation or key not in self.reported for key in keys) or not keys:
            return math.nan
        best = max(keys, key=lambda key: self.validation[key])
        return self.reported[best] if against == BEST else float(np.mean([self.reported[key] for key in keys]))


def scores(study: Study) -> Scores:
    """Return the scores of every cell, whatever its learning rate."""
    rows = study.scores[study.scores.checkpoint == "best"]
    by_role: dict[str, dict[str, float]] = {"validation": {}, study.role: {}}
    means = rows.groupby(["role", "key"], as_index=False).score.mean()
    for role, key, score in zip(means.role, means.key, means.score, strict=True):
        by_role.setdefault(str(role), {})[str(key)] = float(score)
    return Scores(by_role["validation"], by_role[study.role])


def soups(study: Study) -> list[str]:
    """Return the arms whose cells have ingredients and train nothing."""
    rows = study.selected[study.selected.role == study.role]
    with_parents = {str(arm) for arm, cell in zip(rows.arm, rows.cell, strict=True) if cell.get("parents")}
    return [arm for arm in study.clean.arms if arm in with_parents and not study.trains(arm)]


def leads(study: Study, against: str) -> Panel:
    """Return each soup's score less that of its best ingredient, or of their mean, in place of its score."""
    known = scores(study)
    rows = study.selected[(study.selected.role == study.role) & study.selected.arm.isin(soups(study))]
    values = [
        known.reported.get(str(key), math.nan) - known.of([str(parent) for _, parent in cell["parents"]], against)
        for key, cell in zip(rows.key, rows.cell, strict=True)
    ]
    return selection.panel(rows.assign(score=values), study.role, study.exhibit.methods())


def table(study: Study) -> Table:
    """Return one row per soup: its score, those of its best ingredient and of their mean, and how far it is above."""
    by_best, by_mean = leads(study, BEST), leads(study, MEAN)
    lines = []
    for arm in soups(study):
        own = study.clean.of(arm)
        ingredients = [Estimate(*statistics.interval(own - panel.of(arm))) for panel in (by_best, by_mean)]
        lines.append((
            rate_marks.named(study, arm),
            rate_marks.scored(study, arm),
            *(number(estimate, 100) for estimate in ingredients),
            *(number(Estimate(*statistics.interval(panel.of(arm)), keys=panel.cells(arm)), 100)
              for panel in (by_best, by_mean)),
        ))  # fmt: skip
    heads = (f"{study.role} score", "best ingredient", "mean of them", "soup less best", "soup less mean")
    return Table(
        "soups", "Soups and their ingredients, points", study.model, ("average", *heads), tuple(lines), _notes(study)
    )


def beats(study: Study, claim: Claim, options: Mapping[str, Any]) -> Finding:
    """Test whether every soup scores above its ingredients' best or mean."""
    return _test(study, claim, options, "above")


def matches(study: Study, claim: Claim, options: Mapping[str, Any]) -> Finding:
    """Test whether every soup scores at least as high, within the margin."""
    return _test(study, claim, options, "at least")


def _test(study: Study, claim: Claim, options: Mapping[str, Any], relation: str) -> Finding:
    margin, against = float(options["margin"]), str(options["against"])
    arms = soups(study)
    panel = leads(study, against) if arms else None
    compared = [(arm, f"its ingredients' {against}") for arm in arms]
    estimated = [_lead(panel, arm) for arm in arms] if panel else []
    rows = comparisons.compare(study, compared, [relation] * len(compared), estimated, margin)
    rows = rows or (Comparison("an average", against, relation, "untested", reason="no soup among these cells"),)
    return finding(study, claim, margin, rows, {"left_out": (SEEDS_ALONE,)}, [])


def _lead(panel: Panel, arm: str) -> Estimate:
    if np.isnan(panel.of(arm)).all(axis=1).any():
        return estimates.absent("an ingredient has no score")
    return Estimate(*statistics.interval(panel.of(arm)), keys=panel.cells(arm))


def _notes(study: Study) -> tuple[str, ...]:
    return (
        *notes.common_notes(study),
        "best ingredient: the test score of the one with the highest validation score; the ingredients of a soup "
        "differ in their learning rate and share its seed",
        OTHER_COLUMNS,
        *rate_marks.notes(study),
    )
