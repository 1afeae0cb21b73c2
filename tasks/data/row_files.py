"""Rows from local files: JSON, JSON lines, CSV, TSV (also .gz), Parquet, Arrow. Errors name file, row and field."""

import csv
import gzip
import json
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from harness.config.yaml_values import flow
from harness.errors import UsageError, near, shown
from harness.nearest import closest
from harness.strict_json import unique_fields
from tasks.data import nested_fields
from tasks.data.split_files import SUFFIXES
from tasks.metrics import written_numbers

Schema = Mapping[str, Any]
"""Field -> str, int or float; list (of texts), dict or object (anything) where a task reads it itself."""
Row = dict[str, Any]
_BROKEN = (OSError, EOFError, csv.Error, ValueError, RecursionError, OverflowError, zlib.error, NotImplementedError)
"""What readers raise for a file that is not what its name says: also for a flipped bit, and for what has no room."""
_DIGITS = 4000  # of a whole number; Python reads few more
_WIDEST = 1 << 27  # characters of one CSV value; the module's own limit is 131,072


class FieldAbsent(UsageError):
    """A row lacks a field. where: the row, in words. field: its name. there: the names that the row has."""

    def __init__(self, where: str, field: str, there: Iterable[str]) -> None:
        self.where, self.field, self.there = where, field, tuple(there)
        super().__init__(
            f"{where}: the field {field!r} is missing.{near(field, self.there)}{_renaming(field, self.there)}"
        )


def _renaming(field: str, there: Iterable[str]) -> str:
    """Return how a template takes a column whose name it cannot hold, where such a column is near; else ""."""
    name = next((name for name in closest(field, sorted(there)) if set(name) & set("{}:!")), None)
    return f" task.columns={{{field}: {flow(name)}}} gives that column the name {field}." if name else ""


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
    number = 0
    try:
        for number, row in enumerate(_rows(path, names), start=1):
            if number == 1:
                _check_separator(row, names, path)
            yield typed(row, schema, f"{path.name} row {number}", columns)
    except UnicodeDecodeError as error:
        raise UsageError(
            f"{path}: this is not a readable {_kind(path)} file: {_not_utf8(path)}. Save it as UTF-8."
        ) from error
    except _BROKEN as error:
        near_row = f", after row {number}" if number else ""
        hint = " A csv file has commas between its columns." if _kind(path) == "csv" else ""
        raise UsageError(f"{path}: this is not a readable {_kind(path)} file{near_row} ({error}).{hint}") from error


def _check_separator(row: Any, names: Sequence[str], path: Path) -> None:
    """Raise UsageError where a table's one column has the header of several."""
    header = next(iter(row)) if _kind(path)[:3] in ("csv", "tsv") and len(row) == 1 else ""
    sign = next((sign for sign in _SEPARATORS if sign in header), None)
    if sign and header not in names:
        wanted = "commas" if _kind(path)[:3] == "csv" else "tabs"
        raise UsageError(
            f"{path}: its header {shown(header)} is one column with {_SEPARATORS[sign]}; a {_kind(path)} file has "
            f"{wanted} between its columns."
        )


_SEPARATORS = {";": "semicolons", "\t": "tabs", "|": "bars", ",": "commas"}


def typed(row: Any, schema: Schema, where: str, columns: Mapping[str, str] | None = None) -> Row:
    """Return one row with the schema's fields. `where` names the row in errors, e.g. "train.jsonl row 3"."""
    if not isinstance(row, dict):
        raise UsageError(f"{where}: expected an object with the fields {', '.join(schema)}, got {shown(row)}.")
    named = columns or {}
    return {field: _value(row, named.get(field, field), kind, where) for field, kind in schema.items()}


def _value(row: Row, field: str, kind: Any, where: str) -> Any:
    value = nested_fields.find(row, field)
    if value is None:
        raise FieldAbsent(where, field, nested_fields.names(row))
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
            value = _parsed(value)
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


def _kind(path: Path) -> str:
    return next(suffix for suffix in SUFFIXES if path.name.endswith(suffix)).lstrip(".")


def _open(path: Path) -> IO[str]:
    """Open a file as UTF-8, with or without the mark at the start that spreadsheets write."""
    if path.suffix == ".gz":
        return gzip.open(path, "rt", encoding="utf-8-sig", newline="")
    return path.open(encoding="utf-8-sig", newline="")


def _not_utf8(path: Path) -> str:
    """Return which line is not UTF-8 text."""
    with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if number == 1 and line[:2] in (b"\xff\xfe", b"\xfe\xff"):
                return "it is UTF-16"
            try:
                line.decode()
            except UnicodeDecodeError as error:
                return f"line {number} is not UTF-8 (byte 0x{line[error.start]:02x})"
    return "a text in it is not UTF-8"


def _rows(path: Path, names: Sequence[str]) -> Iterator[Any]:
    """Yield the rows as they are in the file; of a table only the columns `names`, which are all that is read."""
    kind = _kind(path).removesuffix(".gz")
    if kind in ("parquet", "arrow"):
        yield from _table(path, kind, names)
        return
    with _open(path) as file:
        if kind == "jsonl":
            yield from _json_lines(file)
        elif kind == "json":
            yield from _json_list(file)
        else:
            yield from _delimited(file, kind)


def _table(path: Path, kind: str, names: Sequence[str]) -> Iterator[Any]:
    import pyarrow as pa
    from pyarrow import parquet

    try:
        if kind == "parquet":
            columns = parquet.read_schema(path).names
            table = parquet.read_table(path, columns=_columns(path, columns, names), page_checksum_verification=True)
        else:
            with pa.memory_map(str(path)) as file:
                stream = pa.ipc.open_stream(file)
                table = stream.read_all().select(_columns(path, stream.schema.names, names))
        table.validate(full=True)
        for batch in table.to_batches(max_chunksize=_AT_ONCE):
            yield from batch.to_pylist()
    except (pa.lib.ArrowException, KeyError) as error:
        raise ValueError(str(error)) from error


_AT_ONCE = 10_000  # rows that are Python objects in full before they are cut to what is read


def _columns(path: Path, columns: Sequence[str], names: Sequence[str]) -> list[str]:
    """Return the columns to read. Raise UsageError for one that the file lacks, or has twice.

    Of a field inside an object, as `meta.title`, that is the object's column.
    """
    names = [nested_fields.column(columns, name) for name in names]
    for name in names:
        if name not in columns:
            raise FieldAbsent(f"{path.name} row 1", name, columns)
        if list(columns).count(name) > 1:
            raise UsageError(f"{path.name}: it has the column {name!r} twice. Rename one of them.")
    return list(dict.fromkeys(names))


def _delimited(file: IO[str], kind: str) -> Iterator[Any]:
    """Yield the rows of a CSV with quotes, or of a TSV without: there a quote is a letter, as benchmarks publish it."""
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
        if any(value is not None and "\0" in value for value in row.values()):
            raise ValueError(f"row {number} has a NUL byte, which no text file has")
        yield row


def _json_lines(file: IO[str]) -> Iterator[Any]:
    for number, line in enumerate(file, start=1):
        if line.strip():
            try:
                yield _parsed(line)
            except ValueError as error:
                raise ValueError(f"line {number}: {getattr(error, 'msg', error)}") from error


def _parsed(text: str) -> Any:
    """Return the value of a JSON text. Raise ValueError, whose reason stands in a row's error."""
    try:
        return json.loads(text, object_pairs_hook=unique_fields, parse_int=_whole)
    except RecursionError as error:
        raise ValueError("its values are nested too deeply") from error


def _whole(digits: str) -> int:
    if len(digits) > _DIGITS:
        raise ValueError(f"it has a number of {len(digits)} digits, and {_DIGITS} is the most")
    return int(digits)


def _json_list(file: IO[str]) -> list[Any]:
    """Yield the rows of a list, of {"data": [rows]}, or, under the wrong name, of JSON lines."""
    try:
        content = _parsed(file.read())
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
