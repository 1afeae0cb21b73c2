"""Claims about scores: the published order, and closeness to the ceiling."""

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np
from scipy.stats import kendalltau

from harness.analysis import measures, statistics
from harness.analysis.claims import Claim, Comparison, Finding, overall
from harness.analysis.measures import Estimate
from harness.analysis.statistics import Interval
from harness.analysis.study import Study

ALPHA = 1 - statistics.LEVEL
RULES = {"above": statistics.superior, "at least": statistics.at_least, "similar": statistics.similar}


def by_score(study: Study, claim: Claim, options: Mapping[str, Any]) -> Finding:
    """Every pair of the published order, Holm-adjusted, and Kendall's tau-b between the two orders."""
    margin = float(options["margin"])
    ranks = published_ranks(study, str(options["quantity"]))
    arms = {study.arm(method): rank for method, rank in ranks.items() if study.arm(method)}
    pairs = [(str(a), str(b)) for a, b in combinations(arms, 2)]
    found = [measures.difference(study.clean, a, b) for a, b in pairs]
    relations = ["similar" if arms[a] == arms[b] else "above" for a, b in pairs]
    comparisons = compare(pairs, relations, found, margin, len(study.clean.tasks))
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
    share = np.where(counted == 0, np.nan, np.nansum(cases, axis=0) / np.maximum(counted, 1)) - 0.5
    found = Estimate(*statistics.interval(share), keys=panel.cells(*others, str(study.ceiling)))
    comparisons = compare([("near the ceiling", "half of the cases")], ["above"], [found], margin, len(share))
    each = compare(
        [(arm, str(study.ceiling)) for arm in others],
        ["at least"] * len(others),
        [measures.difference(panel, arm, str(study.ceiling)) for arm in others],
        near,
        len(share),
    )
    numbers = {
        "share": found.main.mean + 0.5,
        "near": near,
        "gaps": {row.left: [row.estimate, row.low, row.high, row.verdict] for row in each},
    }
    return finding(study, claim, margin, comparisons, numbers, [])


def published_ranks(study: Study, quantity: str) -> dict[str, float]:
    """method -> published rank for one quantity, best first; equal ranks are called similar."""
    rows = [row for row in study.published if row.get("quantity") == quantity]
    return {row["method"]: float(row["rank"]) for row in sorted(rows, key=lambda row: float(row["rank"]))}


def compare(
    pairs: Sequence[tuple[str, str]],
    relations: Sequence[str],
    found: Sequence[Estimate],
    margin: float,
    tasks: int,
) -> tuple[Comparison, ...]:
    """One comparison per pair: verdict from the interval, kept only if it survives Holm's adjustment."""
    tests = [RULES[relation](one.main, margin) for relation, one in zip(relations, found, strict=True)]
    adjusted = statistics.holm([p for _, p in tests])
    rows = zip(pairs, relations, found, tests, adjusted, strict=True)
    return tuple(_comparison(*row, margin, tasks, len(pairs)) for row in rows)


def _comparison(
    pair: tuple[str, str],
    relation: str,
    found: Estimate,
    test: tuple[str, float],
    p: float,
    margin: float,
    tasks: int,
    family: int,
) -> Comparison:
    left, right = pair
    main = found.main
    if found.reason or not main.n:
        return Comparison(left, right, relation, "untested", reason=found.reason)
    if np.isnan(p):
        why = "one seed: no spread to judge by" if np.isnan(main.low) else "the seeds do not differ at all"
        return Comparison(left, right, relation, "untested", main.mean, reason=why, keys=found.keys)
    verdict = test[0] if p < ALPHA else "inconclusive"
    seeds = None
    if verdict == "inconclusive":
        level = 1 - ALPHA / family
        seeds = statistics.seeds_needed(main, tasks, _distance(relation, main, margin), level)
    return Comparison(
        left, right, relation, verdict, main.mean, main.low, main.high, p, seeds, keys=found.keys
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


def finding(
    study: Study,
    claim: Claim,
    margin: float,
    comparisons: tuple[Comparison, ...],
    numbers: Mapping[str, Any],
    absent: Sequence[str],
) -> Finding:
    """The claim's verdict with one sentence that says what decided it."""
    verdict = overall([row.verdict for row in comparisons])
    notes = [f"not among these cells (or in several variants): {', '.join(absent)}"] if absent else []
    smallest = numbers.get("tau_smallest_p", 0.0)
    if smallest > ALPHA:
        notes.append(
            f"with {numbers['methods']} methods tau cannot reach p < {ALPHA:.2f} whatever the scores: "
            f"its smallest p is {smallest:.2f}"
        )
    return Finding(
        claim=claim.name,
        model=study.model,
        verdict=verdict,
        sentence=sentence(claim, verdict, comparisons, numbers),
        margin=margin,
        estimand=claim.estimand,
        scale=claim.scale,
        source=study.exhibit.source,
        statistics=dict(numbers),
        comparisons=comparisons,
        notes=tuple(notes),
    )


def sentence(
    claim: Claim, verdict: str, comparisons: Sequence[Comparison], numbers: Mapping[str, Any]
) -> str:
    """'sentence: verdict; 8 of 10 comparisons reproduced, 1 contradicted (…), …; tau-b 0.80 [.., ..]'."""
    parts = [f"{claim.sentence.rstrip('.')}: {verdict}"]
    if not comparisons:
        return parts[0] + "; no two of the methods it speaks of are among these cells."
    if "share" in numbers:
        parts.append(_share(comparisons[0], numbers))
    else:
        held = sum(row.verdict == "reproduced" for row in comparisons)
        parts.append(
            ", ".join([f"{held} of {len(comparisons)} comparisons reproduced", *_others(comparisons)])
        )
    helpless = sum(bool(row.reason) and row.verdict == "inconclusive" for row in comparisons)
    if helpless:
        parts.append(f"{helpless} could not be decided with the cells at hand, whatever they score")
    if "tau_b" in numbers:
        parts.append(f"Kendall's tau-b {numbers['tau_b']:.2f}{_range(numbers)}")
    return "; ".join(parts) + "."


def _share(row: Comparison, numbers: Mapping[str, Any]) -> str:
    interval = "" if row.low is None or row.high is None else f" [{row.low + 0.5:.0%}, {row.high + 0.5:.0%}]"
    return f"{numbers['share']:.0%}{interval} of the cases are within {100 * numbers['near']:g} points"


def _others(comparisons: Sequence[Comparison]) -> list[str]:
    """'2 inconclusive (a vs b: 11 seeds would do, …)' for every verdict but the first."""
    told = []
    for word in ("contradicted", "inconclusive", "untested"):
        rows = [row for row in comparisons if row.verdict == word]
        named = ", ".join(f"{row.left} vs {row.right}{_detail(row)}" for row in rows[:4])
        if rows:
            told.append(f"{len(rows)} {word} ({named}{' …' if len(rows) > 4 else ''})")
    return told


def _detail(row: Comparison) -> str:
    if row.verdict == "contradicted" and row.estimate is not None:
        scored = row.relation in RULES
        return f": {100 * row.estimate:+.1f} points" if scored else f": {row.estimate:.0%} of the pairs"
    return _seeds(row)


def _seeds(row: Comparison) -> str:
    if row.verdict != "inconclusive":
        return ""
    return f": {row.seeds} seeds would do" if row.seeds else f": more than {statistics.SEED_LIMIT} seeds"


def _range(numbers: Mapping[str, Any]) -> str:
    if "tau_low" not in numbers:
        return ""
    return f" [{numbers['tau_low']:.2f}, {numbers['tau_high']:.2f}]"
