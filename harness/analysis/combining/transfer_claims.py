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
from harness.experiments.claims import Claim
from harness.experiments.verdict import Finding
from harness.formatting import enumeration

Options = Mapping[str, Any]
Pairs = list[tuple[int, int]]


def within(study: Study, claim: Claim, options: Options) -> Finding:
    """Test whether ratios within a category are higher than across, for each method whose deltas are moved.

    Both are compared on the same target, because targets differ in how far any other task's delta gets on them. A
    target that is alone in its category has no source within it and does not count.
    """
    matrix = transfer_matrix.read(study)
    kinds = matrix.categories
    inside = matrix.pairs(lambda source, target: kinds[source] == kinds[target])
    targets = {target for _, target in inside}
    across = [
        pair for pair in matrix.pairs(lambda source, target: kinds[source] != kinds[target]) if pair[1] in targets
    ]
    words = ("within a category", "across")

    def estimate(arm: str, counting: Pairs) -> Estimate:
        """Return the difference of one method's mean ratios, mean over the targets."""
        return _difference(matrix, arm, _both(inside, counting), _both(across, counting))

    return _each(study, matrix, claim, options, words, estimate, inside + across if inside and across else [])


def to_category(study: Study, claim: Claim, options: Options) -> Finding:
    """Test whether deltas of some categories are better than guessing on the tasks of another one."""
    matrix = transfer_matrix.read(study)
    kinds, goal = matrix.categories, options["target"]
    wanted = [str(kind) for kind in options["sources"] or []]
    sources = [kind for kind in wanted if kind in kinds.values()]
    absent = [f"deltas of {kind}" for kind in wanted if kind not in sources]
    pairs = matrix.pairs(lambda source, target: kinds[source] in sources and kinds[target] == goal)
    words = (f"deltas of {enumeration(sources)} on {goal}", "guessing")

    def estimate(arm: str, counting: Pairs) -> Estimate:
        """Return by how much one method's mean ratio is above that of guessing."""
        return _above_guessing(matrix, arm, counting)

    return _each(study, matrix, claim, options, words, estimate, pairs, absent)


def _each(
    study: Study, matrix: Matrix, claim: Claim, options: Options, words: tuple[str, str],
    estimate: Callable[[str, Pairs], Estimate], pairs: Pairs, absent: Sequence[str] = (),
) -> Finding:  # fmt: skip
    """Compare for each method, over those pairs of tasks on both of which its own delta has learnt something."""
    margin, left_out = float(options["margin"]), [SEEDS_ALONE]
    named = [(f"{arm}: {words[0]}", words[1]) for arm in matrix.arms if pairs]
    estimated = []
    for arm in matrix.arms if pairs else ():
        unlearnt = _unlearnt(study, matrix, arm)
        counting = [pair for pair in pairs if not {matrix.tasks[place] for place in pair} & unlearnt]
        of_none = estimates.absent("the method's own delta is above guessing on too few of these tasks")
        estimated.append(estimate(arm, counting) if counting else of_none)
        _, _, gone = matrix.mean(arm, counting)
        left_out += [f"{arm}: {gone} of {len(counting)} pairs of tasks lack a cell and do not count"] if gone else []
        named_tasks = ", ".join(task for task in matrix.tasks if task in unlearnt)
        left_out += [f"{arm}: its own delta is not clearly above guessing on {named_tasks}"] if unlearnt else []
    rows = comparisons.compare(study, named, ["above"] * len(named), estimated, margin)
    return finding(study, claim, margin, rows, {"left_out": left_out}, absent)


def _unlearnt(study: Study, matrix: Matrix, arm: str) -> set[str]:
    """Return the tasks on which a method's own delta is not clearly above guessing.

    Such a delta has nothing to transfer, and a ratio to its score is near 1 for whatever guesses.
    """
    panel = study.clean
    if arm not in panel.arms:
        return set()
    good = dict(zip(panel.tasks, estimates.clear_of_guessing(panel, arm), strict=True))
    return {task for task in matrix.tasks if not good.get(task, True)}


def _both(pairs: Pairs, others: Pairs) -> Pairs:
    return [pair for pair in pairs if pair in others]


def _difference(matrix: Matrix, arm: str, left: Pairs, right: Pairs) -> Estimate:
    """Return the mean ratio over some sources less that over others, by seed: the mean over targets that have both."""
    parts: list[statistics.Array] = []
    keys: dict[str, None] = {}
    for target in sorted({target for _, target in left}):
        first, other = (matrix.mean(arm, [pair for pair in pairs if pair[1] == target]) for pairs in (left, right))
        if first[1] and other[1]:
            parts.append(first[0] - other[0])
            keys |= dict.fromkeys((*first[1], *other[1]))
    return _of(np.mean(parts, axis=0) if parts else np.empty(0), tuple(keys))


def _above_guessing(matrix: Matrix, arm: str, pairs: Pairs) -> Estimate:
    """Return the mean ratio over pairs less that of guessing on their targets, paired by seed.

    Both have the score of the target's own delta below them, so a seed at which this is low raises both.
    """
    values, keys, _ = matrix.mean(arm, pairs)
    place, whole = matrix.arms.index(arm), matrix.whole(arm, pairs)
    if not whole:
        return _of(values, keys)
    return _of(values - np.mean([matrix.guessing[place, target] for _, target in whole], axis=0), keys)


def _of(values: "np.ndarray[tuple[int, ...], np.dtype[np.float64]]", keys: tuple[str, ...]) -> Estimate:
    if not values.size or np.isnan(values).all():
        return estimates.absent("no pair of tasks has its cells")
    return Estimate(*statistics.interval(values[None, :]), keys=keys)
