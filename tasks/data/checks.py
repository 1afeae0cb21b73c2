"""What must hold for a task's rows before anything is trained on them, and the digest of what they are."""

import hashlib
import json
import re
from collections.abc import Sequence
from string import Formatter

from harness.errors import UsageError, near, shown
from tasks.base import ANSWERS, OWN_FILES, Example, Task
from tasks.metrics import bleu, label_metrics, text_metrics, written_numbers

TEXTS = {function.__name__ for function in (
    text_metrics.exact_match, text_metrics.token_f1, text_metrics.text_accuracy, text_metrics.rouge_l,
    bleu.bleu, text_metrics.extracted_accuracy, text_metrics.number_accuracy,
)}  # fmt: skip
LABELS = {"f1", "option_likelihood"}
TRIED_ROWS = 100  # of each split, on which a text metric is tried before anything is trained


def check(task: Task) -> None:
    """Raise UsageError for an empty split, a label outside the label words, or a template field that rows lack."""
    if task.answer not in ANSWERS:
        raise UsageError(f"task {task.name}: answer {task.answer!r} must be one of {', '.join(ANSWERS)}.")
    if task.metric not in label_metrics.METRICS:
        raise UsageError(
            f"task {task.name}: there is no metric {task.metric!r}.{near(task.metric, label_metrics.METRICS)}"
        )
    unfit = TEXTS if task.answer != "text" else LABELS
    if task.metric in unfit:
        kind = "texts, and this task's answers are labels" if unfit is TEXTS else "labels, and this task's are texts"
        raise UsageError(f"task {task.name}: the metric {task.metric} is of {kind}.")
    for split, rows in task.splits.named().items():
        if not rows:
            raise UsageError(
                f"task {task.name}: its {split} split is empty; it needs at least one row. A split without a file is "
                "taken from train, which then needs more rows."
            )
        for row in rows:
            _label(task, split, row)
        _template(task, split, rows[0])
        if task.answer == "text":
            _scorable(task, split, rows[:TRIED_ROWS])
        if task.kind == "number" and split != "train":
            _varied(task, split, rows)


def _varied(task: Task, split: str, rows: Sequence[Example]) -> None:
    """Raise UsageError where all answers are one number: no correlation with it is defined, and 0 would not be true."""
    numbers = {written_numbers.finite(row.target or "") for row in rows}
    if len(numbers) == 1:
        raise UsageError(
            f"task {task.name}: every answer of its {split} split ({len(rows)} rows) is {shown(rows[0].target)}, and "
            f"{task.metric} correlates answers that differ. Take other rows, or more of them."
        )


def _where(task: Task, split: str, row: Example) -> str:
    """Return a row in words: by its place in the file, and by its split where that is carved from another one."""
    other = "" if row.place.startswith(f"{split} ") else f", in the {split} split"
    return f"task {task.name}, {row.place}{other}"


def _label(task: Task, split: str, row: Example) -> None:
    where = _where(task, split, row)
    if task.answer == "text":
        if not row.target:
            raise UsageError(f"{where}: it has no target text; a row of a text task needs one.")
        if task.kind == "number" and written_numbers.finite(row.target) is None:
            raise UsageError(
                f"{where}: its answer {shown(row.target)} is no finite number, and {task.metric} correlates numbers. "
                "Correct the row, or take a metric of texts such as exact_match."
            )
        return
    options = task.options(row)
    if not options:
        raise UsageError(f"{where}: it has no answers to choose from; give label words or choices.")
    if not isinstance(row.label, int) or not 0 <= row.label < len(options):
        answers = "options" if row.choices else "label words"
        listed = f"Where labels have other values, task.labels=[…] lists them in the order of the {answers}."
        hidden = row.label == -1 and task.source != OWN_FILES
        advice = "The publisher hides these labels: use another split." if hidden else listed
        named = ", ".join(f"{i}={word}" for i, word in enumerate(options))
        raise UsageError(f"{where}: label {shown(row.label, 30)} is outside the {answers} ({named}). {advice}")


def _scorable(task: Task, split: str, rows: Sequence[Example]) -> None:
    """Raise UsageError where the metric cannot read the right answers."""
    for row in rows:
        target = task.target(row)
        try:
            label_metrics.METRICS[task.metric]([list(row.references) or target], [target])
        except ValueError as error:
            raise UsageError(f"{_where(task, split, row)}: {task.metric} cannot score it: {error}.") from error


def _template(task: Task, split: str, row: Example) -> None:
    """Raise UsageError where the template names no column of the row, or cannot be filled with it."""
    for _, name, form, _ in Formatter().parse(task.template):
        if name is not None and name not in row.fields:
            hint = near(name, row.fields)
            raise UsageError(f"task {task.name}, {split}: rows lack the template's {{{name}}}.{hint}")
        if form and ("{" in form or any(len(digits) > 4 for digits in re.findall(r"\d+", form))):
            raise UsageError(
                f"task {task.name}: the template's {{{name}:{form}}} is no plain format. Write {{{name}}}."
            )
    try:
        task.text(row)
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise UsageError(
            f"task {task.name}, {split}: the template {shown(task.template)} cannot be filled ({error}). "
            "A column is a text: write {column}."
        ) from error


def digest(task: Task, prompt: Sequence[str] = ()) -> str:
    """Return 16 hex digits over the rows of every split in order, the template, the label words and the metric.

    prompt: further texts that decide what a model reads.
    """
    facts = [task.template, task.label_words, task.metric, task.answer, task.max_target_tokens, *prompt]
    seen = hashlib.sha256(json.dumps(facts).encode())
    for split, rows in task.splits.named().items():
        seen.update(split.encode())
        for row in rows:
            content = [row.id, dict(row.fields), row.label, row.target, row.choices]
            seen.update(json.dumps([*content, row.references] if row.references else content).encode())
    return seen.hexdigest()[:16]
