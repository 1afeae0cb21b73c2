"""Rows from local files with the fields and types that a task declares. Errors name the file, the row and the field."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.errors import UsageError, shown
from tasks.data import file_formats, nested_fields
from tasks.metrics import written_numbers

Schema = Mapping[str, Any]
"""Field -> str, int or float; list (of texts), dict or object (anything) where a task reads it itself."""
Row = dict[str, Any]


def read(path: Path, schema: Schema, columns: Mapping[str, str] | None = None) -> list[Row]:
    """Return the rows of a file with the schema's fields in the schema's types; other fields are dropped.

    columns: field -> the file's name for it, where that differs. Raise UsageError for a file that is not what its name
    says, a row without a field, or a value of another type.
    """
    rows = list(_typed_rows(path, schema, columns))
    if not rows:
        raise UsageError(f"{path}: it has no rows; a split needs at least one.")
    return rows


def read_all(paths: Sequence[Path], schema: Schema, columns: Mapping[str, str] | None = None) -> list[Row]:
    """Return the rows of a split's files, one after the other; of several files one may be empty."""
    rows = [row for path in paths for row in _typed_rows(path, schema, columns)]
    return rows or read(paths[0], schema, columns)


def _typed_rows(path: Path, schema: Schema, columns: Mapping[str, str] | None) -> Iterator[Row]:
    """Yield row by row, so that columns that a task does not read never fill the memory."""
    names = [(columns or {}).get(field, field) for field in schema]
    form, number = file_formats.kind(path), 0
    try:
        for number, row in enumerate(file_formats.rows(path, names), start=1):
            if number == 1:
                file_formats.check_separator(row, names, path)
            yield typed(row, schema, f"{path.name} row {number}", columns)
    except UnicodeDecodeError as error:
        where = file_formats.not_utf8(path)
        raise UsageError(f"{path}: this is not a readable {form} file: {where}. Save it as UTF-8.") from error
    except file_formats.BROKEN as error:
        near_row = f", after row {number}" if number else ""
        hint = " A csv file has commas between its columns." if form == "csv" else ""
        raise UsageError(f"{path}: this is not a readable {form} file{near_row} ({error}).{hint}") from error


def typed(row: Any, schema: Schema, where: str, columns: Mapping[str, str] | None = None) -> Row:
    """Return one row with the schema's fields. `where` names the row in errors, e.g. "train.jsonl row 3"."""
    if not isinstance(row, dict):
        raise UsageError(f"{where}: expected an object with the fields {', '.join(schema)}, got {shown(row)}.")
    named = columns or {}
    return {field: _value(row, named.get(field, field), kind, where) for field, kind in schema.items()}


def _value(row: Row, field: str, kind: Any, where: str) -> Any:
    value = nested_fields.find(row, field)
    if value is None:
        raise nested_fields.lacking(row, field, where)
    if kind is object:
        return value
    wanted = _WORDS[kind]
    if kind is ANSWER:
        value, kind = str(value) if type(value) in (int, float) else value, str
    if kind in (list, dict):
        return _nested(value, kind, field, where)
    if type(value) is kind and kind is not float:
        if isinstance(value, str) and not _is_unicode(value):
            raise UsageError(f"{where}: the field {field!r} holds half of a surrogate pair, which no text may.")
        return value
    number = written_numbers.finite(value) if kind in (int, float) else None
    # "1" and 1.0 are the int 1; 1.5 and True are not, inf is no score, and a number is not a text.
    if number is None or kind(number) != number:
        raise UsageError(f"{where}: the field {field!r} is {shown(value)}, expected {wanted}.")
    exact = isinstance(value, str) and value.strip().lstrip("+-").isdecimal()  # a float has no room for a large one
    return kind(value) if exact else kind(number)


def _nested(value: Any, kind: type, field: str, where: str) -> Any:
    """Return a list or an object; in a CSV it is written as JSON."""
    if isinstance(value, str) and value[:1] in "[{":
        try:
            value = file_formats.parsed(value)
        except json.JSONDecodeError:
            pass
        except ValueError as error:
            raise UsageError(f"{where}: the field {field!r}: {error}.") from error
    if not isinstance(value, kind):
        raise UsageError(f"{where}: the field {field!r} is {shown(value)}, expected {_WORDS[kind]}.")
    return value


def _is_unicode(text: str) -> bool:
    """Return whether a text has no half characters ("\\ud800" in JSON), which no tokenizer takes."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


ANSWER = str | int | float
"""The type of a column with answers: a text, or a number, which is read as the text that a CSV would have."""
_WORDS = {
    ANSWER: "a text or a number",
    str: "a text",
    int: "a whole number",
    float: "a finite number",
    list: "a list",
    dict: "an object",
}
