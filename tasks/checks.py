"""What must hold for a task's rows before anything is trained on them, and the digest of what they are."""

import hashlib
import json
from string import Formatter
from typing import Any

from harness.errors import UsageError, near
from tasks import metrics
from tasks.base import ANSWERS, Example, Task


def check(task: Task) -> None:
    """UsageError for an empty split, a label outside the label words, or a template field that rows lack."""
    if task.answer not in ANSWERS:
        raise UsageError(f"task {task.name}: answer {task.answer!r} must be one of {', '.join(ANSWERS)}.")
    if task.metric not in metrics.METRICS:
        raise UsageError(f"task {task.name}: there is no metric {task.metric!r}.{near(task.metric, metrics.METRICS)}")
    for split, rows in task.splits.named().items():
        if not rows:
            raise UsageError(f"task {task.name}: its {split} split is empty; it needs at least one row.")
        for row in rows:
            _label(task, split, row)
        _template(task, split, rows[0])


def _label(task: Task, split: str, row: Example) -> None:
    where = f"task {task.name}, {split} row {row.id}"
    if task.answer == "text":
        if not row.target:
            raise UsageError(f"{where}: it has no target text; a row of a text task needs one.")
        return
    options = task.options(row)
    if not options:
        raise UsageError(f"{where}: it has no answers to choose from; give label words or choices.")
    if not isinstance(row.label, int) or not 0 <= row.label < len(options):
        hidden = " The publisher hides these labels: use another split." if row.label == -1 else ""
        named = ", ".join(f"{i}={word}" for i, word in enumerate(options))
        raise UsageError(f"{where}: label {row.label!r:.30} is outside the label words ({named}).{hidden}")


def _template(task: Task, split: str, row: Example) -> None:
    for _, name, _, _ in Formatter().parse(task.template):
        if name is not None and name not in row.fields:
            hint = near(name, row.fields)
            raise UsageError(f"task {task.name}, {split}: rows lack the template's {{{name}}}.{hint}")


def digest(task: Task) -> str:
    """16 hex digits over the rows of every split in order, the template, the label words and the metric."""
    facts: list[Any] = [task.template, task.label_words, task.metric, task.answer, task.max_target_tokens]
    facts += [task.cloze, task.cloze_words] if task.cloze or task.cloze_words else []
    seen = hashlib.sha256(json.dumps(facts).encode())
    for split, rows in task.splits.named().items():
        seen.update(split.encode())
        for row in rows:
            content = [row.id, dict(row.fields), row.label, row.target, row.choices]
            seen.update(json.dumps([*content, row.references] if row.references else content).encode())
    return seen.hexdigest()[:16]
