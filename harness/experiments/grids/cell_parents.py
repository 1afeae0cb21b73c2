"""The cells that another cell of a grid builds on, as its block describes them: `parents.ROLE`. Torch-free.

A description is a cell's key, or a block for one cell, as in {task: micro/qa}. Choices that it lacks are the child's.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from harness.config.schema import Cell
from harness.errors import UsageError
from harness.experiments.grids import parent_order
from harness.experiments.grids.axis_choices import listed, names, products
from harness.experiments.grids.blocks import Block
from methods import registry as methods

_NAMED = ("model", "task", "recipe")


def descriptions(given: Mapping[str, list[Any]], method: str) -> Iterator[dict[str, Any]]:
    """Yield role -> the description of one parent, for every combination that a block gives. given: role -> its list.

    A method without parents has one combination, of no roles.
    """
    entry = methods.find(method)
    roles = dict(given) if entry.parents else {}
    if entry.single_parent:
        roles = {role: [part for one_of in many for part in _each(one_of)] for role, many in roles.items()}
    for chosen in products(roles):
        yield dict(sorted(chosen.items()))


def _each(description: Any) -> Iterator[Any]:
    """Yield one description of a parent for each combination of its lists and patterns; a key as it is."""
    if not isinstance(description, Mapping):
        yield description
        return
    lists = {str(axis): listed(value) for axis, value in description.items()}
    named = ("method", "task", "model")
    yield from products({axis: names(axis, choices) if axis in named else choices for axis, choices in lists.items()})


def block(role: str, description: Any, child: Cell, fields: Mapping[str, Mapping[str, Any]]) -> Block | str:
    """Return a description as a key, or as the whole block of a parent. fields: group -> the child's fields that its
    own block sets, which the parent has, too.
    """
    if not re.fullmatch(r"[A-Za-z]\w*", role):
        raise UsageError(f"parents.{role}: a role is a word of letters, digits and _.")
    if isinstance(description, str) and re.fullmatch(r"[0-9a-f]{64}", description):
        return description
    if not isinstance(description, Mapping):
        raise UsageError(
            f"parents.{role}={description}: give a cell's whole key (64 digits), or a block, as {{task: NAME}}."
        )
    same: dict[str, Any] = {group: getattr(child, group).name for group in _NAMED}
    same |= {"objective": child.objective, "seed": child.seed, **_shared(child, fields)}
    kind = methods.find(child.method.name).parents
    if kind != parent_order.ANY:
        same["method"] = kind
    elif "method" not in description:
        raise UsageError(f"parents.{role}={description}: name its method, as in {{method: full, seed: 0}}.")
    return {**same, **description}


def _shared(child: Cell, fields: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return the dotted choices that a parent has from its child. A rate is the method's own."""
    shared = {
        f"{group}.{field}": getattr(getattr(child, group), field)
        for group in _NAMED for field in fields[group] if field != "learning_rate"
    }  # fmt: skip
    if shared.get("recipe.steps") == 0:  # the parents of a cell without steps have steps
        del shared["recipe.steps"]
    return shared


def in_order(role: str, many: Sequence[Cell], child: Cell) -> list[Cell]:
    """Return the cells of a parent's block, the parent last. Raise UsageError unless it is one cell that can be it."""
    kind = methods.find(child.method.name).parents
    parents = parent_order.without_children(many)
    if len(parents) != 1 or kind not in (parent_order.ANY, parents[0].method.name):
        named = ", ".join(dict.fromkeys(cell.method.name for cell in parents))
        wanted = f"one {kind} cell" if kind != parent_order.ANY else "one cell"
        raise UsageError(
            f"parents.{role}: {child.method.name} needs {wanted} there; this is {len(parents)} of {named}."
        )
    return [*(cell for cell in many if cell is not parents[0]), parents[0]]
