"""Choices of a field that enters no key: two of them would be one cell, of which one is dropped. Torch-free."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from typing import Any

from harness.config.schema import Cell
from harness.errors import UsageError
from harness.experiments.grids import declared_types
from harness.store import identity


def check(cells: Sequence[Cell], given: Mapping[str, Mapping[str, Sequence[Any]]]) -> None:
    """Raise UsageError where cells of one block differ by such a field alone: all but one of them would be dropped.

    given: group -> field -> the block's choices. A field such as task.files leads to rows, which do enter the key.
    """
    first = dict[str, Cell]()
    several = list(_several(given))
    for cell in cells if several else ():
        same = first.setdefault(identity.key(cell), cell)
        for group, name in several:
            left, dropped = (getattr(getattr(each, group), name) for each in (same, cell))
            if left != dropped:
                key = f"{group}.{name}"
                words = ",".join(declared_types.written(key, value) for value in (left, dropped))
                raise UsageError(f"{key}={words}: both give the same result, so they are one cell; give one of them.")


def _several(given: Mapping[str, Mapping[str, Sequence[Any]]]) -> Iterator[tuple[str, str]]:
    """Yield (group, field) of every field without a place in the key for which a block has several choices."""
    for group, kind in declared_types.GROUPS.items():
        for field in fields(kind):
            if field.metadata["kind"] != "identity" and len(given[group].get(field.name, ())) > 1:
                yield group, field.name
