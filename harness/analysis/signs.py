"""The sign of a correlation between weights' changes in magnitude and in direction, as a claim."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from harness.analysis.study import comparisons, statistics
from harness.analysis.study.findings import ALPHA, finding
from harness.analysis.study.statistics import Array, Interval
from harness.analysis.study.study import Study
from harness.analysis.views import decomposition, decomposition_clouds
from harness.errors import UsageError
from harness.experiments.claims import Claim
from harness.experiments.verdict import Comparison, Finding

SIGNS = {"positive": 1, "negative": -1}


def test(study: Study, claim: Claim, options: Mapping[str, Any]) -> Finding:
    """Of every variant of the method and each role of weights; `margin` is a correlation."""
    sign, over = SIGNS.get(str(options["sign"])), str(options["over"])
    if sign is None or over not in (decomposition_clouds.ALL, decomposition_clouds.WITHIN):
        raise UsageError(
            f"claim {claim.name}: sign is one of {', '.join(SIGNS)}, over one of {decomposition_clouds.ALL}, "
            f"{decomposition_clouds.WITHIN}; it says {options['sign']} and {over}."
        )
    margin, wanted = float(options["margin"]), options["roles"] or decomposition.roles(study)
    panels = {role: decomposition.panel_of(study, role, over) for role in wanted}
    arms = [arm for arm in study.clean.arms if study.method_of[arm] == options["method"]]
    cases = [(arm, role, sign * panel.of(arm), panel.cells(arm)) for arm in arms for role, panel in panels.items()]
    tests = [_tested(values, margin) for _, _, values, _ in cases]
    adjusted = statistics.holm([p for *_, p in tests])
    rows = tuple(
        _compared(f"{arm}, {role}", f"{options['sign']}ly over {over}", sign, one, p, margin, keys)
        for (arm, role, _, keys), one, p in zip(cases, tests, adjusted, strict=True)
    )
    return finding(study, claim, margin, rows, {"stated": dict(options["stated"] or {})}, [], _told)


def _tested(values: Array, margin: float) -> tuple[Interval, str, float]:
    """values: [T, S] Fisher's z, the claimed sign turned to plus."""
    main, _ = statistics.interval(values)
    return main, *statistics.superior(main, decomposition_clouds.fisher(margin))


def _compared(
    left: str, right: str, sign: int, tested: tuple[Interval, str, float], p: float, margin: float,
    keys: tuple[str, ...],
) -> Comparison:  # fmt: skip
    main, verdict, _ = tested
    relation = "correlates"
    if np.isnan(main.mean):
        reason = "no such probe on every task, or too few layers"
        return Comparison(left, right, relation, "untested", reason=reason, keys=keys)
    estimate = float(np.tanh(sign * main.mean))
    if np.isnan(p):
        reason = "one seed: no spread to judge by"
        return Comparison(left, right, relation, "untested", estimate, reason=reason, keys=keys)
    low, high = sorted(float(np.tanh(sign * bound)) for bound in (main.low, main.high))
    verdict = verdict if p < ALPHA else "inconclusive"
    row = Comparison(left, right, relation, verdict, estimate, low, high, p, keys=keys)
    return comparisons.takes(row, main, abs(main.mean - decomposition_clouds.fisher(margin)))


def _told(row: Comparison) -> str:
    """'lora, q: r = 0.83 [0.71, 0.90]'"""
    number = "" if row.estimate is None else f" r = {row.estimate:.2f}"
    if row.low is not None and row.high is not None:
        number += f" [{row.low:.2f}, {row.high:.2f}]"
    return f"{row.left}:{number}"
