"""Claims about scores: the published order, and closeness to the ceiling."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

import numpy as np

from harness.analysis.study import estimates, open_rates, statistics
from harness.analysis.study.estimates import Estimate
from harness.analysis.study.findings import ALPHA, SEEDS_ALONE, finding
from harness.analysis.study.more_seeds import looks, power
from harness.analysis.study.more_seeds.next_steps import ONE_SEED
from harness.analysis.study.selection import Panel
from harness.analysis.study.statistics import Interval
from harness.analysis.study.study import Study
from harness.experiments import published_rows
from harness.experiments.claims import Claim
from harness.experiments.verdict import Comparison, Finding

RULES = {"above": statistics.superior, "at least": statistics.at_least, "similar": statistics.similar}


def by_score(study: Study, claim: Claim, options: Mapping[str, Any]) -> Finding:
    """Test every pair of the published order, Holm-adjusted, and return Kendall's tau-b between the two orders."""
    margin, panel = float(options["margin"]), study.judged
    ranks = published_rows.ranks(study.published, str(options["quantity"]))
    arms = {study.arm(method): rank for method, rank in ranks.items() if study.arm(method)}
    pairs = [(str(a), str(b)) for a, b in combinations(arms, 2)]
    estimated = [estimates.difference(panel, a, b) for a, b in pairs]
    relations = ["similar" if arms[a] == arms[b] else "above" for a, b in pairs]
    comparisons = compare(study, pairs, relations, estimated, margin)
    tau = _tau(panel, {str(arm): rank for arm, rank in arms.items()})
    absent = [method for method in ranks if study.arm(method) is None]
    return finding(study, claim, margin, comparisons, {**tau, "left_out": study.left_out()}, absent)


def comparable(study: Study, claim: Claim, options: Mapping[str, Any]) -> Finding:
    """Test the share of cases near the ceiling against one half; beside it each arm's non-inferiority."""
    margin, near, panel = float(options["margin"]), float(options["near"]), study.judged
    others, ceiling = study.others if study.ceiling else (), str(study.ceiling)
    if not others:
        return finding(study, claim, margin, (), {}, [])
    estimated = _above_half(panel, others, ceiling, near)
    row = compare(study, [("cases near the ceiling", "half of them")], ["above"], [estimated], margin)[0]
    pairs = [(arm, ceiling) for arm in others]
    gaps = [estimates.difference(panel, *pair) for pair in pairs]
    each = open_rates.settle(study, near, compare(study, pairs, ["at least"] * len(pairs), gaps, near))
    numbers = {
        "share": estimated.main.mean + 0.5,
        "near": near,
        "left_out": (*study.left_out(), SEEDS_ALONE),
        "gaps": {row.left: [row.estimate, row.low, row.high, row.verdict] for row in each},
    }
    return finding(study, claim, margin, (row,), numbers, [])


def _above_half(panel: Panel, others: Sequence[str], ceiling: str, near: float) -> Estimate:
    """Return the share of cases that are near the ceiling, less one half."""
    if not panel.tasks:
        return estimates.absent(estimates.UNLEARNT)
    gaps = np.stack([panel.of(arm) - panel.of(ceiling) for arm in others])
    cases = np.where(np.isnan(gaps), np.nan, gaps >= -near)
    counted = (~np.isnan(cases)).sum(axis=0)
    share = np.where(counted == 0, np.nan, np.nansum(cases, axis=0) / np.maximum(counted, 1))
    sides = panel.cells(*others), panel.cells(ceiling)
    again = estimates.raised(panel, lambda other: _above_half(other, others, ceiling, near))
    main, beside = (estimates.clip(interval, -0.5, 0.5) for interval in statistics.interval(share - 0.5))
    if main.se == 0 and main.n > len(share):  # all seeds agree: the exact interval of a share
        main = replace(statistics.above_half(float(np.nansum(share)), main.n), seeds=main.seeds)
    return Estimate(main, beside, keys=sides[0] + sides[1], sides=sides, at_best=again)


def compare(
    study: Study,
    pairs: Sequence[tuple[str, str]],
    relations: Sequence[str],
    estimated: Sequence[Estimate],
    margin: float,
) -> tuple[Comparison, ...]:
    """Return one comparison per pair: the verdict of the interval, if it survives Holm's adjustment.

    Where a better learning rate could change a verdict, it must survive the best score that a rate could reach, too.
    """
    reasons = open_rates.cells_of(study)
    bounds = [_bounds(*row, margin, reasons) for row in zip(relations, estimated, strict=True)]
    tests = _tests(relations, estimated, bounds, margin, lambda interval: interval)
    alone = _tests(relations, estimated, bounds, margin, lambda interval: statistics.with_rows(interval, 0.0))
    rows = zip(pairs, relations, estimated, tests, strict=True)
    undecided = max(1, sum(test.verdict == "inconclusive" for test in tests))  # Holm leaves the level to these
    compared = [_comparison(*row, margin, undecided) for row in rows]
    return tuple(map(_beside, compared, estimated, alone))


def doubt(estimate: float, p: float, margin: float) -> float:
    """Return the one-sided p of "not above the margin", from 0 (surely above) to 1. p: its own two-sided one."""
    return 1.0 if np.isnan(p) else p / 2 if estimate > margin else 1 - p / 2


def _bounds(relation: str, estimated: Estimate, margin: float, reasons: Mapping[str, str]) -> list[Estimate]:
    """Return the estimate with the highest possible score in place of the open ones that could change its verdict, by
    sides.
    """
    verdict, _ = RULES[relation](estimated.main, margin)
    groups = open_rates.hinges(relation, verdict, estimated.main.mean, margin, estimated.sides)
    opened = [[key for key in group if key in reasons] for group in groups]
    return [estimated.at_best(keys) for keys in opened if keys] if estimated.at_best else []


@dataclass(frozen=True)
class Tested:
    """The verdict of one test in its family, p adjusted; at_best: it holds whatever an open rate could reach.

    own: (verdict, p, at_best) before the adjustment, as one look of several tests it.
    """

    verdict: str
    p: float
    at_best: bool
    own: tuple[str, float, bool]


def _tests(
    relations: Sequence[str],
    estimated: Sequence[Estimate],
    bounds: Sequence[Sequence[Estimate]],
    margin: float,
    read: Callable[[Interval], Interval],
) -> list[Tested]:
    """Return each test after Holm's adjustment; the p of a test is the largest of those at its bounds."""
    plain = [
        _chosen(RULES[relation](read(estimate.main), margin), estimate.among)
        for relation, estimate in zip(relations, estimated, strict=True)
    ]
    worst = [
        _worst(
            test,
            [
                _chosen(_at_bound(relation, read(estimate.main), read(other.main), margin), estimate.among)
                for other in others
            ],
        )
        for relation, estimate, test, others in zip(relations, estimated, plain, bounds, strict=True)
    ]
    rows = zip(plain, bounds, worst, statistics.holm([p for _, p in plain]), statistics.holm(worst), strict=True)
    tested = []
    for (verdict, _), others, own, p, bounded in rows:
        stays = bool(others) and own < 1 and bounded < ALPHA
        final = verdict if bounded < ALPHA else "inconclusive"
        alone = verdict, own, bool(others) and own < 1 and verdict != "inconclusive"
        tested.append(Tested(final, bounded if stays or not others else p, stays and final != "inconclusive", alone))
    return tested


def _chosen(test: tuple[str, float], among: int) -> tuple[str, float]:
    """Return the test of an estimate that was chosen among several, see `Estimate.among`."""
    verdict, p = test
    return (verdict, min(1.0, among * p)) if verdict == "contradicted" else test


def _at_bound(relation: str, main: Interval, bound: Interval, margin: float) -> tuple[str, float]:
    """Return the test at a bound. A test beyond the other side of "similar" passed "similar" on its way there."""
    if relation == "similar" and abs(main.mean) > margin and main.mean * bound.mean < 0:
        return "inconclusive", 1.0
    return RULES[relation](bound, margin)


def _worst(test: tuple[str, float], others: Sequence[tuple[str, float]]) -> float:
    """Return the largest p of a test and of those at its bounds; 1 where one of these has another verdict."""
    verdict, p = test
    if verdict == "inconclusive" or np.isnan(p):
        return p
    return max([p, *(q for _, q in others)]) if all(other == verdict and q >= 0 for other, q in others) else 1.0


def _beside(row: Comparison, estimated: Estimate, alone: Tested) -> Comparison:
    """Return the comparison with its interval and verdict over seeds alone, on the same test rows."""
    if not estimated.main.row_se or row.verdict == "untested":
        return row
    seeds = statistics.with_rows(estimated.main, 0.0)
    outcome = "untested" if np.isnan(alone.p) else alone.verdict
    return replace(row, seeds_low=seeds.low, seeds_high=seeds.high, seeds_verdict=outcome)


def _comparison(
    pair: tuple[str, str],
    relation: str,
    estimated: Estimate,
    test: Tested,
    margin: float,
    family: int,
) -> Comparison:
    left, right = pair
    main, verdict, p = estimated.main, test.verdict, test.p
    if estimated.reason or not main.n:
        return Comparison(left, right, relation, "untested", reason=estimated.reason)
    if np.isnan(p):
        why = ONE_SEED if np.isnan(main.low) else "all seeds score the same"
        return Comparison(
            left, right, relation, "untested", main.mean, reason=why, keys=estimated.keys, sides=estimated.sides
        )
    row = Comparison(
        left, right, relation, verdict, main.mean, main.low, main.high, p, keys=estimated.keys, sides=estimated.sides,
        at_best=test.at_best,
    )  # fmt: skip
    nearest = margin if relation == "above" else -margin
    family *= estimated.among if main.mean < nearest else 1  # see `Estimate.among`
    row = with_own_test(row, main, _distance(relation, main, margin), test.own, family)
    if main.kind != "half" or row.verdict != "inconclusive":
        return row
    seeds = share_seeds(main, lambda interval: RULES[relation](interval, margin)[0], 1 - ALPHA / family)
    return replace(row, seeds=seeds, fewest=None, most=None)


def with_own_test(
    row: Comparison, main: Interval, distance: float, own: tuple[str, float, bool], family: int = 1
) -> Comparison:
    """Return the comparison with its own test and, where it is inconclusive, with what would decide it.

    own: its verdict and p before any adjustment, and whether they hold whatever an open rate could reach.
    """
    verdict, p, at_best = own
    row = replace(row, test=looks.own_test(verdict, p, main, distance, at_best))
    estimated = power.needed(main, distance, 1 - ALPHA / family) if row.verdict == "inconclusive" else None
    if estimated is None:
        return row
    rows = estimated.rows if estimated.rows > 1 else None
    return replace(row, seeds=estimated.seeds, fewest=estimated.low, most=estimated.high, rows=rows)


def share_seeds(share: Interval, rule: Callable[[Interval], str], level: float) -> int | None:
    """Return the seeds that decide a share of pairs with 80 % probability at this share; None where none would.

    Further seeds count as worth as many independent pairs each as those so far. rule: the verdict of an interval.
    """
    wanted = rule(Interval(share.mean, share.mean, share.mean))
    if wanted == "inconclusive" or not share.seeds:
        return None

    def decides(low: float, high: float) -> bool:
        """Return whether an interval of the share decides as its estimate says."""
        return rule(Interval(share.mean, low - 0.5, high - 0.5)) == wanted

    def enough(pairs: int) -> bool:
        """Return whether so many pairs decide often enough."""
        return power.share_power(share.mean + 0.5, pairs, decides, level) >= power.POWER

    by_seed = (share.effective_pairs or share.n) / share.seeds
    pairs = power.least(enough, 2, int(power.SEED_LIMIT * by_seed))
    if pairs is None:
        return None
    return max(math.ceil(pairs / by_seed), statistics.SEEDS_OF_PAIRS)


def _distance(relation: str, main: Interval, margin: float) -> float:
    """Return how far the estimate is from the nearest value that decides."""
    if relation == "similar":
        return abs(abs(main.mean) - margin)
    return abs(main.mean - (margin if relation == "above" else -margin))


def _tau(panel: Panel, ranks: Mapping[str, float]) -> dict[str, Any]:
    """Return tau-b of the mean scores against the published order, and its exact p.

    A bootstrap of seeds has no interval to give: where the means are far apart every resample has the same order.
    """
    arms = [arm for arm in ranks if panel.tasks and not estimates.score(panel, arm).reason]
    if len(arms) < 2:
        return {}
    order = [-ranks[arm] for arm in arms]
    joint = np.stack([panel.of(arm) for arm in arms])
    means = np.nanmean(joint, axis=2).mean(axis=1)
    tau, exact = statistics.tau_b(order, list(means)), statistics.tau_p(order, list(means))
    smallest = statistics.tau_p(order, order)
    return {"tau_b": tau, "methods": len(arms), "tau_p": exact, "tau_smallest_p": smallest}
