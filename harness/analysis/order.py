"""Claims about scores: the published order, and closeness to the ceiling."""

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np
from scipy.stats import kendalltau

from harness.analysis import measures, statistics
from harness.analysis.claims import Claim
from harness.analysis.findings import ALPHA, finding
from harness.analysis.measures import Estimate
from harness.analysis.statistics import Array, Interval
from harness.analysis.study import Study
from harness.analysis.verdict import Comparison, Finding

RULES = {"above": statistics.superior, "at least": statistics.at_least, "similar": statistics.similar}


def by_score(study: Study, claim: Claim, options: Mapping[str, Any]) -> Finding:
    """Every pair of the published order, Holm-adjusted, and Kendall's tau-b between the two orders."""
    margin = float(options["margin"])
    ranks = published_ranks(study, str(options["quantity"]))
    arms = {study.arm(method): rank for method, rank in ranks.items() if study.arm(method)}
    pairs = [(str(a), str(b)) for a, b in combinations(arms, 2)]
    found = [measures.difference(study.clean, a, b) for a, b in pairs]
    relations = ["similar" if arms[a] == arms[b] else "above" for a, b in pairs]
    comparisons = compare(pairs, relations, found, margin)
    tau = _tau(study, {str(arm): rank for arm, rank in arms.items()})
    absent = [method for method in ranks if study.arm(method) is None]
    return finding(study, claim, margin, comparisons, tau, absent)


def comparable(study: Study, claim: Claim, options: Mapping[str, Any]) -> Finding:
    """The share of cases near the ceiling, against one half; beside it each arm's non-inferiority."""
    margin, near, panel = float(options["margin"]), float(options["near"]), study.clean
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
    tests = [RULES[relation](one.main, margin) for relation, one in zip(relations, found, strict=True)]
    adjusted = statistics.holm([p for _, p in tests])
    rows = zip(pairs, relations, found, tests, adjusted, strict=True)
    return tuple(_comparison(*row, margin, len(pairs)) for row in rows)


def _comparison(
    pair: tuple[str, str],
    relation: str,
    found: Estimate,
    test: tuple[str, float],
    p: float,
    margin: float,
    family: int,
) -> Comparison:
    left, right = pair
    main = found.main
    if found.reason or not main.n:
        return Comparison(left, right, relation, "untested", reason=found.reason)
    if np.isnan(p):
        why = "one seed: no spread to judge by" if np.isnan(main.low) else "the seeds do not differ at all"
        return Comparison(left, right, relation, "untested", main.mean, reason=why, keys=found.keys, sides=found.sides)
    verdict = test[0] if p < ALPHA else "inconclusive"
    seeds = None
    if verdict == "inconclusive":
        level = 1 - ALPHA / family
        seeds = statistics.seeds_needed(main, _distance(relation, main, margin), level)
    return Comparison(
        left, right, relation, verdict, main.mean, main.low, main.high, p, seeds, keys=found.keys, sides=found.sides
    )


def _distance(relation: str, main: Interval, margin: float) -> float:
    """How far the estimate is from the nearest value that decides."""
    if relation == "similar":
        return abs(abs(main.mean) - margin)
    return abs(main.mean - (margin if relation == "above" else -margin))


def _tau(study: Study, ranks: Mapping[str, float]) -> dict[str, Any]:
    """tau-b of the mean scores against the published order, its bootstrap interval and its exact p."""
    panel = study.clean
    arms = [arm for arm in ranks if not measures.score(panel, arm).reason]
    if len(arms) < 2:
        return {}
    order = [-ranks[arm] for arm in arms]
    joint = np.stack([panel.of(arm) for arm in arms])
    means = np.nanmean(joint, axis=2).mean(axis=1)
    present = ~np.any(np.isnan(joint), axis=0)
    tau = statistics.tau_b(order, list(means))
    result: dict[str, Any] = {"tau_b": tau, "methods": len(arms)}
    if present.any(axis=1).all() and present.sum() > len(present):
        drawn = statistics.resample(joint, statistics.draws(present, resamples=1000)).mean(axis=2)
        taus = np.array([statistics.tau_b(order, list(sample)) for sample in drawn])
        boot = statistics.percentile(taus, tau)
        result |= {"tau_low": boot.low, "tau_high": boot.high}
    result["tau_p"] = float(kendalltau(order, means, method="auto").pvalue)
    result["tau_smallest_p"] = float(kendalltau(order, order, method="auto").pvalue)
    return result
