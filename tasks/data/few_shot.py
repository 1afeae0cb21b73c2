"""In-context learning: rows of train, with their answers, before the text of every row.

A row's demonstrations become fields of it that the template begins with, so that every objective reads them like any
other text. All rows get the same ones, drawn by seed in proportion to the labels. A row that is one of them gets
another in its place, so that no row is shown its own answer. They come from train alone, never from reported rows.
"""

import random
from dataclasses import replace

from harness.errors import UsageError
from tasks import templates
from tasks.base import Example, Task
from tasks.data import splits as choose

BETWEEN = "\n\n"
FIELD, CLOZE_FIELD = "demonstrations", "cloze_demonstrations"


def check(task: Task, number: int) -> None:
    """Raise UsageError where train has too few rows to show `number` of them to each."""
    if number >= len(task.splits.train):
        raise UsageError(
            f"task.shots={number}: train of {task.name} has {len(task.splits.train)} rows, and no row is an "
            f"example for itself. Choose at most {len(task.splits.train) - 1}."
        )


def put(task: Task, number: int, seed: int) -> Task:
    """Return the task with `number` demonstrations before each row's text; `max_input_tokens` grows with them.

    A text that is longer all the same loses its beginning, not the row's own text.
    """
    if not number:
        return task
    check(task, number)
    shown, _ = choose.carve(task.splits.train, number + 1, seed)
    drawn = random.Random(seed).sample(shown, len(shown))
    splits = task.splits

    def rows(many: tuple[Example, ...]) -> tuple[Example, ...]:
        return tuple(_with(task, row, [example for example in drawn if example is not row][:number]) for row in many)

    return replace(
        task,
        template=f"{{{FIELD}}}{task.template}",
        cloze=f"{{{CLOZE_FIELD}}}{task.cloze}" if task.cloze else "",
        splits=replace(
            splits,
            train=rows(splits.train),
            validation=rows(splits.validation),
            tests={name: rows(many) for name, many in splits.tests.items()},
        ),
        max_input_tokens=(number + 1) * task.max_input_tokens + number * task.max_target_tokens,
        keep="end",
    )


def _with(task: Task, row: Example, shown: list[Example]) -> Example:
    plain = "".join(_answered(task.text(example), task.target(example)) for example in shown)
    fields = {**row.fields, FIELD: plain}
    if task.cloze:
        words = task.cloze_words or task.label_words
        fields[CLOZE_FIELD] = "".join(
            templates.fill(task.cloze, {**example.fields, "mask": words[int(example.label or 0)]}) + BETWEEN
            for example in shown
        )
    return replace(row, fields=fields)


def _answered(text: str, answer: str) -> str:
    return f"{text}{'' if text[-1:].isspace() else ' '}{answer}{BETWEEN}"
