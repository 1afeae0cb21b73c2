"""From a raw row of a data set to an Example: which columns are texts, label, target, options."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from harness.config.schema import TaskConfig
from harness.errors import UsageError, shown
from tasks.base import Example
from tasks.data.file_formats import ClassIndex
from tasks.data.row_files import ANSWER, Row, Schema
from tasks.metrics import written_numbers

HIDDEN = -1  # the label of a row whose answer the publisher keeps, or that has none


@dataclass(frozen=True)
class Reader:
    """How the rows of a data set are laid out, and how they become examples.

    texts: columns that become `Example.fields`. label: the column with the class (or the right option): its index, or
    one of `names`, in the order of the indices. score: the column with a number, where that takes a label's place.
    target: the column with the text to produce. references: a column with a list of texts that all count as right.
    choices: the columns with the options, or one column that lists them. make: where the columns are not in the raw
    row: (raw row -> row); `raw` is then the raw row's schema. relabel: whether task.labels may name the labels anew.
    """

    texts: tuple[str, ...]
    label: str = ""
    names: tuple[str, ...] = ()
    score: str = ""
    target: str = ""
    references: str = ""
    choices: tuple[str, ...] = ()
    make: Callable[[Row], Row] | None = None
    raw: Mapping[str, Any] = field(default_factory=dict)
    relabel: bool = False

    @property
    def schema(self) -> Schema:
        """Return column -> type of the raw rows."""
        if self.make is not None:
            return self.raw
        lists = self.choices if len(self.choices) == 1 else ()
        return {
            **dict.fromkeys(self.texts, str),
            **{name: object for name in (self.label,) if name},
            **{name: ANSWER for name in (self.target,) if name},
            **{name: list for name in (self.references, *lists) if name},
            **{name: str for name in self.choices if not lists},
        }

    def check(self, config: TaskConfig, also: tuple[str, ...] = ()) -> None:
        """Raise UsageError for a name in task.columns that is no field of these rows (or one of `also`).

        Raise it too for an input that is read from the column of the answer, which it would reveal.
        """
        columns = dict(pair.split("=", 1) for pair in config.columns or ())
        known = dict.fromkeys([*self.schema, *also])
        for name, column in columns.items():
            if name not in known:
                texts = config.template and not config.label_words
                advice = " Labels are read where task.label_words names a word for each." if texts else ""
                raise UsageError(
                    f"task.columns={{{name}: {column}}}: {name} is no field of task {config.name}, which reads "
                    f"{', '.join(known)}.{advice if name == 'label' else ''}"
                )
        place = {name: columns.get(name, name) for name in self.schema}
        answers = {place[name] for name in (self.label, self.score, self.target, self.references) if name in place}
        inputs = self.texts if self.make is None else ()
        if leaked := next((name for name in inputs if place[name] in answers), None):
            raise UsageError(
                f"task {config.name}: its input {{{leaked}}} is the column {place[leaked]!r}, which holds the answer. "
                "Name other columns in task.template and task.columns."
            )
        if self.make is not None and len(set(place.values())) < len(place):
            raise UsageError(f"task.columns: two fields of task {config.name} are read from one column; name another.")

    def example(self, row_id: str, raw: Row, where: str) -> Example:
        """Return the example of one row that has the schema. Raise UsageError, with the row, for a value that is no
        label or no text.
        """
        row = self._made(raw, where)
        label: int | float | None = self._index(row[self.label], where) if self.label else None
        label = float(row[self.score]) if self.score else label
        return Example(
            id=row_id,
            fields={text: row[text] for text in self.texts},
            label=label,
            target=row[self.target] if self.target else None,
            choices=self._texts(row, self.choices, where),
            references=self._texts(row, (self.references,) if self.references else (), where),
        )

    def _made(self, raw: Row, where: str) -> Row:
        if self.make is None:
            return raw
        try:
            return self.make(raw)
        except (KeyError, IndexError, ValueError, TypeError, AttributeError) as error:
            what = f"{type(error).__name__}: {error}"
            raise UsageError(f"{where}: it is not a row of this data set ({what:.120}).") from error

    def _index(self, value: Any, where: str) -> int:
        """Return the class index of a label. Raise UsageError, which says how a file's own labels are named."""
        try:
            return index(value, self.names, self.label, where)
        except UsageError as error:
            if not self.relabel:
                raise
            two = str(value).strip().casefold() in ("true", "false") and len(self.names) == 2
            own = "[false,true] says which is which" if two else "[…] lists them in the order of the answers"
            raise UsageError(
                f"{error} Where the labels have other names, task.labels={own}; leave rows without a label out."
            ) from error

    def _texts(self, row: Row, columns: tuple[str, ...], where: str) -> tuple[str, ...]:
        listed = isinstance(row[columns[0]], list) if columns else False
        texts = row[columns[0]] if listed else [row[column] for column in columns]
        for text in texts:
            if not isinstance(text, str):
                raise UsageError(f"{where}: the field {columns[0]!r} holds {shown(text, 40)}, expected texts.")
        return tuple(texts)


def index(value: Any, names: tuple[str, ...], column: str, where: str) -> int:
    """Return the class index of a label.

    It is the place of one of `names` (case does not matter), or the index itself, as a number or a text. A name that is
    a number is that number: -1, "-1" and -1.0 are the class -1. Where such a name stands elsewhere than at its own
    place ("1", "2" or "-1", "1"), indices are not accepted. HIDDEN, unless it is a name, and numbers out of range are
    passed on: `checks` knows the task's words.
    """
    if isinstance(value, ClassIndex) and (place := _place(value, names, column, where)) is not None:
        return place
    if value is not None:
        text = str(value).strip()
        if text in names:
            return names.index(text)
        folded = [name.casefold() for name in names]
        if folded.count(text.casefold()) == 1:
            return folded.index(text.casefold())
        number, numbers = _whole(value), _numbers(names)
        if number is not None and number in numbers:
            return numbers.index(number)
        taken = any(number is not None and number != place for place, number in enumerate(numbers))
        if number is not None and (not taken or number == HIDDEN):
            return number
    known = f"one of {', '.join(names)}" if names else "a whole number"
    raise UsageError(f"{where}: the field {column!r} is {shown(value)}, expected {known}.")


def _place(value: ClassIndex, names: tuple[str, ...], column: str, where: str) -> int | None:
    """Return the place among `names` of a class that its file names, too; None where the index alone counts.

    It does where `names` are words that stand for the file's names, and where those that both have stand at the same
    places. Raise UsageError where both have some of them, in another order.
    """
    folded, own = [name.casefold() for name in names], [name.casefold() for name in value.names]
    moved = [name for name in own if name in folded and folded.index(name) != own.index(name)]
    if not moved or not 0 <= value < len(own):
        return None
    if not set(own) <= set(folded):
        raise UsageError(
            f"{where}: the classes of the field {column!r} are {', '.join(value.names)} in the file and "
            f"{', '.join(names)} in the task. Give all of the file's names, or none of them."
        )
    return folded.index(own[value])


@lru_cache(maxsize=64)
def _numbers(names: tuple[str, ...]) -> tuple[int | None, ...]:
    """Return the whole number that each name is, as `_whole`."""
    return tuple(map(_whole, names))


def _whole(value: Any) -> int | None:
    """Return the whole number of 1, 1.0, "1" or "1.0"; None for True and 1.5."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int) or (isinstance(value, str) and re.fullmatch(r"\s*[-+]?[0-9]{1,4000}\s*", value)):
        return int(value)  # a float has no room for a large one
    number = written_numbers.finite(value)
    return int(number) if number is not None and number.is_integer() else None
