"""Claims about two methods at several values of one field, such as a rank."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from harness.analysis.study import comparisons, estimates, statistics
from harness.analysis.study.findings import SEEDS_ALONE, finding
from harness.analysis.study.more_seeds.next_steps import FEW_SEEDS
from harness.analysis.study.statistics import Array, Interval
from harness.analysis.study.study import Study
from harness.experiments.claims import Claim
from harness.experiments.verdict import Comparison, Finding

SPREAD = "less spread than"
"""The relation whose estimate is a difference of variances."""


def arms(study: Study, method: str, field: str) -> dict[float, str]:
    """Return value of the field -> the method's arm there, in order of the values."""
    differences = {study.field(arm, field): arm for arm in study.clean.arms if study.method_of[arm] == method}
    return dict(sorted((float(value), arm) for value, arm in differences.items() if value is not None))


def at_each(study: Study, claim: Claim, options: Mapping[str, Any]) -> Finding:
    """Compare left with right at each value of the field; with `ratio` 0.5, left at half of right's value."""
    margin, field, relation = float(options["margin"]), str(options["field"]), str(options["relation"])
    left, right = (arms(study, str(options[side]), field) for side in ("left", "right"))
    pairs = [(left[value * options["ratio"]], arm) for value, arm in right.items() if value * options["ratio"] in left]
    differences = [estimates.difference(study.judged, *pair) for pair in pairs]
    rows = comparisons.compare(study, pairs, [relation] * len(pairs), differences, margin)
    absent = [str(options[side]) for side, there in (("left", left), ("right", right)) if not there]
    return finding(study, claim, margin, rows, {"left_out": study.left_out()}, absent)


def less_sensitive(study: Study, claim: Claim, options: Mapping[str, Any]) -> Finding:
    """Test whether left's score varies less over the field's values than right's, beyond the noise of seeds.

    Spread: the covariance over the values of one seed's scores with another's, mean over pairs of seeds, to which the
    noise of seeds adds nothing, however unequal. The estimate is right's less left's; its interval is the jackknife's
    over whole seeds (Tukey 1958), with Student's t. `tests/benchmarks/spread.py` simulates it: both false verdicts
    together come in 0 to 5 % at 3 seeds; where one value alone makes the noise, in up to 6 % at 5 and 10 % at 10.
    """
    margin, field = float(options["margin"]), str(options["field"])
    names = str(options["left"]), str(options["right"])
    both = [arms(study, name, field) for name in names]
    common = [value for value in both[0] if value in both[1]]
    if len(common) < 3:
        absent = [name for name, there in zip(names, both, strict=True) if not there]
        return finding(study, claim, margin, (), {}, absent)
    panel, left_out = study.judged, study.left_out()
    if not panel.tasks:
        row = Comparison(*names, SPREAD, "untested", reason=estimates.UNLEARNT)
        return finding(study, claim, margin, (row,), {"left_out": left_out}, [])
    values = np.stack([[panel.of(side[value]).mean(axis=0) for value in common] for side in both])  # [2, V, S]
    compared = [side[value] for side in both for value in common]
    row = _spread(names, values[..., ~np.isnan(values).any(axis=(0, 1))], margin, panel.cells(*compared))
    ranges = {name: float(np.ptp(side.mean(axis=-1))) for name, side in zip(names, values, strict=True)}
    return finding(
        study, claim, margin, (row,), {"range": ranges, "values": common, "left_out": (*left_out, SEEDS_ALONE)}, []
    )


def _spread(names: tuple[str, str], values: Array, margin: float, keys: tuple[str, ...]) -> Comparison:
    """Return the spread over values, and the noise. values: [2, V, S]."""
    if values.shape[-1] < 3:
        return Comparison(*names, SPREAD, "untested", reason=f"{FEW_SEEDS} on every value", keys=keys)
    differences = jackknife(values)
    verdict, p = statistics.superior(differences, margin)
    if np.isnan(p):
        return Comparison(*names, SPREAD, "untested", differences.mean, reason="all seeds score the same", keys=keys)
    row = Comparison(*names, SPREAD, verdict, differences.mean, differences.low, differences.high, p, keys=keys)
    return comparisons.with_own_test(row, differences, abs(differences.mean - margin), (verdict, p, False))


def jackknife(values: Array) -> Interval:
    """Return right's spread less left's with the jackknife's interval. values: [2, V, S], S at least 3."""
    seeds = values.shape[-1]
    whole = _difference(values)
    without = np.array([_difference(np.delete(values, seed, axis=-1)) for seed in range(seeds)])
    return statistics.over_seeds(seeds * whole - (seeds - 1) * without)


def _difference(values: Array) -> float:
    """Return right's spread over values less left's. values: [2, V, S]."""
    centred = values - values.mean(axis=1, keepdims=True)
    together = centred.sum(axis=-1) ** 2 - (centred**2).sum(axis=-1)  # over all pairs of two different seeds
    seeds = values.shape[-1]
    spread = together.sum(axis=-1) / (values.shape[1] - 1) / (seeds * (seeds - 1))
    return float(spread[1] - spread[0])
