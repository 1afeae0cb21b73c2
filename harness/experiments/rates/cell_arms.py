"""An arm: the cells that differ in their seed and their learning rate only. Torch-free."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from harness.config.schema import Cell
from harness.experiments.grids import grid, parent_order
from harness.store import identity
from harness.training.objectives.registry import trains_nothing


def of_each(many: Sequence[Cell]) -> dict[str, str]:
    """Return key -> what the cells share that differ in seed and learning rate only, their parents' included."""
    arms: dict[str, str] = {}
    recipes = {id(cell.recipe): cell.recipe for cell in many}  # of thousands of cells, so each is changed once
    at_one = {number: replace(recipe, learning_rate=1.0) for number, recipe in recipes.items()}
    known: dict[tuple[Any, ...], str] = {}  # by the parts that cells of an arm share, which live as long as `many`
    for cell in parent_order.first(many):
        parents = tuple((role, arms.get(parent, parent)) for role, parent in cell.parents)
        shared = (id(cell.method), id(cell.model), id(cell.task), cell.objective, id(cell.recipe), parents)
        if shared not in known:
            known[shared] = identity.key(replace(cell, seed=0, parents=parents, recipe=at_one[id(cell.recipe)]))
        arms[identity.key(cell)] = known[shared]
    return arms


def trains(cell: Cell) -> bool:
    """Return whether anything of a cell trains."""
    return cell.recipe.steps > 0 and not trains_nothing(cell.method.name, cell.objective)


def each_once(many: Iterable[Cell]) -> list[Cell]:
    """Return the cells seed by seed, each key once."""
    return list(identity.by_key(grid.by_seed(many)).values())
