"""Cells that build on other cells: the order to run them in, what stands in their way, and what they inherit.

Torch-free but for `load`.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from harness.config.schema import Cell
from harness.errors import UsageError
from harness.store import identity
from methods import registry as methods

if TYPE_CHECKING:
    pass

ANY = "*"
"""What a method says that builds on cells of any method."""


def first(many: Iterable[Cell]) -> list[Cell]:
    """The same cells in the same order, but each after its parents where they are there too."""
    left = {identity.key(cell): cell for cell in many}
    ordered: dict[str, Cell] = {}

    def put(key: str) -> None:
        if key in left:
            cell = left.pop(key)
            for _, parent in cell.parents:
                put(parent)
            ordered[key] = cell

    for key in list(left):
        put(key)
    return list(ordered.values())


def leaves(many: Sequence[Cell]) -> list[Cell]:
    """Those that no other one builds on."""
    used = {parent for cell in many for _, parent in cell.parents}
    return [cell for cell in many if identity.key(cell) not in used]


def waves(many: Mapping[str, Cell]) -> list[list[str]]:
    """Keys in groups, each to be run after the one before it."""
    depth: dict[str, int] = {}
    for cell in first(many.values()):
        depth[identity.key(cell)] = 1 + max((depth.get(parent, -1) for _, parent in cell.parents), default=-1)
    return [[key for key in many if depth[key] == level] for level in sorted(set(depth.values()))]


def check(many: Iterable[Cell], keep: str) -> None:
    """UsageError for a method that builds on others and was given none, and where what it builds on is not kept."""
    for cell in many:
        entry = methods.catalogue().get(cell.method.name)
        wanted = entry.parents if entry else ""
        if wanted and not cell.parents:
            kind, example = (f"{wanted} ", "task: NAME") if wanted != ANY else ("", "method: full, seed: 0")
            raise UsageError(
                f"method {cell.method.name} builds on finished {kind}cells: name them, for example "
                f"'parents.a={{{example}}}', or parents.a=KEY."
            )
        if cell.parents and keep == "none":
            raise UsageError("keep=none: cells that build on others need what these trained; leave keep=delta.")
