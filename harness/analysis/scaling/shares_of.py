"""Claims with printed shares: of another method's score, and of the backbone's parameters."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from harness.analysis.study import comparisons, estimates, row_errors, statistics
from harness.analysis.study.estimates import Estimate
from harness.analysis.study.findings import finding
from harness.analysis.study.selection import Panel
from harness.analysis.study.study import Study
from harness.analysis.views import pairs
from harness.experiments.claims import Claim
from harness.experiments.verdict import Comparison, Finding

Options = Mapping[str, Any]


def reaches(study: Study, claim: Claim, options: Options) -> Finding:
    """Test whether left's score is at least the printed share of right's, on all tasks or on those of `tasks`.

    A task on which right is no better than guessing does not count: guessing alone reaches a share of such a score.
    """
    margin, share, wanted = float(options["margin"]), float(options["share"]), options["tasks"]
    panel = study.judged
    if wanted is not None:
        panel = panel.at([place for place, name in enumerate(panel.tasks) if name.partition(" ")[0] in wanted])
    compared = pairs.sides(study, options)
    named = [(left, f"{share:.0%} of {right}") for left, right in compared]
    counting = {right: _counting(panel, right) for _, right in compared}
    estimated = [beyond(panel.at(counting[right]), left, right, share) for left, right in compared]
    rows = comparisons.compare(study, named, ["at least"] * len(named), estimated, margin)
    left_out = (*study.left_out(), *_gone(panel, counting), *_texts(panel, compared, counting))
    return finding(study, claim, margin, rows or pairs.absent(options, "at least"), {"left_out": left_out}, [])


def _counting(panel: Panel, arm: str) -> list[int]:
    """Return the places of the tasks on which an arm is clearly above guessing."""
    return [place for place, clear in enumerate(estimates.clear_of_guessing(panel, arm)) if clear]


def _gone(panel: Panel, counting: Mapping[str, list[int]]) -> list[str]:
    """Return which tasks do not count for a share of each arm's score."""
    gone = {arm: [name for at, name in enumerate(panel.tasks) if at not in places] for arm, places in counting.items()}
    return [f"{arm} is not clearly above guessing: {', '.join(names)}" for arm, names in gone.items() if names]


def beyond(panel: Panel, left: str, right: str, share: float) -> Estimate:
    """Return left's score less that share of right's, mean over tasks, paired by seed."""
    if not panel.tasks:
        return estimates.absent(f"no task is left on which {right} is above guessing")
    values = panel.of(left) - share * panel.of(right)
    if np.isnan(values).all(axis=1).any():
        return estimates.absent("no seed was run for both on every task")
    main, beside = statistics.interval(values)
    weights = [np.full(len(panel.tasks), 1.0), np.full(len(panel.tasks), -share)]
    main = statistics.with_rows(main, row_errors.of_arms(panel, [left, right], weights))
    sides = panel.cells(left), panel.cells(right)
    again = estimates.raised(panel, lambda other: beyond(other, left, right, share))
    return Estimate(main, beside, keys=sides[0] + sides[1], sides=sides, at_best=again)


def _texts(panel: Panel, compared: list[tuple[str, str]], counting: Mapping[str, list[int]]) -> list[str]:
    """Return what each left reaches of its right, as the ratio of their mean scores on the tasks that count."""
    texts = []
    for left, right in compared:
        of_right = panel.at(counting[right])
        if not of_right.tasks:
            continue
        mine, other = estimates.score(of_right, left).main.mean, estimates.score(of_right, right).main.mean
        if not (np.isnan(mine) or np.isnan(other)) and other > 0:
            texts.append(f"{left} has {100 * mine / other:.1f} % of the score of {right}")
    return texts


def trains_between(study: Study, claim: Claim, options: Options) -> Finding:
    """Test whether each arm of a method trains a share of the backbone's parameters between two printed ones."""
    low, high, margin = float(options["low"]), float(options["high"]), float(options["margin"])
    rows, texts = [], {}
    for arm in pairs.arms(study, options["left"]):
        trained = study.trained(arm)
        if trained is None:
            rows.append(Comparison(arm, "the printed range", "trains", "untested", reason="its records do not say"))
            continue
        inside = low - margin <= trained[1] <= high + margin
        verdict = "reproduced" if inside else "contradicted"
        rows.append(Comparison(arm, "the printed range", "trains", verdict, trained[1], keys=study.clean.cells(arm)))
        texts[arm] = f"{arm} trains {100 * trained[1]:.2f} %"
    absent = Comparison(str(options["left"]), "the printed range", "trains", "untested", reason="not among these cells")
    shown = tuple(rows) or (absent,)
    return finding(study, claim, margin, shown, {}, [], lambda row: texts.get(row.left, row.left))
