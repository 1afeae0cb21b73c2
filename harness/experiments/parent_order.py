"""Cells that build on other cells: the order to run them in, what stands in their way, and what they inherit.

Torch-free but for `load`.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from harness.config.schema import Cell
from harness.errors import UsageError
from harness.store import identity as cells
from harness.store.store import Store
from methods import registry as methods

if TYPE_CHECKING:
    from methods.base import Parent

FILE = "delta-best.safetensors"
ANY = "*"
"""What a method says that builds on cells of any method."""


def first(many: Iterable[Cell]) -> list[Cell]:
    """The same cells in the same order, but each after its parents where they are there too."""
    left = {cells.key(cell): cell for cell in many}
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
    return [cell for cell in many if cells.key(cell) not in used]


def waves(many: Mapping[str, Cell]) -> list[list[str]]:
    """Keys in groups, each to be run after the one before it."""
    depth: dict[str, int] = {}
    for cell in first(many.values()):
        depth[cells.key(cell)] = 1 + max((depth.get(parent, -1) for _, parent in cell.parents), default=-1)
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


def obstacle(store: Store, cell: Cell) -> str | None:
    """Why the cell cannot run now: a parent that is not done or kept nothing; None where nothing is in the way."""
    for role, key in cell.parents:
        status = store.status(key)
        if status != "done":
            return f"parent {role} ({key[:12]}) is {status}"
        if not store.kept(key, FILE).is_file() and trained(store, key):
            return f"parent {role} ({key[:12]}) kept no {FILE}: run it again with keep=delta rerun=done"
    return None


def trained(store: Store, key: str) -> bool:
    """Whether anything trained in a finished cell; in one without tuning there is nothing to keep."""
    counted = (store.read(key) or {}).get("parameters") or {}
    return any(counted.get(part) != 0 for part in ("delta", "head"))


def load(store: Store, cell: Cell) -> "dict[str, Parent]":
    """role -> what that parent trained, at its best point.

    UsageError for a file that is not whole safetensors, and for a parent on another backbone.
    """
    from harness.models import tensor_reader
    from methods.base import Parent

    held = {}
    for role, key in cell.parents:
        path, parent = store.kept(key, FILE), store.cell(key)
        if _backbone(parent) != _backbone(cell):
            raise UsageError(
                f"parent {role}: cell {key[:12]} is on another backbone ({parent.model.name}, "
                f"{parent.model.weights} weights): what it trained means nothing on {cell.model.name}"
            )
        try:
            held[role] = Parent(
                parent.method, tensor_reader.load(path) if path.is_file() or trained(store, key) else {}
            )
        except (OSError, ValueError) as error:
            raise UsageError(f"parent {role}: {path.name} of cell {key[:12]} cannot be read ({error})") from error
    return held


def _backbone(cell: Cell) -> tuple[str, str, str, int]:
    """What decides the weights that a delta belongs to; random ones come from the cell's seed."""
    model = cell.model
    return model.family, model.revision, model.weights, cell.seed if model.weights == "random" else 0
