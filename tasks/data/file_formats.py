"""The rows of a local file as they are in it, by its format: JSON, JSON lines, CSV, TSV (also .gz), Parquet, Arrow."""

import csv
import gzip
import json
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from harness.errors import UsageError, shown
from harness.files.strict_json import unique_fields
from tasks.data import nested_fields
from tasks.data.nested_fields import FieldAbsent
from tasks.data.split_files import SUFFIXES

BROKEN = (OSError, EOFError, csv.Error, ValueError, RecursionError, OverflowError, zlib.error, NotImplementedError)
"""What readers raise for a file that is not what its name says: also for a flipped bit, and for what has no room."""
_DIGITS = 4000  # of a whole number; Python reads few more
_WIDEST = 1 << 27  # characters of one CSV value; the module's own limit is 131,072


class ClassIndex(int):
    """The index of a class in a file that also names its classes, in the order of their indices."""

    names: tuple[str, ...]

    def __new__(cls, value: int, names: tuple[str, ...]) -> "ClassIndex":
        made = super().__new__(cls, value)
        made.names = names
        return made


def kind(path: Path) -> str:
    """Return the format that a file's name states, such as "csv" or "jsonl.gz"."""
    return next(suffix for suffix in SUFFIXES if path.name.endswith(suffix)).lstrip(".")


def _open(path: Path) -> IO[str]:
    """Open a file as UTF-8, with or without the mark at the start that spreadsheets write."""
    if path.suffix == ".gz":
        return gzip.open(path, "rt", encoding="utf-8-sig", newline="")
    return path.open(encoding="utf-8-sig", newline="")


def not_utf8(path: Path) -> str:
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


def rows(path: Path, names: Sequence[str]) -> Iterator[Any]:
    """Yield the rows as they are in the file; of a table only the columns `names`, which are all that is read."""
    form = kind(path).removesuffix(".gz")
    if form in ("parquet", "arrow"):
        yield from _table(path, form, names)
        return
    with _open(path) as file:
        if form == "jsonl":
            yield from _json_lines(file)
        elif form == "json":
            yield from _json_list(file)
        else:
            yield from _delimited(file, form)


def _table(path: Path, form: str, names: Sequence[str]) -> Iterator[Any]:
    import pyarrow as pa
    from pyarrow import parquet

    try:
        if form == "parquet":
            schema = parquet.read_schema(path)
            columns = _columns(path, schema.names, names)
            table = parquet.read_table(path, columns=columns, page_checksum_verification=True)
        else:
            with pa.memory_map(str(path)) as file:
                stream = pa.ipc.open_stream(file)
                schema = stream.schema
                table = stream.read_all().select(_columns(path, schema.names, names))
        table.validate(full=True)
        classes = _classes(schema.metadata or {})
        for batch in table.to_batches(max_chunksize=_AT_ONCE):
            yield from (_with_classes(row, classes) for row in batch.to_pylist())
    except (pa.lib.ArrowException, KeyError) as error:
        raise ValueError(str(error)) from error


def _classes(metadata: Mapping[bytes, bytes]) -> dict[str, tuple[str, ...]]:
    """Return column -> the names of its classes, as the library datasets notes them in the files that it writes."""
    try:
        features = json.loads(metadata[_NOTED])["info"]["features"]
        return {name: tuple(map(str, what["names"])) for name, what in features.items() if "names" in what}
    except (KeyError, TypeError, ValueError, AttributeError):
        return {}


def _with_classes(row: dict[str, Any], classes: Mapping[str, tuple[str, ...]]) -> dict[str, Any]:
    for name in classes.keys() & row.keys():
        if isinstance(row[name], int):
            row[name] = ClassIndex(row[name], classes[name])
    return row


_NOTED = b"huggingface"
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


def _delimited(file: IO[str], form: str) -> Iterator[Any]:
    """Yield the rows of a CSV with quotes, or of a TSV without: there a quote is a letter, as benchmarks publish it."""
    csv.field_size_limit(_WIDEST)
    if form == "csv":
        reader = csv.DictReader(file, strict=True)
    else:
        reader = csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
    names = reader.fieldnames or []
    twice = next((name for place, name in enumerate(names) if name in names[:place]), None)
    if twice is not None:
        raise ValueError(f"its header names the column {twice!r} twice")
    if form == "tsv" and any(map(_in_quotes, names)):
        raise ValueError(f"the names of its columns stand in quotes, {_NO_QUOTES}")
    for number, row in enumerate(reader, start=1):
        if None in row:
            hint = f", one of them in quotes, {_NO_QUOTES}" if form == "tsv" and any(map(_opens, row.values())) else ""
            raise ValueError(f"row {number} has more values than the header{hint}")
        if any(value is not None and "\0" in value for value in row.values()):
            raise ValueError(f"row {number} has a NUL byte, which no text file has")
        if form == "tsv" and None in row.values() and _goes_on(row):
            raise ValueError(f"row {number} has a text in quotes that goes on in the next line, {_NO_QUOTES}")
        yield row


_NO_QUOTES = "and a .tsv is read without quotes. Save the rows as .csv or .jsonl"


def _in_quotes(text: str) -> bool:
    return len(text) > 1 and text.startswith('"') and text.endswith('"')


def _opens(value: Any) -> bool:
    """Return whether a value opens quotes and does not close them."""
    return isinstance(value, str) and value.startswith('"') and value.count('"') % 2 == 1


def _goes_on(row: Mapping[str, str | None]) -> bool:
    """Return whether the last value of a short row opens quotes and does not close them."""
    return _opens([value for value in row.values() if value is not None][-1])


def _json_lines(file: IO[str]) -> Iterator[Any]:
    for number, line in enumerate(file, start=1):
        if line.strip():
            try:
                yield parsed(line)
            except ValueError as error:
                raise ValueError(f"line {number}: {getattr(error, 'msg', error)}") from error


def parsed(text: str) -> Any:
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
        content = parsed(file.read())
    except json.JSONDecodeError as error:
        if error.msg != "Extra data":
            raise
        file.seek(0)
        return list(_json_lines(file))
    listed = content.get("data") if isinstance(content, dict) and "data" in content else content
    listed = [listed] if isinstance(listed, dict) and "data" not in listed else listed
    if not isinstance(listed, list):
        raise ValueError('it must hold a list of rows, or {"data": [rows]}')
    return listed


def check_separator(row: Any, names: Sequence[str], path: Path) -> None:
    """Raise UsageError where a table's one column has the header of several."""
    header = next(iter(row)) if kind(path)[:3] in ("csv", "tsv") and len(row) == 1 else ""
    sign = next((sign for sign in _SEPARATORS if sign in header), None)
    if sign and header not in names:
        wanted = "commas" if kind(path)[:3] == "csv" else "tabs"
        raise UsageError(
            f"{path}: its header {shown(header)} is one column with {_SEPARATORS[sign]}; a {kind(path)} file has "
            f"{wanted} between its columns."
        )


_SEPARATORS = {";": "semicolons", "\t": "tabs", "|": "bars", ",": "commas"}
