"""The tables of scores. A view is a function of a Study that gives a Table."""

from collections.abc import Sequence

import numpy as np

from harness.analysis.output import rate_marks
from harness.analysis.output.table import MISSING, Entry, Table, number, word
from harness.analysis.study import comparisons, estimates, findings, power, selection, statistics
from harness.analysis.study.estimates import Estimate
from harness.analysis.study.selection import Panel
from harness.analysis.study.study import Study
from harness.experiments import claims
from harness.experiments.verdict import Comparison, Finding

SEEDS = "seeds it would take"


def ranking(study: Study) -> Table:
    """One row per arm, the best mean score first: score, normalised score, mean rank; both selections."""
    ranks, unscaled = places(study), scale(study)
    published = comparisons.published_ranks(study, "score")
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
    return Table("ranking", "Ranking", study.model, tuple(columns), tuple(rows), _ranking_notes(study))


def tasks(study: Study) -> Table:
    """One row per arm, one column per task: mean over seeds with its interval; guessing as the last row."""
    panel = study.clean
    rows = []
    for arm in rate_marks.by_score(study):
        scores = [rate_marks.scored(study, arm, index) for index in range(len(panel.tasks))]
        rows.append((rate_marks.named(study, arm), *scores, rate_marks.scored(study, arm)))
    rows.append((word("guessing"), *(_guess(base) for base in (*panel.base, panel.base.mean()))))
    notes = (*common_notes(study), *rate_marks.notes(study))
    return Table("tasks", "Scores by task", study.model, ("method", *panel.tasks, "mean"), tuple(rows), notes)


def places(study: Study) -> dict[str, Estimate]:
    """The mean rank of every arm among those that may be ranked."""
    arms = rate_marks.ranked(study)
    found = estimates.ranked(selection.only(study.clean, arms))
    return {arm: found[arm] if arm in arms else estimates.absent(rate_marks.UNTUNED) for arm in study.clean.arms}


def scale(study: Study) -> str:
    """Why scores are not normalised; "" where they are: an untuned floor or ceiling is no scale."""
    ends = [arm for arm in (study.floor, study.ceiling) if arm and rate_marks.untuned(study, arm)]
    return f"not normalised: {' and '.join(ends)} {'are' if len(ends) > 1 else 'is'} untuned" if ends else ""


def _normalised(study: Study, arm: str) -> Estimate:
    return estimates.normalised(study.clean, arm, study.floor, study.ceiling)


def _guess(base: float) -> Entry:
    return Entry(MISSING) if np.isnan(base) else Entry(f"{100 * base:.1f}", 100 * float(base))


def verdicts(found: Sequence[Finding], model: str) -> Table:
    """Every comparison behind the claims on one model: estimate, interval, p, verdict, seeds it takes."""
    rows = [(word(one.claim), *_compared(row, one)) for one in found for row in one.comparisons]
    bare = [one for one in found if not one.comparisons]
    rows += [(word(one.claim), *map(word, (*[MISSING] * 4, one.verdict, *[MISSING] * 2))) for one in bare]
    columns = ("claim", "comparison", "estimate", "interval", "p (Holm)", "verdict", "over seeds alone", SEEDS)
    notes = [f"{one.claim}: {one.estimand}; margin {one.margin:g} ({one.scale}), {_why(one)}" for one in found]
    notes += [f"{one.claim}: {note}" for one in found for note in one.notes]
    compared = [row for one in found for row in one.comparisons]
    if any(row.seeds_verdict for row in compared):
        notes.append(
            "interval, p and verdict: for new seeds and new test rows; row error: the unpaired binomial bound, as no "
            "predictions are read that would pair two methods' answers; over seeds alone: on these very rows"
        )
    if any(row.seeds or row.rows for row in compared):
        notes.append(
            f"{SEEDS}: to decide with {power.POWER:.0%} probability, if the estimate is right; in brackets: with "
            "the spread at the ends of its 80 % interval"
        )
    return Table("verdicts", "Comparisons behind the claims", model, columns, tuple(rows), tuple(dict.fromkeys(notes)))


def _why(one: Finding) -> str:
    """Why this margin: the claim's reason, or that the exhibit has set another."""
    claim = claims.find(one.claim)
    return claim.why if one.margin == claim.margin else "the exhibit's own"


def _compared(row: Comparison, one: Finding) -> tuple[Entry, ...]:
    form = ".3f"
    if row.estimate is None:
        estimate, interval = Entry(MISSING), Entry(row.reason)
    else:
        form = _form(row.estimate, row.low, row.high)
        estimate = Entry(format(row.estimate, form), row.estimate, row.low, row.high, row.keys)
        interval = word(MISSING if row.low is None else f"[{row.low:{form}}, {row.high:{form}}]")
    p = Entry(MISSING if row.p is None else f"{row.p:.3f}" if row.p >= 0.001 else "<0.001", row.p)
    needed = findings.more_rows(row.rows) if row.rows else findings.seeds(row)
    seeds = word(needed if row.verdict == "inconclusive" and not row.reason else MISSING)
    alone = MISSING
    if row.seeds_verdict and row.seeds_low is not None:
        alone = f"[{row.seeds_low:{form}}, {row.seeds_high:{form}}] {row.seeds_verdict}"
    verdict = f"{row.verdict}: {row.reason}" if row.reason and row.estimate is not None else row.verdict
    return word(f"{row.left} {row.relation} {row.right}"), estimate, interval, p, word(verdict), word(alone), seeds


def _form(*values: float | None) -> str:
    """Three decimals; two digits where these are all too small for that, as differences of variances are."""
    return ".3f" if max(abs(value) for value in values if value is not None) >= 0.01 else ".2g"


def common_notes(study: Study) -> tuple[str, ...]:
    """What holds for every table of scores: what was run, how intervals are made, what is missing."""
    panel = study.clean
    seeds = (~np.isnan(panel.values)).sum(axis=2)
    most, least = (int(seeds.max()), int(seeds.min())) if seeds.size else (0, 0)
    some = f"{most}" if least == most else f"{least} to {most}"
    spread = _spread(panel) if most > 1 else ""
    notes = [
        *label(study),
        f"{study.role} scores in points of 100, mean over {some} seed{'s' * (most != 1)}{spread}",
    ]
    failed = [f"{row.arm} on {row.task} seed {row.seed} {row.status}" for row in study.failures.itertuples()]
    if failed:
        shown = "; ".join(failed[:6]) + (" …" if len(failed) > 6 else "")
        notes.append(f"{len(failed)} attempted cells have no score: {shown}")
    if least < most and not failed:
        notes.append("not all cells have run yet: a mean over tasks needs a score on every task")
    return tuple(notes)


def _spread(panel: Panel) -> str:
    """What stands behind the +- of a score."""
    level = f" ± half of the {statistics.LEVEL:.0%} interval"
    if not panel.by_row.all():
        return f"{level} over seeds (Student's t on their means); the error of the rows is not known and not in it"
    return (
        f"{level} for new seeds (Student's t on their means) and new test rows (binomial, added in squares); in "
        "brackets that over seeds alone; an interval that is cut at 0 or 100 is written out"
    )


def label(study: Study) -> tuple[str, ...]:
    """Numbers from the embedded world are always labelled so."""
    if "embedded" not in set(study.scores.source):
        return ()
    return ("microworld: small backbones pretrained on a generated English world, not the paper's models or data",)


def _ranking_notes(study: Study) -> tuple[str, ...]:
    guessing = "guessing (the better of chance and the majority class)"
    floor = f"the better of '{study.floor}' and {guessing}" if study.floor else guessing
    panel, notes = study.clean, [*common_notes(study)]
    if study.ceiling and scale(study):
        notes.append(scale(study))
    elif study.ceiling:
        notes.append(f"normalised: 0 is {floor}, 1 is '{study.ceiling}', inside every resample")
        keep = estimates.scalable(panel, estimates.floor_values(panel, study.floor), panel.of(study.ceiling))
        left = ", ".join(task for task, good in zip(panel.tasks, keep, strict=True) if not good)
        notes += [f"left out of normalised scores, ceiling - floor is below 3 standard errors: {left}"] if left else []
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
