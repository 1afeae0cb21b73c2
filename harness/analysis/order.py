"""Claims about scores: the published order, and closeness to the ceiling."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import combinations
from typing import Any

import numpy as np

from harness.analysis import measures, power, statistics
from harness.analysis.claims import Claim
from harness.analysis.findings import ALPHA, finding
from harness.analysis.measures import Estimate
from harness.analysis.select import Panel
from harness.analysis.statistics import Array, Interval
from harness.analysis.study import Study
from harness.analysis.verdict import Comparison, Finding

RULES = {"above": statistics.superior, "at least": statistics.at_least, "similar": statistics.similar}


def by_score(study: Study, claim: Claim, options: Mapping[str, Any]) -> Finding:
    """Every pair of the published order, Holm-adjusted, and Kendall's tau-b between the two orders."""
    margin, panel = float(options["margin"]), study.judged
    ranks = published_ranks(study, str(options["quantity"]))
    arms = {study.arm(method): rank for method, rank in ranks.items() if study.arm(method)}
    pairs = [(str(a), str(b)) for a, b in combinations(arms, 2)]
    found = [measures.difference(panel, a, b) for a, b in pairs]
    relations = ["similar" if arms[a] == arms[b] else "above" for a, b in pairs]
    comparisons = compare(pairs, relations, found, margin)
    tau = _tau(panel, {str(arm): rank for arm, rank in arms.items()})
    absent = [method for method in ranks if study.arm(method) is None]
    return finding(study, claim, margin, comparisons, {**tau, "left_out": study.left_out()}, absent)


def comparable(study: Study, claim: Claim, options: Mapping[str, Any]) -> Finding:
    """The share of cases near the ceiling, against one half; beside it each arm's non-inferiority."""
    margin, near, panel = float(options["margin"]), float(options["near"]), study.judged
    others = study.others if study.ceiling else ()
    if not others:
        return finding(study, claim, margin, (), {}, [])
    gaps = np.stack([panel.of(arm) - panel.of(str(study.ceiling)) for arm in others])
    cases = np.where(np.isnan(gaps), np.nan, gaps >= -near)
    counted = (~np.isnan(cases)).sum(axis=0)
    share = np.where(counted == 0, np.nan, np.nansum(cases, axis=0) / np.maximum(counted, 1))
    row = _above_half(share, margin, (panel.cells(*others), panel.cells(str(study.ceiling))))
    each = compare(
        [(arm, str(study.ceiling)) for arm in others],
        ["at least"] * len(others),
        [measures.difference(panel, arm, str(study.ceiling)) for arm in others],
        near,
    )
    numbers = {
        "share": float(np.nanmean(share)),
        "near": near,
        "left_out": study.left_out(),
        "gaps": {row.left: [row.estimate, row.low, row.high, row.verdict] for row in each},
    }
    return finding(study, claim, margin, (row,), numbers, [])


def _above_half(share: Array, margin: float, sides: tuple[tuple[str, ...], tuple[str, ...]]) -> Comparison:
    """Is the mean share above one half? share: [T, S]. Where all seeds agree, by the exact interval of a share."""
    found = Estimate(*statistics.interval(share - 0.5), keys=sides[0] + sides[1], sides=sides)
    names = "cases near the ceiling", "half of them"
    if not (found.main.se == 0 and found.main.n > len(share)):
        return compare([names], ["above"], [found], margin)[0]
    exact = statistics.share(float(np.nansum(share)), found.main.n)
    low, high = exact.low - 0.5, exact.high - 0.5
    verdict = "reproduced" if low > margin else "contradicted" if high < margin else "inconclusive"
    p = statistics.share_p(float(np.nansum(share)), found.main.n, 0.5 + margin)
    return Comparison(*names, "above", verdict, exact.mean - 0.5, low, high, p, keys=found.keys, sides=sides)


def published_ranks(study: Study, quantity: str) -> dict[str, float]:
    """method -> published rank for one quantity, best first; equal ranks are called similar."""
    rows = [row for row in study.published if row.get("quantity") == quantity]
    return {row["method"]: float(row["rank"]) for row in sorted(rows, key=lambda row: float(row["rank"]))}


def compare(
    pairs: Sequence[tuple[str, str]],
    relations: Sequence[str],
    found: Sequence[Estimate],
    margin: float,
) -> tuple[Comparison, ...]:
    """One comparison per pair: verdict from the interval, kept only if it survives Holm's adjustment."""
    tests = _tests(relations, [one.main for one in found], margin)
    alone = _tests(relations, [statistics.with_rows(one.main, 0.0) for one in found], margin)
    rows = zip(pairs, relations, found, tests, strict=True)
    compared = [_comparison(*row, margin, len(pairs)) for row in rows]
    return tuple(map(_beside, compared, found, alone))


def _tests(relations: Sequence[str], found: Sequence[Interval], margin: float) -> list[tuple[str, float]]:
    """(verdict, p) of each, after Holm's adjustment."""
    tests = [RULES[relation](one, margin) for relation, one in zip(relations, found, strict=True)]
    adjusted = statistics.holm([p for _, p in tests])
    return [(verdict if p < ALPHA else "inconclusive", p) for (verdict, _), p in zip(tests, adjusted, strict=True)]


def _beside(row: Comparison, found: Estimate, alone: tuple[str, float]) -> Comparison:
    """With what holds over seeds alone, on these very test rows."""
    if not found.main.row_se or row.verdict == "untested":
        return row
    seeds, (verdict, p) = statistics.with_rows(found.main, 0.0), alone
    told = "untested" if np.isnan(p) else verdict
    return replace(row, seeds_low=seeds.low, seeds_high=seeds.high, seeds_verdict=told)


def _comparison(
    pair: tuple[str, str],
    relation: str,
    found: Estimate,
    test: tuple[str, float],
    margin: float,
    family: int,
) -> Comparison:
    left, right = pair
    main, (verdict, p) = found.main, test
    if found.reason or not main.n:
        return Comparison(left, right, relation, "untested", reason=found.reason)
    if np.isnan(p):
        why = "one seed: no spread to judge by" if np.isnan(main.low) else "the seeds do not differ at all"
        return Comparison(left, right, relation, "untested", main.mean, reason=why, keys=found.keys, sides=found.sides)
    row = Comparison(
        left, right, relation, verdict, main.mean, main.low, main.high, p, keys=found.keys, sides=found.sides
    )
    return takes(row, main, _distance(relation, main, margin), family)


def takes(row: Comparison, main: Interval, distance: float, family: int = 1) -> Comparison:
    """With what it would take to decide an inconclusive comparison whose estimate is so far from deciding."""
    found = power.needed(main, distance, 1 - ALPHA / family) if row.verdict == "inconclusive" else None
    if found is None:
        return row
    rows = found.rows if found.rows > 1 else None
    return replace(row, seeds=found.seeds, fewest=found.low, most=found.high, rows=rows)


def _distance(relation: str, main: Interval, margin: float) -> float:
    """How far the estimate is from the nearest value that decides."""
    if relation == "similar":
        return abs(abs(main.mean) - margin)
    return abs(main.mean - (margin if relation == "above" else -margin))


def _tau(panel: Panel, ranks: Mapping[str, float]) -> dict[str, Any]:
    """tau-b of the mean scores against the published order and its exact p.

    A bootstrap of seeds has no interval to give: where the means are far apart every resample has the same order.
    """
    arms = [arm for arm in ranks if not measures.score(panel, arm).reason]
    if len(arms) < 2:
        return {}
    order = [-ranks[arm] for arm in arms]
    joint = np.stack([panel.of(arm) for arm in arms])
    means = np.nanmean(joint, axis=2).mean(axis=1)
    tau, exact = statistics.tau_b(order, list(means)), statistics.tau_p(order, list(means))
    smallest = statistics.tau_p(order, order)
    return {"tau_b": tau, "methods": len(arms), "tau_p": exact, "tau_smallest_p": smallest}
