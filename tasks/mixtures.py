"""Several tasks as one, for a model that is tuned on all of them together: their rows mixed, and a test set for each.

A row has the text and the options of its own task, so every part is a task with label words or choices that are scored
by likelihood. Train and validation have all rows of the parts, in an order by `split_seed`. A test set has the name of
its task and its rows, so that a score on it stands beside that of a model tuned on this task alone.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from random import Random

from harness.config.schema import TaskConfig
from harness.errors import UsageError
from tasks import glue
from tasks.base import Example, Splits, Task, TaskRow
from tasks.data import data_root


def _part(name: str, row: TaskRow, config: TaskConfig) -> Splits:
    """Return a part's splits, whose rows have their own text as the field `text`, and their options."""
    own = replace(config, name=name)
    splits = row.load(replace(own, data_dir=data_root.place(row, own)))
    if len(splits.tests) != 1:
        raise UsageError(f"task {config.name}: its part {name} has {len(splits.tests)} test sets; it must have one.")
    task = Task(name, row.category, row.template, row.metric, splits, row.label_words, row.answer)
    given = {split: tuple(_asked(task, example) for example in rows) for split, rows in splits.named().items()}
    return Splits(given["train"], given["validation"], {name: given[next(iter(splits.tests))]})


def _asked(task: Task, row: Example) -> Example:
    return replace(row, id=f"{task.name}-{row.id}", fields={"text": task.text(row)}, choices=task.options(row))


def _load(parts: Mapping[str, TaskRow], config: TaskConfig) -> Splits:
    """Return the mixed splits of the parts."""
    if config.files or config.columns:
        raise UsageError(f"task.{'files' if config.files else 'columns'}: {config.name} has the rows of other tasks.")
    each = [_part(name, row, config) for name, row in parts.items()]
    draw = Random(f"joint {config.split_seed}")
    train, validation = ([row for splits in each for row in splits.named()[split]] for split in ("train", "validation"))
    tests = {name: rows for splits in each for name, rows in splits.tests.items()}
    return Splits(tuple(draw.sample(train, len(train))), tuple(draw.sample(validation, len(validation))), tests)


def row(suite: Mapping[str, TaskRow], names: Sequence[str]) -> TaskRow:
    """Return the task of these tasks of a suite. Raise ValueError for one that is no choice or has another metric."""
    parts = {name: suite[name] for name in names}
    for name, part in parts.items():
        if part.answer == "text" or part.metric != "accuracy":
            raise ValueError(f"{name} cannot be a part: its answers are {part.answer}s, scored by {part.metric}")
    every = list(parts.values())
    known = {part.verified for part in every}
    return TaskRow(
        category="several", template="{text}", metric="accuracy", load=partial(_load, parts), answer="choice",
        chance=sum(part.chance or 1 / len(part.label_words) for part in every) / len(every),
        max_input_tokens=max(part.max_input_tokens for part in every),
        max_target_tokens=max(part.max_target_tokens for part in every),
        source=every[0].source, generated=all(part.generated for part in every),
        verified=known.pop() if len(known) == 1 else "unverified",
        notes={"parts": ", ".join(names)},
    )  # fmt: skip


TASKS = {"joint/glue": row(glue.TASKS, ("glue/sst2", "glue/qnli", "glue/rte"))}
