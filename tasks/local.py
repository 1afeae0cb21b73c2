"""Rows from local files: JSON, JSON lines, CSV, TSV (also .gz), Parquet, Arrow. Errors name file, row and field."""

import contextlib
import csv
import gzip
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from harness.errors import UsageError, near
from tasks.files import SUFFIXES

Schema = Mapping[str, Any]
"""Field -> str, int or float; list (of texts), dict or object (anything) where a task reads it itself."""
Row = dict[str, Any]
_WIDEST = 1 << 27  # characters of one CSV value; the module's own limit is 131,072


def read(path: Path, schema: Schema, columns: Mapping[str, str] | None = None) -> list[Row]:
    """The rows of a file with the schema's fields in the schema's types; other fields are dropped.

    columns: field -> the file's name for it, where that differs. UsageError for a file that is not what its name
    says, a row without a field, a value of another type.
    """
    try:
        raw = list(_rows(path))
    except (OSError, EOFError, UnicodeDecodeError, csv.Error, ValueError, RecursionError) as error:
        raise UsageError(f"{path}: this is not a readable {_kind(path)} file ({error}).") from error
    if not raw:
        raise UsageError(f"{path}: it has no rows; a split needs at least one.")
    return [typed(row, schema, f"{path.name} row {number}", columns) for number, row in enumerate(raw, start=1)]


def read_all(paths: Sequence[Path], schema: Schema, columns: Mapping[str, str] | None = None) -> list[Row]:
    """The rows of a split's files, one after the other."""
    return [row for path in paths for row in read(path, schema, columns)]


def typed(row: Any, schema: Schema, where: str, columns: Mapping[str, str] | None = None) -> Row:
    """One row with the schema's fields. `where` names the row in errors, e.g. "train.jsonl row 3"."""
    if not isinstance(row, dict):
        raise UsageError(f"{where}: expected an object with the fields {', '.join(schema)}, got {row!r:.60}.")
    named = columns or {}
    return {field: _value(row, named.get(field, field), kind, where) for field, kind in schema.items()}


def _value(row: Row, field: str, kind: Any, where: str) -> Any:
    if field not in row or row[field] is None:
        hint = near(field, (str(name) for name in row if row[name] is not None))
        raise UsageError(f"{where}: the field {field!r} is missing.{hint}")
    value = row[field]
    if kind is object:
        return value
    if kind in (list, dict):
        return _nested(value, kind, field, where)
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


def _nested(value: Any, kind: type, field: str, where: str) -> Any:
    """A list or an object; in a CSV it is written as JSON."""
    if isinstance(value, str) and value[:1] in "[{":
        with contextlib.suppress(ValueError):
            value = json.loads(value)
    if not isinstance(value, kind):
        raise UsageError(f"{where}: the field {field!r} is {value!r:.60}, expected {_WORDS[kind]}.")
    return value


def _is_unicode(text: str) -> bool:
    """JSON can spell half characters ("\\ud800"), which no tokenizer takes."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


_WORDS = {str: "a text", int: "a whole number", float: "a number", list: "a list", dict: "an object"}


def _kind(path: Path) -> str:
    return next(suffix for suffix in SUFFIXES if path.name.endswith(suffix)).lstrip(".")


def _open(path: Path) -> IO[str]:
    """UTF-8, with or without the mark at the start that spreadsheets write."""
    if path.suffix == ".gz":
        return gzip.open(path, "rt", encoding="utf-8-sig", newline="")
    return path.open(encoding="utf-8-sig", newline="")


def _rows(path: Path) -> Iterator[Any]:
    kind = _kind(path).removesuffix(".gz")
    if kind in ("parquet", "arrow"):
        yield from _table(path, kind)
        return
    with _open(path) as file:
        if kind == "jsonl":
            yield from _json_lines(file)
        elif kind == "json":
            yield from _json_list(file)
        else:
            yield from _delimited(file, kind)


def _table(path: Path, kind: str) -> list[Any]:
    import pyarrow as pa
    from pyarrow import parquet

    if kind == "parquet":
        rows: list[Any] = parquet.read_table(path).to_pylist()
    else:
        with pa.OSFile(str(path)) as file:
            rows = pa.ipc.open_stream(file).read_all().to_pylist()
    return rows


def _delimited(file: IO[str], kind: str) -> Iterator[Any]:
    """CSV with quotes; TSV without, as benchmarks publish it: a quote there is a letter like any other."""
    csv.field_size_limit(_WIDEST)
    if kind == "csv":
        reader = csv.DictReader(file, strict=True)
    else:
        reader = csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
    names = reader.fieldnames or []
    twice = next((name for place, name in enumerate(names) if name in names[:place]), None)
    if twice is not None:
        raise ValueError(f"its header names the column {twice!r} twice")
    for number, row in enumerate(reader, start=1):
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


def _json_list(file: IO[str]) -> list[Any]:
    """A list of rows, {"data": [rows]}, or, under the wrong name, JSON lines."""
    try:
        content = json.load(file)
    except json.JSONDecodeError as error:
        if error.msg != "Extra data":
            raise
        file.seek(0)
        return list(_json_lines(file))
    rows = content.get("data") if isinstance(content, dict) and "data" in content else content
    rows = [rows] if isinstance(rows, dict) and "data" not in rows else rows
    if not isinstance(rows, list):
        raise ValueError('it must hold a list of rows, or {"data": [rows]}')
    return rows
