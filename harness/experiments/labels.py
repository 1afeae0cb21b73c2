"""Short labels for cells in a table, from the fields that differ and only from those."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from harness.errors import plain
from methods import registry as methods

Fields = Mapping[str, Any]


def distinguishing(rows: Sequence[Fields]) -> tuple[str, ...]:
    """Return the fewest leading fields by which `rows` differ: with rank 4 and 8, alpha = 2 * rank adds nothing."""
    names = dict.fromkeys(name for row in rows for name in row)
    varying = [name for name in names if len({_key(row.get(name)) for row in rows}) > 1]
    kept: list[str] = []
    for name in varying:
        if _distinct(rows, [*kept, name]) > _distinct(rows, kept):
            kept.append(name)
    return tuple(kept)


def declared(method: Fields) -> dict[str, Any]:
    """Return a method's fields without its name, in the order in which it declares them.

    A record may have them sorted, and then alpha, which follows from the rank, would come before it as the label.
    """
    entry = methods.catalogue().get(str(method["name"]))
    known = [name for name in (entry.fields if entry else ()) if name in method]
    names = dict.fromkeys([*known, *(name for name in method if name != "name")])
    return {name: method[name] for name in names}


def labels(names: Sequence[str], places: Sequence[Any], rows: Sequence[Fields]) -> list[str]:
    """Return one label per cell: its name, and `field=value` for the fields that differ among cells of that name.

    places: what the cell stands beside (its model, its task): only cells of one name in one place are differing
    apart, so a field that merely follows the place makes no second label.
    """
    groups: dict[tuple[str, Any], list[int]] = {}
    for index, (name, place) in enumerate(zip(names, places, strict=True)):
        groups.setdefault((name, place), []).append(index)
    differing: dict[str, dict[str, None]] = {}
    for (name, _), members in groups.items():
        fields = distinguishing([rows[index] for index in members])
        differing.setdefault(name, {}).update(dict.fromkeys(fields))
    return [_label(name, row, tuple(differing[name])) for name, row in zip(names, rows, strict=True)]


def _label(name: str, row: Fields, fields: tuple[str, ...]) -> str:
    return " ".join([name, *(f"{field}={_text(row.get(field))}" for field in fields)])


def _text(value: Any) -> str:
    text = "+".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
    return plain(text if len(text) <= 24 else text[:8])


def _key(value: Any) -> Any:
    return json.dumps(value, sort_keys=True) if isinstance(value, list | tuple | dict) else value


def _distinct(rows: Sequence[Fields], names: Sequence[str]) -> int:
    return len({tuple(_key(row.get(name)) for name in names) for row in rows})
