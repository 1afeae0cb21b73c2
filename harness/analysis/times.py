"""The table of convergence: median steps to the goal on every task, and the mean rank of speed."""

import numpy as np

from harness.analysis.output.table import MISSING, Entry, Table, number, word
from harness.analysis.study import comparisons, estimates, statistics
from harness.analysis.study.estimates import Estimate
from harness.analysis.study.statistics import Array
from harness.analysis.study.study import Study
from harness.analysis.views import convergence, ranking

NEVER = "never"


def table(study: Study) -> Table:
    """One row per arm, the fastest mean rank first; "never": at least half of the seeds never got there."""
    found = convergence.times(study)
    title = f"Steps to {convergence.SHARE:.0%} of the ceiling's final validation score"
    if found is None:
        note = f"the ceiling '{study.exhibit.ceiling}' has no finished cell above the floor: there is no goal to reach"
        return Table("times", title, study.model, ("method",), (), (*ranking.label(study), note))
    published = comparisons.published_ranks(study, "convergence")
    ranks = _ranks(found)
    rows = []
    for arm in sorted(found.arms, key=lambda arm: np.nan_to_num(ranks[arm].main.mean, nan=np.inf)):
        at = found.arms.index(arm)
        cells = [_median(found.steps[at, t], found.keys[at, t]) for t in range(len(found.tasks))]
        place = published.get(study.method_of[arm])
        last = [Entry(f"{place:.0f}" if place else MISSING, place)] if published else []
        rows.append((word(arm, found.cells(arm)), *cells, number(ranks[arm], bounds=True), *last))
    columns = ("method", *found.tasks, "mean rank", *(["published"] if published else []))
    return Table("times", title, study.model, columns, tuple(rows), _notes(study, found))


def _median(steps: Array, keys: "np.ndarray[tuple[int, ...], np.dtype[np.object_]]") -> Entry:
    """'75', '75 (4 of 5)' where a seed never got there, 'never'."""
    known = np.sort(steps[~np.isnan(steps)])
    if not len(known):
        return Entry(MISSING)
    reached = int(np.isfinite(known).sum())
    upper = known[len(known) // 2]
    middle = (known[(len(known) - 1) // 2] + upper) / 2
    text = f"{middle:.0f}" if np.isfinite(middle) else NEVER
    counted = f" ({reached} of {len(known)})" if 0 < reached < len(known) else ""
    behind = tuple(str(key) for key in keys if key)
    return Entry(text + counted, float(middle) if np.isfinite(middle) else NEVER, keys=behind)


def _ranks(found: convergence.Times) -> dict[str, Estimate]:
    """Mean rank of speed over the (task, seed) pairs that all arms have; "never" ranks last, ties share."""
    complete = ~np.any(np.isnan(found.steps), axis=0)
    if len(found.arms) < 2 or not complete.any(axis=1).all():
        return {arm: estimates.absent("no seed that all methods have on every task") for arm in found.arms}
    placed = statistics.ranks(-np.where(np.isnan(found.steps), 0, found.steps))
    placed = np.where(complete, placed, np.nan)
    keys = found.cells(*found.arms)
    result = {}
    for arm, place in zip(found.arms, placed, strict=True):
        main, beside = (estimates.clip(one, 1, len(found.arms)) for one in statistics.interval(place))
        result[arm] = Estimate(main, beside, keys)
    return result


def _notes(study: Study, found: convergence.Times) -> tuple[str, ...]:
    goals = ", ".join(f"{task} {100 * goal:.1f}" for task, goal in zip(found.tasks, found.goals, strict=True))
    gaps = sorted({int(step) for step in np.diff(np.sort(study.curves.step.unique()))})
    period = f"every {gaps[0]} steps" if len(gaps) == 1 else "at its evaluation steps"
    return (
        *ranking.label(study),
        f"goal: {convergence.SHARE:.0%} of '{study.ceiling}' at its last step, mean over seeds: {goals}",
        f"median over seeds of the first evaluation at the goal; validation is scored {period}",
        *convergence.without_goal(study),
        "never: counts as slower than any number of steps; (4 of 5): so many seeds reached it",
        *side_by_side(study),
    )


def side_by_side(study: Study) -> tuple[str, ...]:
    """Why there is no claim about seconds, where there cannot be one."""
    beside = study.scores.cells_beside.dropna()
    if beside.empty:
        return ("seconds: how many cells ran side by side is not recorded, so no claim is made about seconds",)
    if beside.max() > 1:
        return (f"seconds: up to {beside.max():.0f} cells ran side by side, so no claim is made about seconds",)
    return ()
