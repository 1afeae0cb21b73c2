"""The tables of scores. A view is a function of a Study that gives a Table."""

from collections.abc import Sequence

import numpy as np

from harness.analysis import measures, order, statistics
from harness.analysis.select import Panel
from harness.analysis.study import Study
from harness.analysis.table import MISSING, Entry, Table, number, rate, word
from harness.analysis.verdict import Comparison, Finding

EDGES = {"highest": " ↑", "lowest": " ↓", "": ""}


def ranking(study: Study) -> Table:
    """One row per arm, the best mean score first: score, normalised score, mean rank; both selections."""
    panel, ranks = study.clean, measures.ranked(study.clean)
    published = order.published_ranks(study, "score")
    columns = ["method", "trains", "score", "normalised", "mean rank"]
    columns += ["published"] if published else []
    columns += ["select=paper", "rate"] if study.role == "test" else ["rate"]
    rows = []
    for arm in by_score(panel):
        row = [
            word(arm, panel.cells(arm)),
            _trainable(study, arm),
            number(measures.score(panel, arm), 100),
            number(measures.normalised(panel, arm, study.floor, study.ceiling), digits=2),
            number(ranks[arm], bounds=True),
        ]
        place = published.get(study.method_of[arm])
        row += [Entry(f"{place:.0f}" if place else MISSING, place)] if published else []
        row += [number(measures.score(study.paper, arm), 100)] if study.role == "test" else []
        rows.append((*row, _rate(study, arm)))
    return Table("ranking", "Ranking", study.model, tuple(columns), tuple(rows), _ranking_notes(study))


def tasks(study: Study) -> Table:
    """One row per arm, one column per task: mean over seeds with its interval; guessing as the last row."""
    panel = study.clean
    rows = []
    for arm in by_score(panel):
        scores = []
        for index, task in enumerate(panel.tasks):
            entry = number(measures.score(panel, arm, index), 100)
            scores.append(flagged(entry, study, arm, task))
        rows.append((word(arm, panel.cells(arm)), *scores, number(measures.score(panel, arm), 100)))
    rows.append((word("guessing"), *(_guess(base) for base in (*panel.base, panel.base.mean()))))
    notes = (*common_notes(study), *edge_notes(study))
    return Table("tasks", "Scores by task", study.model, ("method", *panel.tasks, "mean"), tuple(rows), notes)


def _guess(base: float) -> Entry:
    return Entry(MISSING) if np.isnan(base) else Entry(f"{100 * base:.1f}", 100 * float(base))


def verdicts(findings: Sequence[Finding], model: str) -> Table:
    """Every comparison behind the claims on one model: estimate, interval, p, verdict, seeds it takes."""
    rows = [(word(one.claim), *_compared(row, one)) for one in findings for row in one.comparisons]
    bare = [one for one in findings if not one.comparisons]
    rows += [(word(one.claim), *map(word, (MISSING,) * 4), word(one.verdict), word(MISSING)) for one in bare]
    columns = ("claim", "comparison", "estimate", "interval", "p (Holm)", "verdict", "seeds it would take")
    notes = [f"{one.claim}: {one.estimand}; margin {one.margin:g} ({one.scale})" for one in findings]
    notes += [f"{one.claim}: {note}" for one in findings for note in one.notes]
    return Table("verdicts", "Comparisons behind the claims", model, columns, tuple(rows), tuple(dict.fromkeys(notes)))


def _compared(row: Comparison, one: Finding) -> tuple[Entry, ...]:
    if row.estimate is None:
        estimate, interval = Entry(MISSING), Entry(row.reason)
    else:
        form = _form(row.estimate, row.low, row.high)
        estimate = Entry(format(row.estimate, form), row.estimate, row.low, row.high, row.keys)
        interval = word(MISSING if row.low is None else f"[{row.low:{form}}, {row.high:{form}}]")
    p = Entry(MISSING if row.p is None else f"{row.p:.3f}" if row.p >= 0.001 else "<0.001", row.p)
    needed = f"> {statistics.SEED_LIMIT}" if row.seeds is None else str(row.seeds)
    seeds = word(needed if row.verdict == "inconclusive" and not row.reason else MISSING)
    verdict = f"{row.verdict}: {row.reason}" if row.reason and row.estimate is not None else row.verdict
    return word(f"{row.left} {row.relation} {row.right}"), estimate, interval, p, word(verdict), seeds


def _form(*values: float | None) -> str:
    """Three decimals; two digits where these are all too small for that, as differences of variances are."""
    return ".3f" if max(abs(value) for value in values if value is not None) >= 0.01 else ".2g"


def by_score(panel: Panel) -> list[str]:
    """The arms, best mean over tasks first; those without a complete mean last, in the exhibit's order."""
    means = {arm: measures.score(panel, arm).main.mean for arm in panel.arms}
    return sorted(panel.arms, key=lambda arm: (np.isnan(means[arm]), -np.nan_to_num(means[arm])))


def common_notes(study: Study) -> tuple[str, ...]:
    """What holds for every table of scores: what was run, how intervals are made, what is missing."""
    panel = study.clean
    seeds = (~np.isnan(panel.values)).sum(axis=2)
    most, least = (int(seeds.max()), int(seeds.min())) if seeds.size else (0, 0)
    some = f"{most}" if least == most else f"{least} to {most}"
    spread = (
        f" ± half of the {statistics.LEVEL:.0%} interval over seeds (Student's t on their means)" if most > 1 else ""
    )
    notes = [
        *label(study),
        f"{study.role} scores in points of 100, mean over {some} seed{'s' * (most != 1)}{spread}; "
        "all seeds are scored on the same rows, whose sampling error is not in it",
    ]
    failed = [f"{row.arm} on {row.task} seed {row.seed} {row.status}" for row in study.failures.itertuples()]
    if failed:
        shown = "; ".join(failed[:6]) + (" …" if len(failed) > 6 else "")
        notes.append(f"{len(failed)} attempted cells have no score: {shown}")
    if least < most and not failed:
        notes.append("not all cells have run yet: a mean over tasks needs a score on every task")
    return tuple(notes)


def label(study: Study) -> tuple[str, ...]:
    """Numbers from the embedded world are always labelled so."""
    if "embedded" not in set(study.scores.source):
        return ()
    return ("microworld: small backbones pretrained on a generated English world, not the paper's models or data",)


def _ranking_notes(study: Study) -> tuple[str, ...]:
    floor = f"'{study.floor}'" if study.floor else "guessing the majority class (else chance)"
    panel = study.clean
    notes = [*common_notes(study)]
    if study.ceiling:
        keep = measures.scalable(panel, measures.floor_values(panel, study.floor), panel.of(study.ceiling))
        left = [task for task, good in zip(panel.tasks, keep, strict=True) if not good]
        notes.append(f"normalised: 0 is {floor}, 1 is '{study.ceiling}', inside every resample" + _left_out(left))
    notes.append("trains: trainable parameters as a share of the backbone's, a task head counted apart")
    if study.role == "test":
        notes.append(
            "checkpoint and learning rate are chosen on validation; select=paper chooses both on the "
            "reported set (optimistic)"
        )
    if study.published:
        notes.append(f"published: rank in the paper's order, {study.published[0].get('provenance', 'as published')}")
    return (*notes, *edge_notes(study))


def _left_out(names: list[str]) -> str:
    return f"; left out, ceiling - floor is below 3 standard errors: {', '.join(names)}" if names else ""


def edge_notes(study: Study) -> tuple[str, ...]:
    if (study.rates.tried < 2).all():
        return ("rate: one learning rate per method, that of the recipe",)
    return ("↑ / ↓: the chosen learning rate is the highest / lowest one tried, a better one may lie beyond",)


def rate_notes(study: Study) -> tuple[str, ...]:
    """Every arm's learning rate, for a table that has no column of them."""
    told = f"learning rates: {'; '.join(f'{arm} {_rate(study, arm).text}' for arm in study.clean.arms)}"
    return (told,) if (study.rates.tried < 2).all() else (told, *edge_notes(study))


def _trainable(study: Study, arm: str) -> Entry:
    row = study.scores[study.scores.arm == arm].iloc[0]
    if row.delta is None or not row.backbone:
        return Entry(MISSING)
    percent = 100 * row.delta / row.backbone
    return Entry(f"{percent:.3g} %", float(percent))


def _rate(study: Study, arm: str) -> Entry:
    """'1e-3', or the range over tasks; with how often it sits at an edge of the grid."""
    if not _trains(study, arm):
        return Entry(MISSING)
    chosen = study.rates.xs(arm, level="arm")
    low, high = chosen.learning_rate.min(), chosen.learning_rate.max()
    text = rate(low) if low == high else f"{rate(low)} to {rate(high)}"
    for edge in ("highest", "lowest"):
        count = int((chosen.edge == edge).sum())
        text += f"{EDGES[edge]}{count}" if count else ""
    return Entry(text, text)


def flagged(entry: Entry, study: Study, arm: str, task: str) -> Entry:
    """With an arrow where the rate that was chosen for it is at an edge of those tried."""
    return Entry(entry.text + EDGES[_edge(study, arm, task)], entry.value, entry.low, entry.high, entry.keys)


def _edge(study: Study, arm: str, task: str) -> str:
    if not _trains(study, arm):
        return ""
    place = (study.model, task.split(":")[0], arm)
    return str(study.rates.edge.get(place, ""))


def _trains(study: Study, arm: str) -> bool:
    """Whether anything trains: else the learning rate means nothing."""
    row = study.scores[study.scores.arm == arm].iloc[0]
    return bool(row.delta is None or row.delta + row["head"] > 0)
