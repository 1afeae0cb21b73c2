"""The results version: golden rows of numbers that tiny cells give, and which of them concern a cell. Torch-free.

`golden_results.json` has one row a line, written by `python -m tests.harness.store.golden_rows`. A test computes every
row again and names those whose numbers changed. The digest of the rows of a group stands for the numbers of the code
behind it: a method, a family, an objective, a metric, or a field of a recipe or a task that does something.
"""

import hashlib
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from harness import atomic_files
from harness.config.schema import RecipeConfig, TaskConfig

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
    },
    "task": {"beams": 1, "shots": 0, "option_score": "sum", "max_input_tokens": None},
}
"""Fields that have a group of rows, with the value at which they do nothing."""
NAMED = ("optimizer", "schedule")
"""Fields of a recipe that have a group of rows for each value."""


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
    """Row name -> its numbers as text. A name is its group, a slash and what the row is of: `method lora/t5`."""
    read: dict[str, list[str]] = atomic_files.read_json(FILE) if FILE.is_file() else {}
    return {name: tuple(digits) for name, digits in read.items()}


def groups_of(method: str, family: str, objective: str, metric: str, fields: tuple[str, ...]) -> dict[str, str]:
    """Return group -> digest for the groups that concern such a cell and have rows. metric: "" for all metrics."""
    metrics = [name for name in _groups() if name == f"metric {metric}" or (not metric and name.startswith("metric "))]
    names = [f"method {method}", f"family {family}", f"objective {objective}", *SHARED, *fields, *metrics]
    return {name: digest for name in names if (digest := group_digest(name))}


def group_digest(group: str) -> str | None:
    """Return the digest of a group's rows, or None where it has none."""
    lines = _groups().get(group)
    return _digest(lines) if lines else None


def rows_of(group: str) -> tuple[str, ...]:
    """Return the names of a group's rows, sorted."""
    return tuple(sorted(name for name in golden() if name.partition("/")[0] == group))


def rows_digest(names: Iterable[str]) -> str | None:
    """Return the digest of these rows as they are today, or None where one of them is gone."""
    rows = {name: golden().get(name) for name in names}
    lines = [f"{name} {' '.join(digits)}" for name, digits in rows.items() if digits is not None]
    return _digest(lines) if lines and len(lines) == len(rows) else None


def _digest(lines: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest()[:16]


@cache
def _groups() -> Mapping[str, list[str]]:
    """Group -> its rows as lines."""
    groups: dict[str, list[str]] = {}
    for name, digits in golden().items():
        groups.setdefault(name.partition("/")[0], []).append(f"{name} {' '.join(digits)}")
    return groups
