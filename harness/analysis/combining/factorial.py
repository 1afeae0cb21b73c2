"""The arms of an exhibit as on/off combinations of parts, and its columns by what surrounds the rows' text and by how
many rows there are to train on.

A part is a method by itself, or one of the `parts` of a combination; the floor is the combination of none.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from harness.analysis.study import selection
from harness.analysis.study.study import Study
from tasks import prompts

Parts = frozenset[str]


@dataclass(frozen=True, order=True)
class Setting:
    """few: whether training rows were limited. bare: whether no template stands around the fields of a row."""

    few: bool
    bare: bool

    @property
    def rows(self) -> str:
        """Return the words for the training rows."""
        return "few rows" if self.few else "all rows"

    @property
    def name(self) -> str:
        """Return the setting in words."""
        return f"{self.rows}, {'without' if self.bare else 'with'} template"


@dataclass(frozen=True)
class Factorial:
    """parts: their names, in order of appearance. arm_of: the parts that are on -> the arm, of the arms that ran.

    columns: setting -> task's own name -> its column in the study's panels. sizes: column -> training rows, of those
    with few.
    """

    parts: tuple[str, ...]
    arm_of: Mapping[Parts, str]
    columns: Mapping[Setting, Mapping[str, str]]
    sizes: Mapping[str, int]

    def combinations(self) -> list[Parts]:
        """Return every on/off combination, those of fewer parts first."""
        counts = range(len(self.parts) + 1)
        return [frozenset(chosen) for count in counts for chosen in combinations(self.parts, count)]

    def written(self, chosen: Parts) -> str:
        """Return a combination in words, such as "adapter+bitfit"; "nothing" for none."""
        return "+".join(part for part in self.parts if part in chosen) or "nothing"

    def tasks(self) -> list[str]:
        """Return the tasks' own names, each once."""
        return list(dict.fromkeys(task for by_task in self.columns.values() for task in by_task))

    def of_rows(self, few: bool) -> list[str]:
        """Return the columns with few training rows, or with all."""
        return [name for setting, named in self.columns.items() if setting.few == few for name in named.values()]


def of(study: Study) -> Factorial:
    """Return the arms and columns of a study as combinations and settings."""
    by_parts: dict[Parts, str] = {}
    parts: dict[str, None] = {}
    for arm in study.clean.arms:
        own = parts_of(study, arm)
        by_parts.setdefault(frozenset(own), arm)
        parts |= dict.fromkeys(own)
    rows = study.selected[study.selected.role == study.role]
    cells = dict(zip(selection.columns(rows), rows.cell, strict=True))
    settings: dict[Setting, dict[str, str]] = {}
    for column, cell in cells.items():
        settings.setdefault(_setting(cell["task"]), {})[cell["task"]["name"] + column.partition(":")[2]] = column
    limited = {name: cell["task"].get("train_size") for name, cell in cells.items()}
    sizes = {name: int(size) for name, size in limited.items() if size is not None}
    return Factorial(tuple(sorted(parts)), by_parts, dict(sorted(settings.items())), sizes)


def parts_of(study: Study, arm: str) -> tuple[str, ...]:
    """Return the names of the methods that an arm has together; () for the floor."""
    if study.method_of[arm] == study.exhibit.floor:
        return ()
    listed = study.field(arm, "parts")
    return tuple(str(part).partition(" ")[0] for part in listed) if listed else (study.method_of[arm],)


def _setting(task: Mapping[str, Any]) -> Setting:
    return Setting(few=task.get("train_size") is not None, bare=prompts.is_bare(task))
