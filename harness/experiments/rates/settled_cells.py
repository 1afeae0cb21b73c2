"""Cells of a search as they will run: at the rate that was chosen for them, on parents at the rates chosen for these.

The cells are given at their usual rate. A parent that is searched for itself, because the grid names its method too,
is taken at its chosen rate. Torch-free.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from harness.config.schema import Cell
from harness.experiments.rates.rate_search import FIRST, Search, rate
from harness.experiments.rates.several_axes.arms import Varied
from harness.store import identity

Trying = Callable[[str, Sequence[Cell]], Search]
"""A function (arm, its cells on the tuning seeds) -> the state of its search."""


@dataclass
class Settled:
    """The searches of arms, each begun when those of its parents have ended.

    - cells: key -> every cell at its usual rate. arms: key -> the arm of a cell that is searched for.
    - tuning: arm -> its cells on the tuning seeds. varied: arm -> its search of other fields.
    """

    cells: Mapping[str, Cell]
    arms: Mapping[str, str]
    tuning: Mapping[str, Sequence[Cell]]
    varied: Mapping[str, Varied]
    trying: Trying
    _searches: dict[str, Search] = field(default_factory=dict)
    _known: dict[str, Cell | None] = field(default_factory=dict)

    def search(self, arm: str) -> Search:
        """Return the state of an arm's search. It waits while a parent is open, and is lost with a parent."""
        if arm not in self._searches:
            self._searches[arm] = self._search(arm)
        return self._searches[arm]

    def _search(self, arm: str) -> Search:
        members = self.tuning[arm]
        ready = self.all_built(members)
        if len(ready) == len(members):
            return self.trying(arm, ready)
        start, seeds = members[0].recipe.learning_rate, tuple(cell.seed for cell in members)
        lost = any(self.is_lost(parent) for cell in members for _, parent in cell.parents)
        coming = () if lost else tuple(rate(start, place) for place in FIRST)
        return Search(start, seeds, (), coming, None, held=True)

    def cell(self, key: str) -> Cell | None:
        """Return a cell as it will run, by its key at the usual rate; None while it is open, or where it is lost."""
        if key not in self._known:
            self._known[key] = self._settle(key)
        return self._known[key]

    def is_lost(self, key: str) -> bool:
        """Return whether a cell cannot run, because its search or that of a parent ended without a rate."""
        if key in self.arms:
            search = self.search(self.arms[key])
            return not search.next and search.choice is None
        return key in self.cells and any(self.is_lost(parent) for _, parent in self.cells[key].parents)

    def _settle(self, key: str) -> Cell | None:
        cell = self.cells[key]
        if key not in self.arms:
            return self.built(cell)
        arm = self.arms[key]
        search = self.search(arm)
        if search.next or search.choice is None:
            return None
        if search.fields:
            cell = self.varied[arm].cells(search.fields, [cell.seed])[-1]
        built = self.built(cell)
        return None if built is None else at(built, search.choice.learning_rate, search.to_json())

    def built(self, cell: Cell) -> Cell | None:
        """Return the cell on its parents as they will run; None where one of them is open or lost."""
        parents = {role: self.cell(key) for role, key in cell.parents if key in self.cells}
        if None in parents.values():
            return None
        keys = {role: identity.key(parent) for role, parent in parents.items() if parent is not None}
        changed = tuple((role, keys.get(role, key)) for role, key in cell.parents)
        return cell if changed == tuple(cell.parents) else replace(cell, parents=changed)

    def all_built(self, some: Sequence[Cell]) -> list[Cell]:
        """Return those of some cells whose parents have their rates, on these parents."""
        return [built for cell in some if (built := self.built(cell)) is not None]


def at(cell: Cell, learning_rate: float, search: Mapping[str, Any]) -> Cell:
    """Return the cell at another rate, with the search that it belongs to."""
    return replace(cell, recipe=replace(cell.recipe, learning_rate=learning_rate, rate_search=search))
