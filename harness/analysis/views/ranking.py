"""The tables of scores. A view is a function that takes a Study and returns a Table."""

import numpy as np

from harness.analysis.output import best_marks, rate_marks
from harness.analysis.output.notes import common_notes, seed_counts
from harness.analysis.output.table import MISSING, Entry, Table, number, word
from harness.analysis.study import estimates, selection
from harness.analysis.study.estimates import Estimate
from harness.analysis.study.study import Study
from harness.experiments import published_rows


def ranking(study: Study) -> Table:
    """Return one row per arm, the best mean score first: score, normalised score, mean rank; both selections."""
    ranks, unscaled = places(study), scale(study)
    published = published_rows.ranks(study.published, "score")
    columns = ["method", "trains", "score", "normalised", "mean rank"]
    columns += ["published"] if published else []
    columns += ["select=paper", "rate"] if study.role == "test" else ["rate"]
    rows = []
    for arm in rate_marks.by_score(study):
        row = [
            rate_marks.named(study, arm),
            _trainable(study, arm),
            rate_marks.scored(study, arm, seeds=True),
            Entry(MISSING) if unscaled else number(_normalised(study, arm), digits=2),
            number(ranks[arm], bounds=True),
        ]
        place = published.get(study.method_of[arm])
        row += [Entry(f"{place:.0f}" if place else MISSING, place)] if published else []
        row += [number(estimates.score(study.paper, arm), 100)] if study.role == "test" else []
        rows.append((*row, rate_marks.rates(study, arm)))
    made = Table("ranking", "Ranking", study.model, tuple(columns), tuple(rows), _ranking_notes(study))
    better = {"score": best_marks.HIGHER, "normalised": best_marks.HIGHER, "mean rank": best_marks.LOWER}
    return best_marks.marked(made, better, rate_marks.not_ranked(study, rate_marks.by_score(study)))


def tasks(study: Study) -> Table:
    """Return one row per arm, one column per task: mean over seeds with its interval; guessing as the last row.

    The means over tasks are one for each metric.
    """
    panel, over = study.clean, means(study)
    rows = []
    for arm in rate_marks.by_score(study):
        scores = [rate_marks.scored(study, arm, index) for index in range(len(panel.tasks))]
        averages = [rate_marks.scored(study, arm, panel=panel.at(places)) for places in over.values()]
        rows.append((rate_marks.named(study, arm), *scores, *averages))
    averages_of_guessing = [panel.base[places].mean() for places in over.values()]
    rows.append((word("guessing"), *(_guess(base) for base in (*panel.base, *averages_of_guessing))))
    notes = (*common_notes(study), *mixed(study), *rate_marks.notes(study))
    made = Table("tasks", "Scores by task", study.model, ("method", *panel.tasks, *over), tuple(rows), notes)
    better = dict.fromkeys((*panel.tasks, *over), best_marks.HIGHER)
    return best_marks.marked(made, better, rate_marks.not_ranked(study, rate_marks.by_score(study)))


def metrics(study: Study) -> dict[str, list[int]]:
    """Return metric -> the places of the tasks that it scores in the panel."""
    of_task = dict(zip(study.selected.task, study.selected.metric, strict=True))
    places: dict[str, list[int]] = {}
    for place, column in enumerate(study.clean.tasks):
        places.setdefault(str(of_task[study.task_of(column)]), []).append(place)
    return places


def means(study: Study) -> dict[str, list[int]]:
    """Return heading -> places of the tasks of each mean: all tasks, or those of one of several metrics."""
    over = metrics(study)
    if len(over) == 1:
        return {"mean": next(iter(over.values()))}
    return {f"mean {metric}": places for metric, places in over.items() if len(places) > 1}


def mixed(study: Study) -> list[str]:
    """Return the note on tasks that different metrics score; nothing where one metric scores all."""
    over = metrics(study)
    named = [f"{metric} ({', '.join(study.clean.tasks[place] for place in places)})" for metric, places in over.items()]
    return [f"metrics: {'; '.join(named)}"] if len(over) > 1 else []


def places(study: Study) -> dict[str, Estimate]:
    """Return the mean rank of every arm among those that may be ranked."""
    arms = rate_marks.ranked(study)
    ranks = estimates.ranked(selection.only(study.clean, arms))
    return {arm: ranks[arm] if arm in arms else estimates.absent(rate_marks.UNTUNED) for arm in study.clean.arms}


def scale(study: Study) -> str:
    """Return why scores are not normalised; "" where they are. An untuned floor or ceiling is no scale."""
    ends = [arm for arm in (study.floor, study.ceiling) if arm and rate_marks.untuned(study, arm)]
    return f"not normalised: {' and '.join(ends)} {'are' if len(ends) > 1 else 'is'} untuned" if ends else ""


def _normalised(study: Study, arm: str) -> Estimate:
    return estimates.normalised(study.clean, arm, study.floor, study.ceiling)


def _guess(base: float) -> Entry:
    return Entry(MISSING) if np.isnan(base) else Entry(f"{100 * base:.1f}", 100 * float(base))


def _ranking_notes(study: Study) -> tuple[str, ...]:
    guessing = "guessing (the better of chance and the majority class)"
    floor = f"the better of '{study.floor}' and {guessing}" if study.floor else guessing
    panel, notes = study.clean, [*common_notes(study), *mixed(study)]
    if mixed(study):
        notes.append("score: a mean over different metrics, which orders the rows; normalised scores share one scale")
    if study.ceiling and scale(study):
        notes.append(scale(study))
    elif study.ceiling:
        notes.append(f"normalised: 0 is {floor}, 1 is '{study.ceiling}', both computed in each resample")
        keep = estimates.scalable(panel, estimates.floor_values(panel, study.floor), panel.of(study.ceiling))
        left = ", ".join(task for task, good in zip(panel.tasks, keep, strict=True) if not good)
        notes += (
            [f"left out of normalised scores, because ceiling minus floor is below 3 standard errors: {left}"]
            if left
            else []
        )
    if seed_counts(panel)[1] > 1 and panel.by_row.all():
        notes.append("score, in round brackets: half of the interval for new seeds alone")
    notes.append("mean rank: over tasks and seeds, its interval is over seeds alone")
    notes.append("trains: trainable parameters as a share of the backbone's, a task head counted apart")
    if study.role == "test":
        notes.append(
            "checkpoint and learning rate are chosen on validation; select=paper chooses both on the "
            "reported set (optimistic)"
        )
    if study.published:
        notes.append(f"published: rank in the paper's order, {study.published[0].get('provenance', 'as published')}")
    return (*notes, *rate_marks.notes(study))


def _trainable(study: Study, arm: str) -> Entry:
    trained = study.trained(arm)
    return Entry(MISSING) if trained is None else Entry(f"{100 * trained[1]:.3g} %", 100 * trained[1])
