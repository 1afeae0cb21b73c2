"""Claims about on/off combinations: what a part adds to the others, and which combination is best."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from harness.analysis.combining import combination_table, factorial
from harness.analysis.combining.factorial import Factorial, Parts
from harness.analysis.study import comparisons, estimates, row_errors, selection, statistics
from harness.analysis.study.estimates import Estimate
from harness.analysis.study.findings import finding
from harness.analysis.study.selection import Panel
from harness.analysis.study.study import Study
from harness.experiments.claims import Claim
from harness.experiments.verdict import Comparison, Finding, overall, overall_some

Options = Mapping[str, Any]
Pair = tuple[str, str]
AMOUNTS = (False, True)
"""All training rows, then few."""


def adding_helps(study: Study, claim: Claim, options: Options) -> Finding:
    """Test the mean change that a part makes to each combination of the others, for all rows and for few."""
    plan, part = factorial.of(study), str(options["part"])
    pairs = _pairs(plan, part)
    named, estimated = [], []
    for few in AMOUNTS if pairs else ():
        panel = rows_of(study, plan, few)
        if panel.tasks:
            named.append((f"with {part} ({_words(few)})", "without"))
            estimated.append(effect(panel, pairs))
    return _end(study, claim, options, named, "above", estimated, overall)


def adding_hurts_somewhere(study: Study, claim: Claim, options: Options) -> Finding:
    """Test whether some combination scores lower once a part is added."""
    plan, part = factorial.of(study), str(options["part"])
    named, estimated = [], []
    for few in AMOUNTS:
        panel = rows_of(study, plan, few)
        for more, less in _pairs(plan, part) if panel.tasks else ():
            named.append((f"{_plain(study, less)} ({_words(few)})", f"with {part}"))
            estimated.append(estimates.difference(panel, less, more))
    return _end(study, claim, options, named, "above", estimated, overall_some)


def some_beats_the_best_part(study: Study, claim: Claim, options: Options) -> Finding:
    """Test whether some combination scores above each of its methods alone; the nearest one stands for all of them."""
    plan = factorial.of(study)
    several = [(arm, parts_alone(plan, chosen)) for chosen, arm in plan.arm_of.items() if len(chosen) > 1]
    margin, named, estimated = float(options["margin"]), [], []
    for few in AMOUNTS:
        panel = rows_of(study, plan, few)
        for arm, singles in several if panel.tasks else ():
            if not singles:
                continue
            best = nearest(panel, arm, singles, margin)
            named.append((f"{_plain(study, arm)} ({_words(few)})", _plain(study, best)))
            estimated.append(replace(estimates.difference(panel, arm, best), among=len(singles)))
    return _end(study, claim, options, named, "above", estimated, overall_some)


def parts_alone(plan: Factorial, chosen: Parts) -> list[str]:
    """Return the arms of a combination's methods by themselves; none where one of them was not run."""
    alone = [plan.arm_of.get(frozenset({part})) for part in sorted(chosen)]
    return [arm for arm in alone if arm is not None] if None not in alone else []


def best_differs(study: Study, claim: Claim, options: Options) -> Finding:
    """Test whether the combination that validation chooses for all rows is another one than that for few rows.

    Where they are two, each must score above the other in its own place, on the test sets. Where they are one, it
    contradicts the claim only if it scores above every other combination in both places.
    """
    plan, margin = factorial.of(study), float(options["margin"])
    arms = [arm for chosen, arm in plan.arm_of.items() if chosen]
    panels = {few: rows_of(study, plan, few) for few in AMOUNTS}
    if len(arms) < 2 or not all(panel.tasks for panel in panels.values()):
        return finding(study, claim, margin, (), {}, [])
    best = {few: by_validation(study, plan, arms, few) for few in AMOUNTS}
    same = best[False] == best[True]
    named, estimated = [], []
    for few in AMOUNTS:
        left = best[few]
        others = [arm for arm in arms if arm != left]
        right = nearest(panels[few], left, others, margin) if same else best[not few]
        named.append((f"{_plain(study, left)} ({_words(few)})", _plain(study, right)))
        among = len(others) if same else 1
        estimated.append(replace(estimates.difference(panels[few], left, right), among=among))
    return _end(study, claim, options, named, "above", estimated, opposite if same else overall)


def opposite(verdicts: list[str]) -> str:
    """Return the verdict on a claim from those on its opposite: reproduced ones contradict it, others leave it open."""
    whole = overall(verdicts)
    return {"reproduced": "contradicted", "untested": "untested"}.get(whole, "inconclusive")


def by_validation(study: Study, plan: Factorial, arms: Sequence[str], few: bool) -> str:
    """Return the arm with the highest mean validation score, of these columns' tasks."""
    rows = study.selected[study.selected.role == "validation"]
    panel = selection.panel(rows, "validation", study.exhibit.methods(), scores=True)
    tasks = {study.task_of(column) for column in plan.of_rows(few)}
    whole = panel.at([place for place, column in enumerate(panel.tasks) if study.task_of(column) in tasks])
    means = {arm: estimates.score(whole, arm).main.mean for arm in arms}
    return max(means, key=lambda arm: -np.inf if np.isnan(means[arm]) else means[arm])


def nearest(panel: Panel, arm: str, others: Iterable[str], margin: float) -> str:
    """Return that of the others which is hardest to be above: its test has the largest p, against "above"."""

    def doubt(other: str) -> float:
        """Return the p of "not above", from 0 (surely above) to 1."""
        main = estimates.difference(panel, arm, other).main
        return comparisons.doubt(main.mean, statistics.superior(main, margin)[1], margin)

    return max(others, key=doubt)


def effect(panel: Panel, pairs: Sequence[Pair]) -> Estimate:
    """Return the mean over pairs of arms of left less right, mean over tasks, paired by seed."""
    if not panel.tasks:
        return estimates.absent(estimates.UNLEARNT)
    values = np.mean([panel.of(left) - panel.of(right) for left, right in pairs], axis=0)
    if np.isnan(values).all(axis=1).any():
        return estimates.absent("no seed was run for all of them on every task")
    arms = [arm for pair in pairs for arm in pair]
    weights = [np.full(len(panel.tasks), sign / len(pairs)) for _ in pairs for sign in (1, -1)]
    main, beside = statistics.interval(values)
    main = statistics.with_rows(main, row_errors.of_arms(panel, arms, weights))
    sides = panel.cells(*(left for left, _ in pairs)), panel.cells(*(right for _, right in pairs))
    again = estimates.raised(panel, lambda other: effect(other, pairs))
    return Estimate(main, beside, keys=sides[0] + sides[1], sides=sides, at_best=again)


def rows_of(study: Study, plan: Factorial, few: bool) -> Panel:
    """Return the panel of the columns with few or with all training rows, without those that cannot be judged."""
    return study.judged.at(combination_table.places(study.judged, plan.of_rows(few)))


def _pairs(plan: Factorial, part: str) -> list[Pair]:
    """Return (with, without) the part, for every combination of others of which both ran."""
    least = [chosen for chosen in plan.arm_of if chosen and part not in chosen]
    together: list[tuple[Parts, Parts]] = [(chosen | {part}, chosen) for chosen in least]
    return [(plan.arm_of[more], plan.arm_of[less]) for more, less in together if more in plan.arm_of]


def _plain(study: Study, arm: str) -> str:
    return "+".join(factorial.parts_of(study, arm)) or arm


def _words(few: bool) -> str:
    return factorial.Setting(few, bare=False).rows


def _end(
    study: Study, claim: Claim, options: Options, named: Sequence[Pair], relation: str,
    estimated: Sequence[Estimate], over: Callable[[list[str]], str],
) -> Finding:  # fmt: skip
    margin = float(options["margin"])
    rows: tuple[Comparison, ...] = comparisons.compare(study, named, [relation] * len(named), estimated, margin)
    return finding(study, claim, margin, rows, {"left_out": study.left_out()}, [], over=over)
