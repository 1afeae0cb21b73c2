"""PSCP: the score times a penalty for each cost, of our cells and of published means.

Belanec et al. 2025, PEFT-Bench (arXiv 2511.21285), as in the authors' code (results/published/peft_bench_pscp.csv):
PSCP = P (1 + M_p / C_p)^-b (1 + M_f / C_f)^-b (1 + M_m / C_m)^-b, with the score P, the trainable parameters M_p, the
operations M_f that the method adds to an answer, and the memory of training M_m. One exponent b serves for all three.

Deviation: their constants, 5e8 parameters, 10 TFLOP and 94 GB, are for a backbone of 8e9 parameters. Ours are the same
shares of the backbone at hand: of its parameters, of its operations for an answer, and of its bytes (theirs are 2 per
parameter).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from harness import assets
from harness.analysis.study import comparisons, estimates, row_errors, selection, statistics
from harness.analysis.study.estimates import Estimate
from harness.analysis.study.findings import SEEDS_ALONE, finding
from harness.analysis.study.selection import Panel
from harness.analysis.study.study import Study
from harness.analysis.views import measured_memory, pairs
from harness.experiments import published_rows
from harness.experiments.claims import Claim
from harness.experiments.verdict import Finding

if TYPE_CHECKING:
    import pandas as pd

FILE = "peft_bench_pscp.csv"
PROBE = "answer_operations"
EXPONENTS = (0.0, 0.25, 0.5, 0.75, 1.0, 2.0, 3.0, 4.0)
THEIR_PARAMETERS = 8_030_261_248
"""The parameters of LLaMA-3-8B, from which their constants become shares."""
THEIR_BYTES = 2 * THEIR_PARAMETERS
BYTES = 4
"""Of a parameter of our backbones, which are in fp32."""
COSTS = ("trainable parameters", "operations added to an answer", "memory of training")


@dataclass(frozen=True)
class Printed:
    """A method's published means. performance: in points. costs: each over its constant, in the order of COSTS."""

    method: str
    label: str
    performance: float
    costs: tuple[float, float, float]

    def pscp(self, exponent: float) -> float:
        """Return the PSCP in points."""
        return self.performance * float(np.prod([1 + cost for cost in self.costs])) ** -exponent


def printed(study: Study) -> tuple[Printed, ...]:
    """Return the published means, in the order of their file."""
    return tuple(_printed(row) for row in _rows(study))


def _rows(study: Study) -> tuple[Mapping[str, str], ...]:
    """Return the published rows of the exhibit; those of the paper where it has others or none."""
    own = study.published
    return own if own and "constant_parameters" in own[0] else published_rows.read(assets.published() / FILE)


def _printed(row: Mapping[str, str]) -> Printed:
    added = float(row["inference_tflop"]) - float(row["base_tflop"])
    costs = (
        float(row["trainable_parameters"]) / float(row["constant_parameters"]),
        added / float(row["constant_tflop"]),
        float(row["training_gb"]) / float(row["constant_gb"]),
    )
    return Printed(row["method"], row["label"], float(row["performance"]), costs)


def shares(study: Study) -> tuple[float, float, float]:
    """Return their constants as shares of their backbone: of its parameters, operations and bytes."""
    row = _rows(study)[0]
    return (
        float(row["constant_parameters"]) / THEIR_PARAMETERS,
        float(row["constant_tflop"]) / float(row["base_tflop"]),
        float(row["constant_gb"]) * 1e9 / THEIR_BYTES,
    )


def costs(study: Study) -> "pd.DataFrame":
    """Return the reported rows with each cost over its constant, in columns 0 to 2; NaN where it was not measured."""
    rows = study.selected[study.selected.role == study.role]
    share, peaks = shares(study), measured_memory.known(rows)
    extra_shares = [extra(probed, where) for probed, where in zip(rows.probes, rows["set"], strict=True)]
    backbone = rows.backbone.astype(float)
    columns: dict[str, Any] = {
        "0": rows.delta.astype(float) / backbone / share[0],
        "1": np.asarray(extra_shares) / share[1],
        "2": peaks / (BYTES * backbone) / share[2],
    }
    return rows.assign(**columns)


def extra(probed: Mapping[str, Any], where: str) -> float:
    """Return the share of operations that answers take more than the bare backbone's; NaN where it is not known."""
    sets = (probed.get(PROBE) or {}).get("sets") or {}
    return float((sets.get(where) or {}).get("extra", np.nan))


def panel(study: Study, exponent: float) -> Panel:
    """Return the PSCP of each cell in place of its score, 0 to 1."""
    rows = costs(study)
    product = (1 + rows["0"]) * (1 + rows["1"]) * (1 + rows["2"])
    values = rows.score.astype(float) * product ** -float(exponent)
    return selection.panel(rows.assign(score=values), study.role, study.exhibit.methods())


def means(study: Study, exponent: float) -> dict[str, float]:
    """Return arm -> mean PSCP in points, of the arms that have one."""
    made = panel(study, exponent)
    points = {arm: 100 * estimates.score(made, arm).main.mean for arm in made.arms}
    return {arm: mean for arm, mean in points.items() if not np.isnan(mean)}


def order(values: Mapping[str, float]) -> list[str]:
    """Return the names, the highest value first."""
    return sorted(values, key=lambda name: -values[name])


def higher(study: Study, claim: Claim, options: Mapping[str, Any]) -> Finding:
    """Test whether left's PSCP is higher than right's at the exponent, on the tasks that the ceiling learns."""
    margin, exponent = float(options["margin"]), float(options["exponent"])
    made = panel(study, exponent)
    learnt = made.at([place for place, task in enumerate(made.tasks) if task not in study.unlearnt])
    compared = pairs.sides(study, options)
    differences = [_difference(study.judged, learnt, *pair) for pair in compared]
    rows = comparisons.compare(study, compared, ["above"] * len(compared), differences, margin)
    rows = rows or pairs.absent(options, "above")
    alone = () if study.judged.by_row.all() else (SEEDS_ALONE,)
    left_out = (*study.left_out(), *alone, *_published_difference(study, options, exponent))
    return finding(study, claim, margin, rows, {"left_out": left_out}, [])


def _difference(scores: Panel, made: Panel, left: str, right: str) -> Estimate:
    """Return left's PSCP less right's, paired by seed, for new seeds and new test rows.

    A PSCP is its score times penalties that no test row changes, so the error of the score's rows shrinks as it does.
    scores, made: the scores and the PSCP of the same cells.
    """
    seeds = estimates.difference(made, left, right)
    if seeds.reason:
        return seeds
    with np.errstate(divide="ignore", invalid="ignore"):
        shares = [np.nan_to_num(np.nanmean(made.of(arm) / scores.of(arm), axis=1), nan=1.0) for arm in (left, right)]
    error = row_errors.of_arms(scores, [left, right], [shares[0], -shares[1]])
    return replace(seeds, main=statistics.with_rows(seeds.main, error))


def _published_difference(study: Study, options: Mapping[str, Any], exponent: float) -> Sequence[str]:
    """Return what the published means say of the same two methods."""
    known = {row.method: row.pscp(exponent) for row in printed(study)}
    left, right = str(options["left"]), str(options["right"])
    if left not in known or right not in known:
        return ()
    return (f"by the published means: {left} {known[left]:.1f}, {right} {known[right]:.1f} points, without intervals",)
