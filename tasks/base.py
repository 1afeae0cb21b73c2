"""What a task is: examples in splits, label words, a template and a metric. Torch-free."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from harness.config.schema import TaskConfig
from tasks import templates

ANSWERS = ("label", "choice", "text")
OWN_FILES = "own files"
"""The source of a task that a command line describes."""
NUMBERS = ("pearson", "spearman")
"""Metrics of texts that are numbers."""


@dataclass(frozen=True)
class Example:
    """One row.

    fields: the raw text fields; a template turns them into an objective's text.
    label: class index (int), score (float) or None for free text.
    target: the text to produce; None where it follows from `label` and the task's label words.
    choices: answer options of this row, scored by likelihood; empty where the task's label words serve.
    references: texts that all count as right where that is not `target` alone.
    """

    id: str
    fields: Mapping[str, str]
    label: int | float | None = None
    target: str | None = None
    choices: tuple[str, ...] = ()
    references: tuple[str, ...] = ()

    @property
    def place(self) -> str:
        """Return what a person calls the row: "train row 3", counted from 1, where its id is its split and its place
        there, as in a file; else "row ID".
        """
        counted = re.fullmatch(r"((?:train|valid|dev|test)\w*)-([0-9]+)", self.id)
        return f"{counted[1]} row {int(counted[2]) + 1}" if counted else f"row {self.id}"


@dataclass(frozen=True)
class Splits:
    """train and validation are for learning and choosing; `tests` (name -> rows) is only ever reported."""

    train: tuple[Example, ...]
    validation: tuple[Example, ...]
    tests: Mapping[str, tuple[Example, ...]]

    def named(self) -> dict[str, tuple[Example, ...]]:
        """Return every split by name, train and validation first."""
        return {"train": self.train, "validation": self.validation, **self.tests}


@dataclass(frozen=True)
class Task:
    """A named set of examples, ready for an objective.

    template: format string over `Example.fields`, e.g. "premise : {premise} hypothesis : {hypothesis}".
    label_words: one word per class index; () for free text or per-row choices.
    metric: the name in tasks/metrics/label_metrics.py of the figure that is reported and (on validation) selects.
    answer: "label" (scored by the label words' likelihood or the head), "choice" (by the likelihood of the
        row's own choices) or "text" (by generation).
    chance: the score of guessing, in the metric's unit (0 to 1).
    cloze: the template for a masked encoder, with {mask} where the answer's word goes; "" for none of its own.
    cloze_words: its label words where they are not `label_words`.
    keep: of a text that is too long, its "start" or its "end".
    """

    name: str
    category: str
    template: str
    metric: str
    splits: Splits
    label_words: tuple[str, ...] = ()
    answer: str = "label"
    chance: float = 0.0
    max_input_tokens: int = 128
    max_target_tokens: int = 8
    source: str = ""
    notes: Mapping[str, str] = field(default_factory=dict)
    cloze: str = ""
    cloze_words: tuple[str, ...] = ()
    keep: str = "start"

    @property
    def kind(self) -> str:
        """Return what an objective has to give: the kind of answer, or "number" for texts that are numbers."""
        return answer_kind(self.answer, self.metric)

    def text(self, example: Example) -> str:
        """Return the input text of one row."""
        return templates.fill(self.template, example.fields)

    def options(self, example: Example) -> tuple[str, ...]:
        """Return the answers to choose from: the row's own choices, else the label words."""
        return example.choices or self.label_words

    def target(self, example: Example) -> str:
        """Return the text to produce for one row."""
        if example.target is not None:
            return example.target
        return self.options(example)[int(example.label or 0)]


@dataclass(frozen=True)
class TaskRow:
    """A task before its data are read: one row of a suite's table `TASKS`, which maps task name -> row.

    load: reads or generates the splits of a configuration (its data_dir, split_seed and validation_size);
        sizes are cut afterwards, in `tasks.load`. Everything else is as in `Task`.
    folder: its folder's name where real rows lie together (the data root). files: what it must hold, each as the
        names that will do.
    size: the publisher's rows by split, in words.
    verified: how the schema is known: "rows" (a test reads real ones), "docs" (the publisher's documentation),
        "unverified", or "" for generated rows.
    generated: whether the rows follow from the sources of this package and the configuration alone, so that their
        digest may be remembered between commands.
    """

    category: str
    template: str
    metric: str
    load: Callable[[TaskConfig], Splits]
    label_words: tuple[str, ...] = ()
    answer: str = "label"
    chance: float = 0.0
    max_input_tokens: int = 128
    max_target_tokens: int = 8
    source: str = ""
    notes: Mapping[str, str] = field(default_factory=dict)
    cloze: str = ""
    cloze_words: tuple[str, ...] = ()
    folder: str = ""
    files: tuple[tuple[str, ...], ...] = ()
    size: str = ""
    verified: str = ""
    generated: bool = False

    @property
    def kind(self) -> str:
        """Return the same as `Task.kind`."""
        return answer_kind(self.answer, self.metric)

    @property
    def classes(self) -> int:
        """Return the number of classes that a classifier's head distinguishes; 0 where the answers are no classes."""
        return len(self.label_words) if self.answer == "label" else 0


def answer_kind(answer: str, metric: str) -> str:
    """Return the kind of answer, with "number" for texts that a metric reads as numbers."""
    return "number" if answer == "text" and metric in NUMBERS else answer
