"""The order of cells that build on other cells, and the check that they can. Torch-free."""

from collections.abc import Iterable, Mapping, Sequence

from harness.config.schema import Cell
from harness.errors import UsageError
from harness.store import identity
from harness.training.objectives.registry import ANSWERS, has_head
from methods import registry as methods
from tasks import registry as tasks

ANY = "*"
"""The `parents` of a method that builds on cells of any method."""


def first(many: Iterable[Cell]) -> list[Cell]:
    """Return the same cells in the same order, but each after those of its parents that are among them."""
    left = identity.by_key(many)
    ordered: dict[str, Cell] = {}

    def put(key: str) -> None:
        """Move a cell, and its parents before it, to the ordered cells."""
        if key in left:
            cell = left.pop(key)
            for _, parent in cell.parents:
                put(parent)
            ordered[key] = cell

    for key in list(left):
        put(key)
    return list(ordered.values())


def without_children(many: Sequence[Cell]) -> list[Cell]:
    """Return the cells that no other of the cells builds on."""
    used = {parent for cell in many for _, parent in cell.parents}
    return [cell for cell in many if identity.key(cell) not in used]


def waves(many: Mapping[str, Cell]) -> list[list[str]]:
    """Return the keys in groups. Each group can run once the group before it has ended."""
    depth: dict[str, int] = {}
    for cell in first(many.values()):
        depth[identity.key(cell)] = 1 + max((depth.get(parent, -1) for _, parent in cell.parents), default=-1)
    return [[key for key in many if depth[key] == level] for level in sorted(set(depth.values()))]


def check(many: Iterable[Cell], keep: str) -> None:
    """Raise UsageError for a method that lacks the cells it builds on, and where their weights would not be stored."""
    for cell in many:
        entry = methods.catalogue().get(cell.method.name)
        wanted = entry.parents if entry else ""
        if wanted and not cell.parents:
            kind, example = (f"{wanted} ", "task: NAME") if wanted != ANY else ("", "method: full, seed: 0")
            raise UsageError(
                f"method {cell.method.name} builds on finished {kind}cells: name them, for example "
                f"'parents.a={{{example}}}', or parents.a=KEY."
            )
        if entry and entry.single_parent and len(cell.parents) > 1:
            roles = ", ".join(role for role, _ in cell.parents)
            raise UsageError(
                f"method {cell.method.name} builds on one finished cell, and this names {len(cell.parents)}: {roles}. "
                "Leave one; a list in its description stands for several cells."
            )
        if cell.parents and keep == "none":
            raise UsageError("keep=none: cells that build on others need their trained parameters; leave keep=delta.")


def check_head(cell: Cell, role: str, parent: Cell) -> None:
    """Raise UsageError where a cell would take over a parent's head, whose task has another number of labels."""
    if not (has_head(cell.objective) and has_head(parent.objective)):
        return
    own, other = (tasks.row(each.task).classes for each in (cell, parent))
    if own != other:
        able = " or ".join(name for name in ANSWERS if not has_head(name))
        raise UsageError(
            f"parents.{role}: {parent.task.name} has {other} label words and {cell.task.name} has {own}, so the head "
            f"of one does not fit the other; take objective={able}."
        )
