"""Fields inside objects of a row, by dotted names: `meta.title` is the field `title` of the object `meta`."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from harness.config.yaml_values import flow
from harness.errors import UsageError, near
from harness.files import strict_json
from harness.nearest import closest


class FieldAbsent(UsageError):
    """A row lacks a field. where: the row, in words. field: its name. there: the names that have a value there."""

    def __init__(self, where: str, field: str, there: Iterable[str]) -> None:
        self.where, self.field, self.there = where, field, tuple(there)
        super().__init__(
            f"{where}: the field {field!r} is missing.{near(field, self.there)}{_renaming(field, self.there)}"
        )


def _renaming(field: str, there: Iterable[str]) -> str:
    """Return how a template takes a column whose name it cannot hold, where such a column is near; else ""."""
    name = next((name for name in closest(field, sorted(there)) if set(name) & set("{}:!")), None)
    return f" task.columns={{{field}: {flow(name)}}} gives that column the name {field}." if name else ""


def find(row: Mapping[str, Any], field: str) -> Any:
    """Return the value of a field; None where there is none.

    `meta.title` is the column of that name, else the field `title` of the object `meta`, and `turns.0` is the first of
    a list. A table may hold the object as JSON.
    """
    if field in row:  # nearly every field
        return row[field]
    return next((value for value in _found(row, field) if value is not None), None)


def lacking(row: Mapping[str, Any], field: str, where: str) -> UsageError:
    """Return what to say of a row in which a field has no value. where: the row, in words."""
    if any(True for _ in _found(row, field)):
        return UsageError(f"{where}: the field {field!r} is null. Give it a value, or leave the row out.")
    return FieldAbsent(where, field, names(row))


def _found(row: Mapping[str, Any], field: str) -> Iterator[Any]:
    """Yield the values that a name may stand for, null or not."""
    if field in row:
        yield row[field]
        return
    name, dot, rest = field.partition(".")
    while dot:
        if name in row:
            inner = _read(row[name])
            if isinstance(inner, list):
                inner = {str(place): item for place, item in enumerate(inner)}
            if isinstance(inner, dict):
                yield from _found(inner, rest)
        more, dot, rest = rest.partition(".")
        name = f"{name}.{more}"


def _read(value: Any) -> Any:
    """Return what a text holds as JSON, where it is an object or a list; else the value itself."""
    if isinstance(value, str) and value[:1] in ("{", "["):
        try:
            return strict_json.parse(value)
        except ValueError:
            pass
    return value


def names(row: Mapping[str, Any], before: str = "") -> Iterator[str]:
    """Yield the names of the fields that have a value, those inside objects as `meta.title`."""
    for name, value in row.items():
        if isinstance(value, dict):
            yield from names(value, f"{before}{name}.")
        elif value is not None:
            yield f"{before}{name}"


def column(columns: Sequence[str], name: str) -> str:
    """Return the longest beginning of a dotted name that is a column; the name where none is."""
    beginnings = [name, *(name[:place] for place in range(len(name) - 1, 0, -1) if name[place] == ".")]
    return next((beginning for beginning in beginnings if beginning in columns), name)
