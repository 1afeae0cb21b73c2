"""Values as compressed text inside an HTML page, which the browser unpacks when it needs them. Torch-free."""

import base64
import gzip
import json
import math
from collections.abc import Sequence
from typing import Any

DIGITS = 6
"""The significant digits of a number on the page. The store has all of them."""
CELL_DIGITS = 4
"""The same on the page of one cell, and of a point of its curve."""


def pack(value: Any) -> str:
    """Return a value as JSON, compressed by gzip and written in base64: no character of it means anything in HTML."""
    text = json.dumps(shortened(value), separators=(",", ":"))  # ASCII, so half a surrogate pair is an escape
    return base64.b64encode(gzip.compress(text.encode(), compresslevel=9, mtime=0)).decode("ascii")


def pack_rows(rows: Sequence[Any]) -> str:
    """Return rows packed column by column, which takes about half of the space: alike values stand side by side."""
    return pack(_column([shortened(row, CELL_DIGITS) for row in rows]))


_ABSENT = object()


def _column(values: Sequence[Any]) -> dict[str, Any]:
    """Return the values of one place of all rows.

    "of": name -> column, where they are objects; "lists": one column of all items, with their "lengths", where they are
    lists of objects; else "values". "lacks": the rows that have no value here.
    """
    lacks = [at for at, value in enumerate(values) if value is _ABSENT]
    there = [value for value in values if value is not _ABSENT]
    made: dict[str, Any] = {"lacks": lacks} if lacks else {}
    items = [item for value in there if type(value) is list for item in value]
    if there and all(type(value) is dict for value in there):
        names = dict.fromkeys(name for value in there for name in value)
        made["of"] = {name: _column([value.get(name, _ABSENT) for value in there]) for name in names}
        return {**made, "count": len(there)}
    if items and all(type(value) is list for value in there) and all(type(item) is dict for item in items):
        return {**made, "lists": _column(items), "lengths": [len(value) for value in there]}
    return {**made, "values": there}


def shortened(value: Any, digits: int = DIGITS) -> Any:
    """Return the same value with fewer digits, and None for a number that is not finite."""
    kind = type(value)
    if kind is float:
        return float(f"{value:.{digits}g}") if math.isfinite(value) else None
    if kind is dict:
        return {str(name): shortened(item, digits) for name, item in value.items()}
    return [shortened(item, digits) for item in value] if kind is list or kind is tuple else value
