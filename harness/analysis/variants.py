"""Claims about two methods at several values of one field, such as a rank."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from harness.analysis import measures, order
from harness.analysis.claims import Claim
from harness.analysis.findings import ALPHA, SPREAD, finding
from harness.analysis.statistics import LEVEL, SEED_LIMIT, Array
from harness.analysis.study import Study
from harness.analysis.verdict import Comparison, Finding

DRAWS = 4000


def arms(study: Study, method: str, field: str) -> dict[float, str]:
    """value of the field -> the method's arm there, in order of the values."""
    found = {study.field(arm, field): arm for arm in study.clean.arms if study.method_of[arm] == method}
    return dict(sorted((float(value), arm) for value, arm in found.items() if value is not None))


def at_each(study: Study, claim: Claim, options: Mapping[str, Any]) -> Finding:
    """left against right at each value of the field; `ratio` 0.5 compares left at half of right's value."""
    margin, field, relation = float(options["margin"]), str(options["field"]), str(options["relation"])
    left, right = (arms(study, str(options[side]), field) for side in ("left", "right"))
    pairs = [(left[value * options["ratio"]], arm) for value, arm in right.items() if value * options["ratio"] in left]
    found = [measures.difference(study.clean, *pair) for pair in pairs]
    rows = order.compare(pairs, [relation] * len(pairs), found, margin)
    absent = [str(options[side]) for side, there in (("left", left), ("right", right)) if not there]
    return finding(study, claim, margin, rows, {}, absent)


def less_sensitive(study: Study, claim: Claim, options: Mapping[str, Any]) -> Finding:
    """Is left's score less spread over the field's values than right's, beyond what seeds do?

    Spread: variance of the means at each value less the variance that seeds alone give these means; the estimate is
    right's less left's. p: the methods' names exchanged at random within each (value, seed), each method centred.
    Interval: residuals drawn anew around the means at each value (basic bootstrap).
    """
    margin, field = float(options["margin"]), str(options["field"])
    names = str(options["left"]), str(options["right"])
    both = [arms(study, name, field) for name in names]
    common = [value for value in both[0] if value in both[1]]
    if len(common) < 3:
        absent = [name for name, there in zip(names, both, strict=True) if not there]
        return finding(study, claim, margin, (), {}, absent)
    values = np.stack([[study.clean.of(side[value]).mean(axis=0) for value in common] for side in both])  # [2, V, S]
    compared = [side[value] for side in both for value in common]
    row = _spread(names, values[..., ~np.isnan(values).any(axis=(0, 1))], margin, study.clean.cells(*compared))
    ranges = {name: float(np.ptp(side.mean(axis=-1))) for name, side in zip(names, values, strict=True)}
    return finding(study, claim, margin, (row,), {"range": ranges, "values": common}, [])


def _spread(names: tuple[str, str], values: Array, margin: float, keys: tuple[str, ...]) -> Comparison:
    seeds = values.shape[-1]
    if seeds < 2:
        return Comparison(*names, SPREAD, "untested", reason="fewer than two seeds on every value", keys=keys)
    random = np.random.default_rng(0)
    estimate = float(_difference(values))
    centred = values - values.mean(axis=(1, 2), keepdims=True)
    swap = random.random((DRAWS, *values.shape[1:])) < 0.5
    exchanged = np.where(swap[:, None], centred[::-1], centred)
    p = float((1 + np.sum(np.abs(_difference(exchanged)) >= abs(estimate))) / (1 + DRAWS))
    means = values.mean(axis=-1, keepdims=True)
    residuals = (values - means) * np.sqrt(seeds / (seeds - 1))
    again = [random.choice(one.ravel(), (DRAWS, *one.shape)) for one in residuals]
    drawn = _difference(means + np.stack(again, axis=1))
    low, high = np.quantile(drawn, [0.5 - LEVEL / 2, 0.5 + LEVEL / 2])
    low, high = 2 * estimate - float(high), 2 * estimate - float(low)
    verdict = "reproduced" if low > margin else "contradicted" if high < margin else "inconclusive"
    verdict = verdict if p < ALPHA else "inconclusive"
    needed = _seeds(seeds, (high - low) / 2, abs(estimate - margin)) if verdict == "inconclusive" else None
    return Comparison(*names, SPREAD, verdict, estimate, low, high, p, needed, keys=keys)


def _seeds(seeds: int, half: float, distance: float) -> int | None:
    """Seeds until an interval that is `half` wide on either side at so many, shrinking as 1/sqrt(n), is `distance`."""
    needed = math.ceil(seeds * (half / distance) ** 2) if distance > 0 else math.inf
    return max(int(needed), seeds + 1) if needed <= SEED_LIMIT else None


def _difference(values: Array) -> Any:
    """[..., 2, V, S] -> right's spread over values less left's."""
    within = values.var(axis=-1, ddof=1).mean(axis=-1) / values.shape[-1]
    spread = values.mean(axis=-1).var(axis=-1, ddof=1) - within
    return spread[..., 1] - spread[..., 0]
