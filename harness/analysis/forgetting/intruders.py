"""What scaling intruder dimensions down does to the loss on pretraining text and to the score, by its probe."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.analysis.forgetting import learning_paths
from harness.analysis.output import figure_style, notes, rate_marks
from harness.analysis.output.table import Table, number
from harness.analysis.robustness import tied_rates
from harness.analysis.study import comparisons, estimates, statistics
from harness.analysis.study.estimates import Estimate
from harness.analysis.study.findings import OTHER_COLUMNS, SEEDS_ALONE, TEXT_ALONE, finding
from harness.analysis.study.selection import Panel
from harness.analysis.study.study import Study
from harness.analysis.views import pairs
from harness.experiments import units
from harness.experiments.claim_rows.claim import Claim
from harness.experiments.verdict import Comparison, Finding

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

PROBE = "intruders_down"
SHOWN = (0.7, 0.3, 0.0)
LOSS, SCORE = "pretraining_loss", "score"


def _result(probed: Mapping[str, Any]) -> Mapping[str, Any]:
    outcome: Mapping[str, Any] = probed.get(PROBE) or {}
    return outcome if outcome.get("status") == "done" and outcome.get("factors") else {}


def change(study: Study, figure: str, factor: float) -> Panel:
    """Return how a figure of each cell changes where its intruders are scaled; NaN where that was not measured."""
    values = [_changed(probed, figure, factor) for probed in learning_paths.rows(study).probes]
    return learning_paths.of_cells(study, values)


def _changed(probed: Mapping[str, Any], figure: str, factor: float) -> float:
    outcome = _result(probed)
    if factor not in outcome.get("factors", ()):
        return math.nan
    return float(outcome[figure][outcome["factors"].index(factor)] - outcome[figure][0])


def table(study: Study) -> Table:
    """Return one row per arm that can be merged: its intruders, and at each factor the changes of loss and score."""
    counts = learning_paths.of_cells(
        study, [float(_result(probed).get("intruders", math.nan)) for probed in learning_paths.rows(study).probes]
    )
    changes = [(figure, factor, change(study, figure, factor)) for factor in SHOWN for figure in (LOSS, SCORE)]
    lines = [
        (
            rate_marks.named(study, arm),
            rate_marks.scored(study, arm),
            number(_estimate(counts, arm)),
            *(
                number(_estimate(panel, arm), 1 if figure == LOSS else 100, 3 if figure == LOSS else 1)
                for figure, _, panel in changes
            ),
        )
        for arm in _shown(study)
    ]
    heads = [f"{'loss' if figure == LOSS else 'score'}, at {factor:g}" for figure, factor, _ in changes]
    columns = ("method", f"{study.role} score", "intruders", *heads)
    title = "Changes where the intruder dimensions are scaled down"
    return Table("intruders-down", title, study.model, columns, tuple(lines), _notes(study))


def _shown(study: Study) -> list[str]:
    """Return the arms that train something and have a result."""
    rows, arms = learning_paths.rows(study), [arm for arm in study.clean.arms if study.trains(arm)]
    return [arm for arm in arms if any(_result(probed) for probed in rows[rows.arm == arm].probes)]


def _estimate(panel: Panel, arm: str) -> Estimate:
    return Estimate(*statistics.interval(panel.of(arm)), keys=panel.cells(arm))


def lowers(study: Study, claim: Claim, options: Mapping[str, Any]) -> Finding:
    """Test whether the loss falls by more than the margin."""
    return _test(study, claim, options, (LOSS, -1.0), "above", TEXT_ALONE, _as_fall)


def keeps_score(study: Study, claim: Claim, options: Mapping[str, Any]) -> Finding:
    """Test whether the score falls by no more than the margin."""
    return _test(study, claim, options, (SCORE, 1.0), "at least", SEEDS_ALONE, _as_change)


def _as_fall(row: Comparison) -> str:
    """Return 'the loss of lora falls by 0.49 [0.30, 0.67] nats per word'."""
    if row.estimate is None:
        return row.left
    size, falls = units.sided(row)
    return f"the loss of {row.left} {'falls' if falls else 'rises'} by {size} nats per word"


def _as_change(row: Comparison) -> str:
    """Return 'the score of lora changes by -7.1 points [-14.8, +0.7]'."""
    return row.left if row.estimate is None else f"the score of {row.left} changes by {units.POINTS.text(row)}"


def _test(
    study: Study, claim: Claim, options: Mapping[str, Any], what: tuple[str, float], relation: str, remark: str,
    describe: Callable[[Comparison], str],
) -> Finding:  # fmt: skip
    """Test the change of a figure, times a sign, in every arm of the method."""
    margin, factor = float(options["margin"]), float(options["factor"])
    figure, sign = what
    panel = change(study, figure, factor)
    compared = [(arm, "its own weights") for arm in pairs.arms(study, options["method"]) if arm in panel.arms]
    estimated = [_signed(panel, arm, sign) for arm, _ in compared]
    rows = comparisons.compare(study, compared, [relation] * len(compared), estimated, margin)
    rows = tuple(replace(row, sides=((), ())) for row in rows)  # a better rate may give more intruders, or fewer
    rows = rows or (Comparison(str(options["method"]), "", relation, "untested", reason="not among these cells"),)

    def of_trial(row: tied_rates.Row) -> float:
        """Return the change in a trial of a learning rate, times the sign."""
        return sign * _changed(row["probes"], figure, factor)

    def sides(row: Comparison) -> tied_rates.Sides:
        """Return the arm on each task; none where no cell has it."""
        return [((row.left, task),) for task in panel.tasks] if row.right else []

    rows, tied = tied_rates.at_each(study, rows, sides, of_trial, margin, describe)
    return finding(study, claim, margin, rows, {"left_out": (remark, *tied)}, [], describe)


def _signed(panel: Panel, arm: str, sign: float) -> Estimate:
    values = sign * panel.of(arm)
    if np.isnan(values).all(axis=1).any():
        return estimates.absent("no cell of it was measured with its intruders scaled")
    return Estimate(*statistics.interval(values), keys=panel.cells(arm))


def figure(studies: Sequence[Study]) -> "Figure":
    """Draw two panels per model over the factor: the loss on pretraining text, and the score."""
    looks = figure_style.looks(studies)
    made = figure_style.figure(figsize=(8.0, 0.8 + 3.2 * len(studies)))
    grid = made.subplots(len(studies), 2, squeeze=False)
    for row, study in zip(grid, studies, strict=True):
        rows = learning_paths.rows(study)
        for arm, own in _drawn(study).items():
            by_key = {str(key): _result(probed) for key, probed in zip(own.key, own.probes, strict=True)}
            results = list(by_key.values())
            for axes, name, unit in zip(row, (LOSS, SCORE), (1, 100), strict=True):
                values = unit * np.array([outcome[name] for outcome in results], dtype=float)
                across, look = results[0]["factors"], looks[str(arm)]
                mean = unit * learning_paths.mean_over_tasks(
                    own, {key: outcome[name] for key, outcome in by_key.items()}
                )
                axes.plot(across, mean, linestyle="-", linewidth=1.2, markersize=4, **look)
                low, high = values.min(axis=0), values.max(axis=0)
                axes.fill_between(across, low, high, color=look["color"], alpha=0.15, linewidth=0)
        plain = [outcome["plain_loss"] for probed in rows.probes if (outcome := _result(probed))]
        if plain:
            row[0].axhline(float(np.mean(plain)), color=figure_style.FLOOR, linestyle="--", linewidth=0.9)
        row[0].set_title(figure_style.short(study.model, 28))
        row[0].set_ylabel("loss on pretraining text (nats per word)")
        row[1].set_ylabel(f"{study.role} score (points)")
        for axes in row:
            axes.set_xlabel("size of the intruder dimensions (1: as tuned)")
            axes.invert_xaxis()
    _legend(made, studies, looks)
    return made


def _drawn(study: Study) -> "dict[str, pd.DataFrame]":
    """Return arm -> its measured cells, for the arms that have some on each task."""
    rows = learning_paths.rows(study)
    measured = learning_paths.on_every_task(rows[[bool(_result(probed)) for probed in rows.probes]])
    arms = [arm for arm in study.clean.arms if study.trains(arm)]
    return {arm: own for arm in arms if len(own := measured[measured.arm == arm])}


def _legend(made: "Figure", studies: Sequence[Study], looks: Mapping[str, Mapping[str, Any]]) -> None:
    from matplotlib.lines import Line2D

    arms = list(dict.fromkeys(arm for study in studies for arm in _drawn(study)))
    handles = [Line2D([], [], label=figure_style.named(studies, arm), markersize=4, **looks[arm]) for arm in arms]
    level = f"means over tasks and {figure_style.seeds(studies)}; bands: the range; dashed: the bare backbone"
    absent = figure_style.unplaced(studies, lambda study, arm: arm in _drawn(study) or arm not in _shown(study))
    lines = level, absent, figure_style.marked(studies, arms), figure_style.subtitle(studies)
    figure_style.legend(made, handles, 4, *lines)


def _notes(study: Study) -> tuple[str, ...]:
    results = [probed.get(PROBE) or {} for probed in learning_paths.rows(study).probes]
    reasons = {str((outcome.get("why_null") or {}).get("factors") or "") for outcome in results} - {""}
    return (
        *notes.common_notes(study),
        "intruders: of the first ten left singular vectors of each tuned matrix, those whose largest cosine with a "
        "pretrained one is below 0.5, summed over all matrices",
        "loss, score at 0.7: their change where the intruders' singular values are scaled by 0.7; nats per word of "
        "held-out pretraining text, and points",
        OTHER_COLUMNS,
        *(f"left out: {reason}" for reason in sorted(reasons)),
        *rate_marks.notes(study),
    )
