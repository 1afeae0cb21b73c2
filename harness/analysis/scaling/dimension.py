"""The intrinsic dimension of a task on a model: the fewest numbers in a random subspace that reach most of the ceiling.

Aghajanyan et al. 2021 (arXiv 2012.13255) call it d90: the smallest dimension with 90 % of the score of full
fine-tuning. It is read off the dimensions that were tried; one that none reaches is above the largest of them.
"""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from harness.analysis.output import notes
from harness.analysis.output.table import MISSING, Entry, Table, word
from harness.analysis.scaling import joint, model_size
from harness.analysis.study import comparisons, estimates, statistics
from harness.analysis.study.estimates import Estimate
from harness.analysis.study.findings import finding
from harness.analysis.study.statistics import Array
from harness.analysis.study.study import Study
from harness.experiments.claims import Claim
from harness.experiments.verdict import Finding

SHARE, FIELD = 0.9, "dimension"


def arms(study: Study) -> dict[str, int]:
    """Return arm -> its dimension, the smallest first, of the arms that build on no other cell."""
    sizes = {arm: study.field(arm, FIELD) for arm in study.clean.arms}
    rows = zip(study.scores.arm, study.scores.cell, strict=True)
    built = {str(arm) for arm, cell in rows if cell.get("parents")}
    known = {arm: int(size) for arm, size in sizes.items() if size and arm not in built}
    return {arm: known[arm] for arm in sorted(known, key=lambda arm: known[arm])}


def of(study: Study, ceiling: str | None, tried: Mapping[str, int]) -> Array:
    """Return [T, S] the smallest dimension with 90 % of the ceiling's score; inf where none has, NaN without cells."""
    panel = study.clean
    least = np.full((len(panel.tasks), len(panel.seeds)), np.nan)
    if not ceiling or not tried:
        return least
    goal = SHARE * panel.of(ceiling)
    for arm, size in list(tried.items())[::-1]:
        scores = panel.of(arm)
        known = ~np.isnan(scores) & ~np.isnan(goal)
        least = np.where(known & (scores >= goal), size, np.where(known & np.isnan(least), np.inf, least))
    return least


def table(studies: Sequence[Study]) -> Table:
    """Return one row per model: its parameters, and on each task that any has one for the median dimension over seeds.

    Models may have been run on other tasks.
    """
    ordered = model_size.ordered(studies)
    medians = [dict(zip(study.clean.tasks, _medians(study), strict=True)) for study in ordered]
    tasks = [
        task
        for task in dict.fromkeys(itertools.chain(*medians))
        if any(task in row and row[task].keys for row in medians)
    ]
    rows = [
        (word(study.model), word(f"{model_size.size(study):,.0f}"), *(row.get(task, Entry(MISSING)) for task in tasks))
        for study, row in zip(ordered, medians, strict=True)
    ]
    dimensions = sorted({size for study in studies for size in arms(study).values()})
    text = (
        *notes.label(studies[0]),
        *notes.missing(studies[0], studies[0].clean),
        f"the smallest dimension with {SHARE:.0%} of the score of '{studies[0].exhibit.ceiling}' of the same seed, "
        f"median over seeds; tried: {', '.join(map(str, dimensions))}",
    )
    return Table(
        "dimension", "Intrinsic dimension d90", joint.MODEL, ("model", "parameters", *tasks), tuple(rows), text
    )


def _medians(study: Study) -> list[Entry]:
    """Return the median dimension on each task."""
    tried = arms(study)
    return [_median(row, tried, study) for row in of(study, study.ceiling, tried)]


def _median(values: Array, tried: Mapping[str, int], study: Study) -> Entry:
    known = values[~np.isnan(values)]
    if not len(known):
        return Entry(MISSING)
    middle = float(np.quantile(known, 0.5, method="higher"))
    keys = study.clean.cells(*tried)
    largest = max(tried.values())
    return Entry(f"{middle:.0f}", middle, keys=keys) if np.isfinite(middle) else Entry(f"over {largest}", keys=keys)


def smaller_on_larger(study: Study, claim: Claim, options: Mapping[str, Any]) -> Finding:
    """Test whether the largest model's intrinsic dimension is smaller than the smallest's."""
    models, margin = joint.read(study), float(options["margin"])
    sizes = list(models.sizes)
    pairs = [(f"d90 on {sizes[-1]}", f"on {sizes[0]}")] if len(sizes) > 1 else []
    estimated = [_share(models.study, sizes[-1], sizes[0])] if pairs else []
    rows = comparisons.compare(models.study, pairs, ["above"] * len(pairs), estimated, margin)
    return finding(models.study, claim, margin, rows, {"left_out": models.left_out}, [])


def _share(study: Study, large: str, small: str) -> Estimate:
    """Return the share of (task, seed) pairs in which the larger model's dimension is smaller, less one half."""
    values: list[Array] = []
    cells: list[str] = []
    for model in (large, small):
        tried = {arm: size for arm, size in arms(study).items() if arm.endswith(f"{joint.ON}{model}")}
        top = [arm for arm in study.clean.arms if study.method_of[arm] == study.exhibit.ceiling]
        ceiling = next((arm for arm in top if arm.endswith(f"{joint.ON}{model}")), None)
        values.append(of(study, ceiling, tried))
        cells += study.clean.cells(*tried, *([ceiling] if ceiling else []))
    won = np.where(values[0] < values[1], 1.0, np.where(values[0] == values[1], 0.5, 0.0))
    share = statistics.share_of_pairs(np.where(np.isnan(values[0]) | np.isnan(values[1]), np.nan, won))
    return Estimate(share, share, keys=tuple(cells)) if share.n else estimates.absent("no seed was run for both")
