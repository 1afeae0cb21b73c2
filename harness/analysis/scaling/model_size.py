"""Scores and speed over the sizes of the backbone: the table, the figure, and the claims that compare models.

The goal of speed is one for all sizes: a share of the smallest model's ceiling at its last step, so that a larger model
cannot set itself a harder one. Without a ceiling there is no goal.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from harness.analysis.output import notes, rate_marks
from harness.analysis.output.table import MISSING, Entry, Table, word
from harness.analysis.scaling import joint
from harness.analysis.scaling.joint import Models
from harness.analysis.study import comparisons, convergence_speed, estimates, row_errors, statistics
from harness.analysis.study.estimates import Estimate
from harness.analysis.study.findings import finding
from harness.analysis.study.statistics import Array
from harness.analysis.study.study import Study
from harness.experiments.claims import Claim
from harness.experiments.verdict import Finding

Options = Mapping[str, Any]
SHARE = convergence_speed.SHARE


def ordered(studies: Sequence[Study]) -> list[Study]:
    """Return the studies by the size of their backbones, the smallest first."""
    return sorted(studies, key=size)


def size(study: Study) -> float:
    """Return the number of parameters of a study's backbone."""
    return float(study.scores.backbone.astype(float).max())


def table(studies: Sequence[Study]) -> Table:
    """Return one row per arm: on each model the mean score, and the steps to the goal of the smallest."""
    by_size, whole = ordered(studies), joint.read(joint.of(studies))
    steps, arms = reached(whole), arms_of(studies)
    rows = []
    for arm in arms:
        entries: list[Entry] = [word(arm)]
        for study in by_size:
            entries.append(rate_marks.scored(study, arm) if arm in study.clean.arms else Entry("not run"))
            at = joint.named(arm, study.model)
            entries.append(_median(steps.get(at), whole.study.clean.cells(at)))
        rows.append(tuple(entries))
    columns = [f"{study.model} {what}" for study in by_size for what in ("score", "steps")]
    sizes = "; ".join(f"{study.model} {size(study):,.0f} parameters" for study in by_size)
    text = (
        *notes.common_notes(by_size[0]),
        sizes,
        f"steps: median over tasks and seeds of the steps to {SHARE:.0%} of what '{by_size[0].exhibit.ceiling}' has "
        f"at its end on {by_size[0].model}, on validation; never: at least half of them do not get there",
        *dict.fromkeys(note for study in by_size for note in rate_marks.notes(study)),
    )
    return Table(
        "scale", "Scores and speed by size of the backbone", joint.MODEL, ("method", *columns), tuple(rows), text
    )


def arms_of(studies: Sequence[Study]) -> list[str]:
    """Return the arms of all studies, each once."""
    return list(dict.fromkeys(arm for study in studies for arm in study.clean.arms))


def _median(steps: Array | None, keys: tuple[str, ...]) -> Entry:
    if steps is None or np.isnan(steps).all():
        return Entry(MISSING)
    middle = float(np.quantile(steps[~np.isnan(steps)], 0.5, method="higher"))
    return Entry(f"{middle:.0f}", middle, keys=keys) if np.isfinite(middle) else Entry("never", "never", keys=keys)


def reached(models: Models) -> dict[str, Array]:
    """Return arm of the joint study -> [T, S] steps to the goal; inf: never, NaN: no cell. {} without a goal."""
    study, goals = models.study, goals_of(models)
    panel, curves = study.clean, study.selected_curves
    tasks = list(goals)
    steps = {arm: np.full((len(tasks), len(panel.seeds)), np.nan) for arm in panel.arms} if tasks else {}
    for (arm, task, seed), curve in curves.groupby(["arm", "task", "seed"], sort=False):
        if task in goals and arm in steps and seed in panel.seeds:
            there = curve.step[curve.score >= goals[task]]
            steps[arm][tasks.index(task), panel.seeds.index(seed)] = there.min() if len(there) else np.inf
    return steps


def goals_of(models: Models) -> dict[str, float]:
    """Return task -> the validation score to reach, where it is above guessing."""
    study = models.study
    if not study.exhibit.ceiling or not models.sizes:
        return {}
    arms = [arm for arm in study.clean.arms if study.method_of[arm] == study.exhibit.ceiling]
    smallest = [arm for arm in arms if arm.endswith(f"{joint.ON}{next(iter(models.sizes))}")]
    rows = study.selected_curves[study.selected_curves.arm.isin(smallest)]
    last = rows[rows.step == rows.groupby("key").step.transform("max")]
    means = last.groupby("task", sort=False).score.mean()
    guessing = {study.task_of(task): base for task, base in zip(study.clean.tasks, study.clean.base, strict=True)}
    goals = {str(task): SHARE * float(score) for task, score in means.items()}
    return {task: goal for task, goal in goals.items() if not goal <= guessing.get(task, np.nan)}


def helps(study: Study, claim: Claim, options: Options) -> Finding:
    """Test whether each method scores higher on the largest model than on the smallest."""
    return _each(
        study, claim, options, lambda models, large, small: estimates.difference(models.study.clean, large, small)
    )


def speeds(study: Study, claim: Claim, options: Options) -> Finding:
    """Test whether each method reaches the goal in fewer steps on the largest model than on the smallest."""

    def faster(models: Models, large: str, small: str) -> Estimate:
        """Return the share of (task, seed) pairs in which the larger model is faster, less one half."""
        steps, panel = reached(models), models.study.clean
        if large not in steps or small not in steps:
            return estimates.absent("no task has a goal: the ceiling is missing or no better than guessing")
        first, other = steps[large], steps[small]
        won = np.where(first < other, 1.0, np.where(first == other, 0.5, 0.0))
        share = statistics.share_of_pairs(np.where(np.isnan(first) | np.isnan(other), np.nan, won))
        if not share.n:
            return estimates.absent("no seed was run for both")
        return Estimate(share, share, keys=panel.cells(large, small))

    return _each(study, claim, options, faster)


def _each(study: Study, claim: Claim, options: Options, estimate: Callable[[Models, str, str], Estimate]) -> Finding:
    models, margin = joint.read(study), float(options["margin"])
    pairs = _ends(models, options["methods"])
    estimated = [estimate(models, large, small) for large, small in pairs]
    rows = comparisons.compare(models.study, pairs, ["above"] * len(pairs), estimated, margin)
    return finding(models.study, claim, margin, rows, {"left_out": models.left_out}, [])


def _ends(models: Models, wanted: Any) -> list[tuple[str, str]]:
    """Return each arm's names on the largest and on the smallest model, of the arms that both have."""
    study, sizes = models.study, list(models.sizes)
    if len(sizes) < 2:
        return []
    chosen = [arm for arm in study.clean.arms if wanted is None or study.method_of[arm] in wanted]
    trained = dict.fromkeys(joint.plain(arm) for arm in chosen if study.trains(arm))
    pairs = [(joint.named(arm, sizes[-1]), joint.named(arm, sizes[0])) for arm in trained]
    return [pair for pair in pairs if set(pair) <= set(study.clean.arms)]


def distance_shrinks(study: Study, claim: Claim, options: Options) -> Finding:
    """Test whether the distance of one method to another is smaller on the largest model than on the smallest."""
    models, margin = joint.read(study), float(options["margin"])
    behind, ahead = _ends(models, [options["method"]]), _ends(models, [options["to"]])
    pairs, estimated = [], []
    for mine, other in ((mine, other) for mine in behind for other in ahead):
        pairs.append((f"{joint.plain(mine[1])} behind {joint.plain(other[1])} on the smallest", "on the largest"))
        estimated.append(shrinkage(models.study, mine, other))
    rows = comparisons.compare(models.study, pairs, ["above"] * len(pairs), estimated, margin)
    return finding(models.study, claim, margin, rows, {"left_out": models.left_out}, [])


def shrinkage(study: Study, mine: tuple[str, str], other: tuple[str, str]) -> Estimate:
    """Return (other - mine) on the smallest less that on the largest model. Each is (on the largest, on the smallest).

    No bound of a better rate is taken, because it may widen a distance or narrow it: an open rate leaves it open.
    """
    panel = study.clean
    if not panel.tasks:
        return estimates.absent(estimates.UNLEARNT)
    distance = [panel.of(ahead) - panel.of(behind) for behind, ahead in zip(mine, other, strict=True)]
    values = distance[1] - distance[0]
    if np.isnan(values).all(axis=1).any():
        return estimates.absent("no seed was run for all four on every task")
    main, beside = statistics.interval(values)
    signs = [np.full(len(panel.tasks), sign) for sign in (1.0, -1.0, -1.0, 1.0)]
    main = statistics.with_rows(main, row_errors.of_arms(panel, [*mine, *other], signs))
    return Estimate(main, beside, keys=panel.cells(*mine, *other))
