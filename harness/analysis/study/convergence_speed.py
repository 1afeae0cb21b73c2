"""The speed of convergence: the steps to a share of the ceiling's final score, and the claim on the methods' order.

"Never" is slower than any number of steps.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

import numpy as np

from harness.analysis.study import comparisons, statistics
from harness.analysis.study.findings import ALPHA, SEEDS_ALONE, finding
from harness.analysis.study.more_seeds.looks import DECIDED
from harness.analysis.study.more_seeds.next_steps import ONE_SEED
from harness.analysis.study.statistics import Array, Interval
from harness.analysis.study.study import Study
from harness.experiments import published_rows
from harness.experiments.claims import Claim
from harness.experiments.verdict import Comparison, Finding, OwnTest

SHARE = 0.9


@dataclass(frozen=True)
class Times:
    """steps: [A, T, S] first evaluation at or above the goal; inf: never, NaN: no cell. goals: [T] scores."""

    arms: tuple[str, ...]
    tasks: tuple[str, ...]
    steps: Array
    keys: "np.ndarray[tuple[int, ...], np.dtype[np.object_]]"
    goals: Array

    def of(self, arm: str) -> Array:
        """Return the steps [T, S] of one arm."""
        return self.steps[self.arms.index(arm)]

    def cells(self, *arms: str) -> tuple[str, ...]:
        """Return the keys of the cells of these arms."""
        return tuple(str(key) for arm in arms for key in self.keys[self.arms.index(arm)].flat if key)


def times(study: Study, share: float = SHARE) -> Times | None:
    """Return the steps to `share` of the ceiling's mean final validation score on each task; None without a ceiling."""
    rows, goals = study.selected_curves, goals_of(study, share)
    if not goals:
        return None
    order_of, places = study.clean, tuple(goals)
    shape = (len(order_of.arms), len(goals), len(order_of.seeds))
    steps, keys = np.full(shape, np.nan), np.full(shape, "", dtype=object)
    for (arm, task, seed), curve in rows.groupby(["arm", "task", "seed"], sort=False):
        if task in goals and arm in order_of.arms and seed in order_of.seeds:
            at = order_of.arms.index(arm), places.index(task), order_of.seeds.index(seed)
            reached = curve.step[curve.score >= goals[task]]
            steps[at], keys[at] = reached.min() if len(reached) else np.inf, curve.key.iloc[0]
    return Times(order_of.arms, places, steps, keys, np.array(list(goals.values())))


def goals_of(study: Study, share: float = SHARE) -> dict[str, float]:
    """Return task -> the score to reach, for the tasks where it is above guessing."""
    columns = zip(study.clean.tasks, study.clean.base, strict=True)
    guessing = {task.partition(":")[0]: base for task, base in columns}
    goals = {task: share * score for task, score in study.goals.items()}
    return {task: goal for task, goal in goals.items() if not goal <= guessing.get(task, np.nan)}


def without_goal(study: Study, share: float = SHARE) -> tuple[str, ...]:
    """Return the note on the tasks that have no goal."""
    goals = goals_of(study, share)
    gone = [task for task in study.goals if task not in goals]
    below = (f"no goal, {share:.0%} of the ceiling is not above guessing: {', '.join(gone)}",) if gone else ()
    return (*study.left_out(), *below)


def by_steps(study: Study, claim: Claim, options: Mapping[str, Any]) -> Finding:
    """Test every pair of the published order of speed: the share of (task, seed) pairs in which one is faster."""
    margin, near = float(options["margin"]), float(options["near"])
    ranks = published_rows.ranks(study.published, str(options["quantity"]))
    reached = times(study, float(options["target"]))
    absent = [method for method in ranks if study.arm(method) is None]
    if reached is None:
        return finding(study, claim, margin, (), {}, absent)
    arms = {str(study.arm(method)): rank for method, rank in ranks.items() if study.arm(method)}
    pairs = list(combinations(arms, 2))
    similar = [arms[left] == arms[right] for left, right in pairs]
    compared = _compared(study, reached, pairs, similar, [near if alike else margin for alike in similar])
    goals = dict(zip(reached.tasks, map(float, reached.goals), strict=True))
    left_out = (*without_goal(study, float(options["target"])), SEEDS_ALONE)
    numbers = {"target": float(options["target"]), "goals": goals, "left_out": left_out}
    return finding(study, claim, margin, compared, numbers, absent)


def _compared(
    study: Study, reached: Times, pairs: Sequence[tuple[str, str]], similar: Sequence[bool], edges: Sequence[float]
) -> tuple[Comparison, ...]:
    """Return every pair, Holm-adjusted; the p of a test is the largest of those at its bounds."""
    shares = [statistics.share_of_pairs(wins(reached.of(left), reached.of(right))) for left, right in pairs]
    bounds = [_bounds(study, reached, *pair) for pair in pairs]
    plain = [_test(*row)[1] for row in zip(shares, similar, edges, strict=True)]
    worst = [_worst(*row) for row in zip(shares, bounds, similar, edges, strict=True)]
    p_values = zip(worst, statistics.holm(worst), statistics.holm(plain), strict=True)
    tested = [(bounded, True) if own < 1 else (p, False) for own, bounded, p in p_values]
    rows = zip(pairs, similar, edges, shares, tested, strict=True)
    undecided = max(1, sum(not (robust and p < ALPHA) for p, robust in tested))  # Holm leaves the level to these
    made = zip([_comparison(reached, str(study.ceiling), *row, undecided) for row in rows], bounds, strict=True)
    made_at_best = [replace(row, at_best=row.verdict in DECIDED and bool(others)) for row, others in made]
    own = [_own(*row) for row in zip(shares, bounds, similar, edges, strict=True)]
    return tuple(replace(row, test=test) for row, test in zip(made_at_best, own, strict=True))


def _test(share: Interval, similar: bool, margin: float) -> tuple[str, float]:
    """Return (verdict, two-sided p) of a share less one half: within +- the margin, or above it."""
    return statistics.similar(share, margin) if similar else statistics.superior(share, margin)


def _own(share: Interval, bounds: Sequence[Interval], similar: bool, margin: float) -> OwnTest | None:
    """Return a comparison's own test, before any adjustment: its p is the largest of those at its bounds."""
    p, (verdict, _) = _worst(share, bounds, similar, margin), _test(share, similar, margin)
    at_best = bool(bounds) and p < 1 and verdict in DECIDED
    return None if np.isnan(p) else OwnTest(verdict, p, at_best)


def wins(left: Array, right: Array) -> Array:
    """Return 1 where left is faster, 0 where right is; a tie is one half, also "never" on both sides. NaN: no pair.

    left, right, result: [T, S].
    """
    won = np.where(left == right, 0.5, left < right)
    return np.where(np.isnan(left) | np.isnan(right), np.nan, won)


def _bounds(study: Study, reached: Times, left: str, right: str) -> list[Interval]:
    """Return the share with every pair lost, then won, on the tasks with an open rate behind them; empty without any.

    A rate that scores better may reach the goal later or sooner, also the winner's, and the ceiling's moves the goal.
    """
    arms = (left, right, str(study.ceiling))
    opened = np.array([any((arm, task) in study.open_rates for arm in arms) for task in reached.tasks])[:, None]
    won = wins(reached.of(left), reached.of(right))
    ends = [np.where(opened & ~np.isnan(won), value, won) for value in (0.0, 1.0)]
    return [statistics.share_of_pairs(end) for end in ends] if opened.any() else []


def _worst(share: Interval, bounds: Sequence[Interval], similar: bool, margin: float) -> float:
    """Return the largest p of a test and of those at its bounds; 1 where one of these has another verdict."""
    verdict, p = _test(share, similar, margin)
    if np.isnan(p) or verdict == "inconclusive":
        return p
    others = [_test(bound, similar, margin) for bound in bounds]
    crossed = similar and verdict == "contradicted" and any(bound.mean * share.mean <= 0 for bound in bounds)
    if crossed or any(other != verdict for other, _ in others):
        return 1.0
    return max([p, *(other_p for _, other_p in others)])


def _comparison(
    reached: Times,
    ceiling: str,
    pair: tuple[str, str],
    similar: bool,
    margin: float,
    share: Interval,
    tested: tuple[float, bool],
    family: int,
) -> Comparison:
    """Return the comparison. tested: its p, and whether it holds whatever open rates could reach."""
    relation, (p, robust) = "similar to" if similar else "faster than", tested
    if not share.n:
        return Comparison(*pair, relation, "untested", reason="no seed was run for both")
    keys = reached.cells(*dict.fromkeys((*pair, ceiling)))  # the goal is the ceiling's
    if np.isnan(p):
        return Comparison(*pair, relation, "untested", share.mean + 0.5, reason=ONE_SEED, keys=keys)
    verdict = _test(share, similar, margin)[0] if robust and p < ALPHA else "inconclusive"
    undecided = verdict == "inconclusive"
    seeds, reason = _needed(share, similar, margin, family) if undecided else (None, "")
    mean, low, high = share.mean + 0.5, share.low + 0.5, share.high + 0.5
    return Comparison(*pair, relation, verdict, mean, low, high, p, seeds, reason, keys)


def _needed(share: Interval, similar: bool, margin: float, family: int) -> tuple[int | None, str]:
    """Return (seeds that decide with 80 % probability at this share, why these pairs could not decide at all)."""
    level = 1 - ALPHA / family
    best = _test(statistics.above_half(share.n / 2 if similar else share.n, share.n, level), similar, margin)[0]
    reason = "" if best == "reproduced" else f"{share.n} pairs cannot show it, whatever their curves"
    return comparisons.share_seeds(share, lambda interval: _test(interval, similar, margin)[0], level), reason
