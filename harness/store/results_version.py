"""The results version: golden rows of numbers that tiny cells give, and which of them concern a cell. Torch-free.

`golden_results.json` has one row a line, written by `python -m tests.harness.store.golden_rows`. A test computes every
row again and names those whose numbers changed. The rows of a group stand for the numbers of the code behind it: a
method, a family, an objective, a metric, or a field of a recipe or a task that does something. A record keeps a digest
of each row that concerned it, so a row that is added later says nothing about it.
"""

import hashlib
from collections.abc import Iterable, Mapping
from functools import cache
from itertools import chain, combinations, islice
from pathlib import Path
from typing import Any

from harness.config.schema import RecipeConfig, TaskConfig
from harness.files import plain_files

FILE = Path(__file__).with_name("golden_results.json")
SHARED = ("inputs", "training")
"""Groups of rows that concern every cell."""
QUIET: Mapping[str, Mapping[str, Any]] = {
    "recipe": {
        "gradient_clip": 0.0,
        "weight_decay": 0.0,
        "accumulate": 1,
        "gradient_checkpointing": False,
        "precision": "fp32",
        "loss_on": "answer",
        "parallel": "none",
        "warmup_share": 0.0,
        "dropout": 0.0,
        "awake_layers": None,
    },
    "task": {"beams": 1, "shots": 0, "option_score": "sum", "max_input_tokens": None},
}
"""Fields that have a group of rows, with the value at which they do nothing."""
NAMED = ("optimizer", "schedule")
"""Fields of a recipe that have a group of rows for each value."""
DIGITS = 8
"""Hexadecimal digits of the digest of one row: two different rows have the same digest once in four billion pairs."""
MOST_SETS = 1000
"""The number of sets of rows of one group that a digest of a whole group may be of."""


def features(recipe: Mapping[str, Any], task: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the names of the groups of rows that a recipe and a task add: `schedule=linear`, `gradient_clip`.

    A field that is missing is at its declared default.
    """
    declared = {"recipe": vars(RecipeConfig()), "task": vars(TaskConfig(""))}
    given = {"recipe": {**declared["recipe"], **recipe}, "task": {**declared["task"], **task}}
    busy = [name for part, fields in QUIET.items() for name, quiet in fields.items() if given[part][name] != quiet]
    return (*(f"{name}={given['recipe'][name]}" for name in NAMED), *busy)


@cache
def golden() -> Mapping[str, tuple[str, ...]]:
    """Return row name -> its numbers as text. A name is its group, a slash and a variant: `method lora/t5`."""
    read: dict[str, list[str]] = plain_files.read_json(FILE) if FILE.is_file() else {}
    return {name: tuple(digits) for name, digits in read.items()}


def groups_of(method: str, family: str, objective: str, metric: str, fields: tuple[str, ...]) -> tuple[str, ...]:
    """Return the groups that concern such a cell and have rows. metric: "" for all metrics."""
    metrics = [name for name in _groups() if name == f"metric {metric}" or (not metric and name.startswith("metric "))]
    names = [f"method {method}", f"family {family}", f"objective {objective}", *SHARED, *fields, *metrics]
    return tuple(name for name in names if name in _groups())


def rows_of(group: str) -> tuple[str, ...]:
    """Return the names of a group's rows, sorted."""
    return tuple(sorted(_groups().get(group, ())))


def rows_digest(names: Iterable[str]) -> str | None:
    """Return the digest of these rows as they are today, or None where one of them is gone."""
    wanted = tuple(names)
    return _digest(map(_line, wanted)) if wanted and all(name in golden() for name in wanted) else None


def row_digest(name: str) -> str | None:
    """Return the digest of one row as it is today, or None where it is gone."""
    return _digest([_line(name)])[:DIGITS] if name in golden() else None


def text(group: str) -> str:
    """Return the rows of a group with their digests, as a record keeps them: `gpt2=0123abcd, t5=89efcdab`."""
    return ", ".join(f"{name.partition('/')[2]}={row_digest(name)}" for name in rows_of(group))


def digests(group: str, recorded: str) -> Mapping[str, str] | None:
    """Return row name -> digest of a group's rows from the text that a record keeps.

    Records of before this form have one digest of all rows that the group had then. Where that is the digest of rows of
    today, these are returned, and None where a row that it had has changed or is gone.
    """
    if "=" in recorded:
        pairs = (row.rpartition("=") for row in recorded.split(", "))
        return {f"{group}/{name}": digest for name, _, digest in pairs}
    names = _sets(group).get(recorded)
    return {name: str(row_digest(name)) for name in names} if names else None


@cache
def _sets(group: str) -> Mapping[str, tuple[str, ...]]:
    """Return the digest of some rows of a group together -> their names, for all rows and then for fewer and fewer."""
    known = rows_of(group)
    fewer = chain.from_iterable(combinations(known, count) for count in range(len(known), 0, -1))
    return {str(rows_digest(names)): names for names in islice(fewer, MOST_SETS)}


def _line(name: str) -> str:
    return f"{name} {' '.join(golden()[name])}"


def _digest(lines: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest()[:16]


@cache
def _groups() -> Mapping[str, list[str]]:
    """Return group -> the names of its rows."""
    groups: dict[str, list[str]] = {}
    for name in golden():
        groups.setdefault(name.partition("/")[0], []).append(name)
    return groups
