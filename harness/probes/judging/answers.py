"""A finished cell's answers: the predictions that its attempt saved, with the questions. Torch is not imported."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from harness.config.schema import Cell
from harness.errors import NotApplicable, UsageError
from harness.files import plain_files
from harness.store.attempt_folder import PREDICTIONS as FILE
from harness.store.attempt_folder import AttemptFolder
from tasks import registry as tasks

_FIELDS = ("checkpoint", "set", "id", "prediction", "target")
REPORTED = "best"
"""The checkpoint whose answers count."""


@dataclass(frozen=True)
class Answer:
    """One row's answer. set: a reported set. references: the texts that count as right."""

    set: str
    id: str
    text: str
    references: tuple[str, ...]


@dataclass(frozen=True)
class StoredAnswers:
    """A finished cell with the folder of the attempt that counts."""

    key: str
    cell: Cell
    folder: AttemptFolder
    tests: tuple[str, ...]

    @cached_property
    def answers(self) -> dict[str, list[Answer]]:
        """Return set -> its rows in order.

        Raises NotApplicable where the answers are no texts, and UsageError where none were saved.
        """
        sets: dict[str, list[Answer]] = {}
        for row in self._lines():
            if row["checkpoint"] == REPORTED and row["set"] in self.tests:
                sets.setdefault(row["set"], []).append(self._answer(row))
        if not sets:
            raise UsageError(f"{FILE} of cell {self.key[:12]} has no answers on {', '.join(self.tests)}.")
        return sets

    @cached_property
    def questions(self) -> dict[tuple[str, str], str]:
        """Return (set, id) -> the row's input text, as its task writes it."""
        task = tasks.load(self.cell.task)
        return {(name, row.id): task.text(row) for name in self.tests for row in task.splits.tests.get(name, ())}

    def _answer(self, row: Mapping[str, Any]) -> Answer:
        if not isinstance(row["prediction"], str):
            raise NotApplicable(f"task {self.cell.task.name} is not answered by texts that could be read.")
        target = row["target"]
        several = tuple(map(str, target)) if isinstance(target, list) else (str(target),)
        return Answer(row["set"], str(row["id"]), row["prediction"], several)

    def _lines(self) -> Iterator[dict[str, Any]]:
        path = self.folder.path / FILE
        try:
            for row in plain_files.read_packed(path):
                if not all(name in row for name in _FIELDS):
                    raise ValueError(f"a line of it lacks one of {', '.join(_FIELDS)}")
                yield row
        except (OSError, ValueError) as error:
            raise UsageError(
                f"{path} cannot be read ({error}): run the cell again with rerun=done to have its answers."
            ) from None
