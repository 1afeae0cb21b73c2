"""Tasks: `base.py` is their contract, one suite per file, `microworld/` is the embedded default. Torch-free.

A suite is a module with `TASKS: Mapping[str, TaskRow]`: a file here, `tasks.py` in a folder here, or a module
that an installed package names under the entry-point group `deltabench.tasks`.
"""

import importlib
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import cache, lru_cache
from importlib.metadata import entry_points
from pathlib import Path

from harness.config import TaskConfig
from harness.errors import UsageError, near
from tasks import checks, choose
from tasks.base import Task, TaskRow

ENTRY_POINTS = "deltabench.tasks"


@cache
def catalogue() -> Mapping[str, TaskRow]:
    """Every task by name. UsageError where two suites claim one name."""
    rows: dict[str, TaskRow] = {}
    for module in _suites():
        for name, row in importlib.import_module(module).TASKS.items():
            if name in rows:
                raise UsageError(f"two suites claim the task {name!r}; the second is {module}. Rename one of them.")
            rows[name] = row
    return dict(sorted(rows.items()))


def find(name: str) -> TaskRow:
    """The row of one task. UsageError, with near names, when there is none."""
    if name not in catalogue():
        raise UsageError(f"there is no task {name!r}.{near(name, catalogue())}")
    return catalogue()[name]


def load(config: TaskConfig) -> Task:
    """The task with its data, cut to the configured sizes and checked.

    UsageError for data that break a rule, and for data that are not those of `config.digest` (if it has one).
    """
    task, digest = _read(replace(config, digest=""))
    if config.digest and config.digest != digest:
        raise UsageError(
            f"task {config.name}: its data changed since this cell was planned (digest {config.digest}, "
            f"now {digest}). Run the command again to plan with the data as they are now."
        )
    return task


def resolve(config: TaskConfig) -> TaskConfig:
    """The configuration with `digest` filled: what the rows, the template and the label words are."""
    return replace(config, digest=_read(replace(config, digest=""))[1])


@lru_cache(maxsize=64)
def _read(config: TaskConfig) -> tuple[Task, str]:
    row = find(config.name)
    splits = choose.limit(row.load(config), config)
    task = Task(
        name=config.name, category=row.category, template=row.template, metric=row.metric, splits=splits,
        label_words=row.label_words, answer=row.answer, chance=row.chance,
        max_input_tokens=config.max_input_tokens or row.max_input_tokens,
        max_target_tokens=row.max_target_tokens, source=row.source, notes=row.notes,
    )  # fmt: skip
    checks.check(task)
    return task, checks.digest(task)


def _suites() -> Iterator[str]:
    folder = Path(__file__).parent
    for path in sorted([*folder.glob("*.py"), *folder.glob("*/tasks.py")]):
        if path.name != "__init__.py" and "\nTASKS" in path.read_text(encoding="utf-8"):
            yield ".".join([__name__, *path.relative_to(folder).with_suffix("").parts])
    for point in entry_points(group=ENTRY_POINTS):
        yield point.value
