"""The table of on/off combinations: scores by setting and task, both selections, and the published mean."""

from dataclasses import replace

import numpy as np

from harness.analysis.combining import factorial
from harness.analysis.combining.factorial import Factorial, Parts, Setting
from harness.analysis.output import best_marks, rate_marks
from harness.analysis.output.notes import common_notes
from harness.analysis.output.table import MISSING, Entry, Table, number, word
from harness.analysis.study import estimates
from harness.analysis.study.selection import Panel
from harness.analysis.study.study import Study

ON, OFF, ABSENT = "x", "", "not run"
PRINTED = {False: "full_data", True: "16_shot"}
"""Whether training rows are few -> the beginning of a setting in the published file."""


def table(study: Study) -> Table:
    """Return one row per setting and combination; a combination without an arm stands as a gap."""
    plan, printed = factorial.of(study), published(study)
    columns = ["setting", *plan.parts, "trains", *plan.tasks(), "mean", "select=paper"]
    columns += ["published"] if printed else []
    rows: list[tuple[Entry, ...]] = []
    for setting in plan.columns:
        lines = [_row(study, plan, setting, chosen, printed) for chosen in plan.combinations()]
        part = Table("", "", "", tuple(columns), tuple(lines))
        untuned = {place for place, chosen in enumerate(plan.combinations()) if _untuned(study, plan, chosen)}
        rows += best_marks.marked(part, {"mean": best_marks.HIGHER}, untuned).rows
    title = "Combinations of methods, on (x) and off"
    return Table("combination", title, study.model, tuple(columns), tuple(rows), _notes(study, plan, bool(printed)))


def _untuned(study: Study, plan: Factorial, chosen: Parts) -> bool:
    arm = plan.arm_of.get(chosen)
    return arm is not None and rate_marks.untuned(study, arm)


def _row(
    study: Study, plan: Factorial, setting: Setting, chosen: Parts, printed: dict[tuple[str, Parts], str]
) -> tuple[Entry, ...]:
    arm, named = plan.arm_of.get(chosen), plan.columns[setting]
    marks = [word(ON if part in chosen else OFF) for part in plan.parts]
    last = [word(printed.get((printed_name(setting), chosen), MISSING))] if printed else []
    if arm is None:
        gap = [Entry(ABSENT), *[Entry(MISSING)] * (len(plan.tasks()) + 2)]
        return (word(setting.name), *marks, *gap, *last)
    scores = [_score(study, arm, named.get(task)) for task in plan.tasks()]
    whole = places(study.clean, list(named.values()))
    mean = rate_marks.scored(study, arm, panel=study.clean.at(whole))
    if _untuned(study, plan, chosen):
        mean = replace(mean, text=f"{mean.text} ({rate_marks.UNTUNED})")
    paper = number(estimates.score(study.paper.at(places(study.paper, list(named.values()))), arm), 100)
    return (word(setting.name), *marks, trains(study, arm), *scores, mean, paper, *last)


def _score(study: Study, arm: str, column: str | None) -> Entry:
    if column is None:
        return Entry(MISSING)
    return rate_marks.scored(study, arm, study.clean.tasks.index(column))


def places(panel: Panel, columns: list[str]) -> list[int]:
    """Return the places of these columns in a panel, of those that it has."""
    return [panel.tasks.index(name) for name in columns if name in panel.tasks]


def trains(study: Study, arm: str) -> Entry:
    """Return the trainable parameters as a share of the backbone's."""
    trained = study.trained(arm)
    return Entry(MISSING) if trained is None else Entry(f"{100 * trained[1]:.3g} %", 100 * trained[1])


def published(study: Study) -> dict[tuple[str, Parts], str]:
    """Return (setting, parts that are on) -> the printed mean over tasks, such as "87.4 (0.4)"."""
    means: dict[tuple[str, Parts], str] = {}
    for row in study.published:
        if row.get("task") == "Average" and row.get("combination"):
            chosen = frozenset(part for part in row["combination"].split("+") if row.get(part) == "1")
            spread = f" ({row['std']})" if row.get("std") else ""
            means[row["setting"], chosen] = f"{row['mean']}{spread}"
    return means


def printed_name(setting: Setting) -> str:
    """Return the name of a setting in the published file."""
    return f"{PRINTED[setting.few]}/{'no' if setting.bare else 'manual'}_template"


def _notes(study: Study, plan: Factorial, printed: bool) -> tuple[str, ...]:
    named = (f"{size} on {name.partition(' ')[0]}" for name, size in sorted(plan.sizes.items()))
    sizes = ", ".join(dict.fromkeys(named))  # one task has a column with and one without a template
    absent = [plan.written(chosen) for chosen in plan.combinations() if chosen not in plan.arm_of]
    notes = [
        *common_notes(study),
        "without template: the fields of a row, one after the other, without other words around them",
        "trains: trainable parameters as a share of the backbone's",
        "mean: checkpoint and learning rate chosen on validation; select=paper chooses both on the reported set, as "
        "the paper's code does (optimistic); both over the tasks of the row",
    ]
    notes += [f"few rows: {sizes}"] if sizes else []
    notes += [f"not run: {', '.join(absent)}"] if absent else []
    if printed:
        notes.append(f"published: mean (standard deviation) over the paper's eight tasks, {study.exhibit.source}")
    return (*dict.fromkeys(notes), *rate_marks.notes(study))


def known(study: Study, arm: str, columns: list[str]) -> bool:
    """Return whether an arm has a score in each of these columns."""
    values = study.clean.of(arm)[places(study.clean, columns)]
    return bool(len(values)) and not bool(np.isnan(values).all(axis=1).any())
