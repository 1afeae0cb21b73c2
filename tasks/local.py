"""Rows from local files: JSON, JSON lines, CSV (also .gz), Parquet. Errors name file, row and field."""

import csv
import gzip
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

from harness.errors import UsageError, near

SUFFIXES = (".jsonl", ".jsonl.gz", ".json", ".json.gz", ".csv", ".csv.gz", ".parquet")
Schema = Mapping[str, type]
Row = dict[str, Any]


def find(folder: Path, split: str) -> Path:
    """The one file of a split, `<split><suffix>`. UsageError where there is none, or more than one."""
    if not folder.is_dir():
        raise UsageError(f"task.data_dir={folder}: no such folder; it must hold {split}.jsonl or the like.")
    found = [path for suffix in SUFFIXES if (path := folder / f"{split}{suffix}").is_file()]
    if not found:
        there = ", ".join(sorted(path.name for path in folder.iterdir())[:8]) or "nothing"
        raise UsageError(
            f"task.data_dir={folder}: no file for the {split} split; it may be {split} with one of "
            f"{', '.join(SUFFIXES)}. The folder holds: {there}."
        )
    if len(found) > 1:
        names = " and ".join(path.name for path in found)
        raise UsageError(f"task.data_dir={folder}: {names} both claim the {split} split. Keep one.")
    return found[0]


def read(path: Path, schema: Schema) -> list[Row]:
    """The rows of a file with the schema's fields in the schema's types; other fields are dropped.

    schema: field -> str, int or float. UsageError for a file that is not what its name says, a row without a
    field, a value of another type.
    """
    try:
        raw = list(_rows(path))
    except (OSError, EOFError, UnicodeDecodeError, csv.Error, ValueError, RecursionError) as error:
        raise UsageError(f"{path}: this is not a readable {_kind(path)} file ({error}).") from error
    if not raw:
        raise UsageError(f"{path}: it has no rows; a split needs at least one.")
    return [typed(row, schema, f"{path.name} row {number}") for number, row in enumerate(raw, start=1)]


def typed(row: Any, schema: Schema, where: str) -> Row:
    """One row with the schema's fields. `where` names the row in errors, e.g. "train.jsonl row 3"."""
    if not isinstance(row, dict):
        raise UsageError(f"{where}: expected an object with the fields {', '.join(schema)}, got {row!r:.60}.")
    return {field: _value(row, field, kind, where) for field, kind in schema.items()}


def _value(row: Row, field: str, kind: type, where: str) -> Any:
    if field not in row or row[field] is None:
        hint = near(field, (name for name in row if row[name] is not None))
        raise UsageError(f"{where}: the field {field!r} is missing.{hint}")
    value = row[field]
    if type(value) is kind:
        if isinstance(value, str) and not _is_unicode(value):
            raise UsageError(f"{where}: the field {field!r} holds half of a surrogate pair, which no text may.")
        return value
    try:
        converted = kind(value)
    except (TypeError, ValueError):
        converted = None
    # "1" and 1.0 are the int 1; 1.5 and True are not, and a number is not a text.
    if converted is None or isinstance(value, bool) or kind is str or float(converted) != float(value):
        raise UsageError(f"{where}: the field {field!r} is {value!r:.60}, expected {_WORDS[kind]}.")
    return converted


def _is_unicode(text: str) -> bool:
    """JSON can spell half characters ("\\ud800"), which no tokenizer takes."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


_WORDS = {str: "a text", int: "a whole number", float: "a number"}


def _kind(path: Path) -> str:
    return next(suffix for suffix in SUFFIXES if path.name.endswith(suffix)).lstrip(".")


def _open(path: Path) -> IO[str]:
    """UTF-8, with or without the mark at the start that spreadsheets write."""
    if path.suffix == ".gz":
        return gzip.open(path, "rt", encoding="utf-8-sig", newline="")
    return path.open(encoding="utf-8-sig", newline="")


def _rows(path: Path) -> Iterator[Any]:
    kind = _kind(path)
    if kind == "parquet":
        from pyarrow import parquet

        yield from parquet.read_table(path).to_pylist()
        return
    with _open(path) as file:
        if kind.startswith("jsonl"):
            yield from _json_lines(file)
        elif kind.startswith("json"):
            yield from _json_list(json.load(file))
        else:
            yield from _csv_rows(file)


def _csv_rows(file: IO[str]) -> Iterator[Any]:
    for number, row in enumerate(csv.DictReader(file, strict=True), start=1):
        if None in row:
            raise ValueError(f"row {number} has more values than the header")
        yield row


def _json_lines(file: IO[str]) -> Iterator[Any]:
    for number, line in enumerate(file, start=1):
        if line.strip():
            try:
                yield json.loads(line)
            except json.JSONDecodeError as error:
                raise ValueError(f"line {number}: {error.msg}") from error


def _json_list(content: Any) -> list[Any]:
    rows = content.get("data") if isinstance(content, dict) else content
    if not isinstance(rows, list):
        raise ValueError('it must hold a list of rows, or {"data": [rows]}')
    return rows
