"""The table of the steps to a share of the ceiling's final score, where "never" ranks last."""

import numpy as np

from harness.analysis.output import notes
from harness.analysis.output.table import MISSING, Entry, Table, number, word
from harness.analysis.study import estimates, statistics
from harness.analysis.study.convergence_speed import SHARE, Times, times, without_goal
from harness.analysis.study.estimates import Estimate
from harness.analysis.study.statistics import Array
from harness.analysis.study.study import Study
from harness.experiments import published_rows

NEVER = "never"


def table(study: Study) -> Table:
    """Return one row per arm, the fastest mean rank first; "never": at least half of the seeds never got there."""
    reached = times(study)
    title = f"Steps to {SHARE:.0%} of the ceiling's final validation score"
    if reached is None:
        note = f"the ceiling '{study.exhibit.ceiling}' has no finished cell above the floor: there is no goal to reach"
        return Table("times", title, study.model, ("method",), (), (*notes.label(study), note))
    published = published_rows.ranks(study.published, "convergence")
    ranks = _ranks(reached)
    rows = []
    for arm in sorted(reached.arms, key=lambda arm: np.nan_to_num(ranks[arm].main.mean, nan=np.inf)):
        at = reached.arms.index(arm)
        cells = [_median(reached.steps[at, t], reached.keys[at, t]) for t in range(len(reached.tasks))]
        place = published.get(study.method_of[arm])
        last = [Entry(f"{place:.0f}" if place else MISSING, place)] if published else []
        rows.append((word(arm, reached.cells(arm)), *cells, number(ranks[arm], bounds=True), *last))
    columns = ("method", *reached.tasks, "mean rank", *(["published"] if published else []))
    return Table("times", title, study.model, columns, tuple(rows), _notes(study, reached))


def _median(steps: Array, keys: "np.ndarray[tuple[int, ...], np.dtype[np.object_]]") -> Entry:
    """Return '75', '75 (4 of 5)' where a seed never got there, or 'never'."""
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


def _ranks(reached: Times) -> dict[str, Estimate]:
    """Return the mean rank of speed over the (task, seed) pairs that all arms have; "never" ranks last, ties share."""
    complete = ~np.any(np.isnan(reached.steps), axis=0)
    if len(reached.arms) < 2 or not complete.any(axis=1).all():
        return {arm: estimates.absent("no seed was run for all methods on every task") for arm in reached.arms}
    placed = statistics.ranks(-np.where(np.isnan(reached.steps), 0, reached.steps))
    placed = np.where(complete, placed, np.nan)
    keys = reached.cells(*reached.arms)
    result = {}
    for arm, place in zip(reached.arms, placed, strict=True):
        main, beside = (estimates.clip(interval, 1, len(reached.arms)) for interval in statistics.interval(place))
        result[arm] = Estimate(main, beside, keys)
    return result


def _notes(study: Study, reached: Times) -> tuple[str, ...]:
    goals = ", ".join(f"{task} {100 * goal:.1f}" for task, goal in zip(reached.tasks, reached.goals, strict=True))
    gaps = sorted({int(step) for step in np.diff(np.sort(study.curves.step.unique()))})
    period = f"every {gaps[0]} steps" if len(gaps) == 1 else "at its evaluation steps"
    return (
        *notes.label(study),
        f"goal: {SHARE:.0%} of '{study.ceiling}' at its last step, mean over seeds: {goals}",
        f"median over seeds of the first evaluation at the goal; validation is scored {period}",
        *without_goal(study),
        "never: counts as slower than any number of steps; (4 of 5): the number of seeds that reached the goal",
        *side_by_side(study),
    )


def side_by_side(study: Study) -> tuple[str, ...]:
    """Return why there is no claim about seconds, where there cannot be one."""
    beside = study.scores.cells_beside.dropna()
    if beside.empty:
        return ("seconds: the records do not say how many cells ran at once, so no claim is about seconds",)
    if beside.max() > 1:
        return (f"seconds: up to {beside.max():.0f} cells ran at once, so no claim is about seconds",)
    return ()
