"""Claims about transfer: within a category against across, and from some categories to one."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from harness.analysis.combining import transfer_matrix
from harness.analysis.combining.transfer_matrix import Matrix
from harness.analysis.study import comparisons, estimates, statistics
from harness.analysis.study.estimates import Estimate
from harness.analysis.study.findings import SEEDS_ALONE, finding
from harness.analysis.study.study import Study
from harness.experiments.claim_rows.claim import enumeration
from harness.experiments.claims import Claim
from harness.experiments.verdict import Finding

Options = Mapping[str, Any]
Pairs = list[tuple[int, int]]


def within(study: Study, claim: Claim, options: Options) -> Finding:
    """Test whether ratios within a category are higher than across, for each method whose deltas are moved."""
    matrix = transfer_matrix.read(study)
    kinds = matrix.categories
    inside = matrix.pairs(lambda source, target: kinds[source] == kinds[target])
    across = matrix.pairs(lambda source, target: kinds[source] != kinds[target])
    words = ("within a category", "across")

    def estimate(arm: str) -> Estimate:
        """Return the difference of one method's mean ratios."""
        return _difference(matrix, arm, inside, across)

    return _each(study, matrix, claim, options, words, estimate, inside + across)


def to_category(study: Study, claim: Claim, options: Options) -> Finding:
    """Test whether deltas of some categories are better than guessing on the tasks of another one."""
    matrix = transfer_matrix.read(study)
    kinds, goal = matrix.categories, options["target"]
    wanted = [str(kind) for kind in options["sources"] or []]
    sources = [kind for kind in wanted if kind in kinds.values()]
    absent = [f"deltas of {kind}" for kind in wanted if kind not in sources]
    pairs = matrix.pairs(lambda source, target: kinds[source] in sources and kinds[target] == goal)
    words = (f"deltas of {enumeration(sources)} on {goal}", "guessing")

    def estimate(arm: str) -> Estimate:
        """Return by how much one method's mean ratio is above that of guessing."""
        return _above_guessing(matrix, arm, pairs)

    return _each(study, matrix, claim, options, words, estimate, pairs, absent)


def _each(
    study: Study, matrix: Matrix, claim: Claim, options: Options, words: tuple[str, str],
    estimate: Callable[[str], Estimate], pairs: Pairs, absent: Sequence[str] = (),
) -> Finding:  # fmt: skip
    margin = float(options["margin"])
    named = [(f"{arm}: {words[0]}", words[1]) for arm in matrix.arms if pairs]
    estimated = [estimate(arm) for arm in matrix.arms if pairs]
    rows = comparisons.compare(study, named, ["above"] * len(named), estimated, margin)
    left_out = [SEEDS_ALONE]
    for arm in matrix.arms:
        _, _, gone = matrix.mean(arm, pairs)
        left_out += [f"{arm}: {gone} of {len(pairs)} pairs of tasks lack a cell and do not count"] if gone else []
    return finding(study, claim, margin, rows, {"left_out": left_out}, absent)


def _difference(matrix: Matrix, arm: str, left: Pairs, right: Pairs) -> Estimate:
    """Return the mean ratio over some pairs less that over others, by seed."""
    first, other = matrix.mean(arm, left), matrix.mean(arm, right)
    return _of(first[0] - other[0], (*first[1], *other[1]))


def _above_guessing(matrix: Matrix, arm: str, pairs: Pairs) -> Estimate:
    """Return the mean ratio over pairs less that of guessing on their targets, paired by seed.

    Both have the score of the target's own delta below them, so a seed at which this is low raises both.
    """
    values, keys, _ = matrix.mean(arm, pairs)
    place = matrix.arms.index(arm)
    whole = [pair for pair in pairs if not np.isnan(matrix.ratios[place][pair]).any()]
    if not whole:
        return _of(values, keys)
    return _of(values - np.mean([matrix.guessing[place, target] for _, target in whole], axis=0), keys)


def _of(values: "np.ndarray[tuple[int, ...], np.dtype[np.float64]]", keys: tuple[str, ...]) -> Estimate:
    if not values.size or np.isnan(values).all():
        return estimates.absent("no pair of tasks has its cells")
    return Estimate(*statistics.interval(values[None, :]), keys=keys)
