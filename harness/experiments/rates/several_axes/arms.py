"""The cells of an arm whose rate is searched together with other fields. Torch-free."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.config.schema import Cell
from harness.experiments.grids import grid
from harness.experiments.grids.blocks import RATE, Block
from harness.experiments.grids.holes import Hole
from harness.experiments.rates.rate_choice import SKIPPED, Outcome
from harness.experiments.rates.rate_search import Search
from harness.experiments.rates.several_axes import points
from harness.experiments.rates.several_axes.searched_fields import Axes


@dataclass(frozen=True)
class Varied:
    """One arm: its block of single choices, and the axes that its method has."""

    block: Block
    axes: Axes

    def cells(self, fields: Mapping[str, Any], seeds: Sequence[int]) -> list[Cell]:
        """Return the cells of the arm with these values of the fields, at their usual rate; none where it cannot be."""
        holes: list[Hole] = []
        return grid.expand([{**self.block, **fields, RATE: "x1", "seed": list(seeds)}], holes)

    def search(
        self, usual: Cell, seeds: Sequence[int], outcome: Callable[[list[Cell], float], Outcome | None]
    ) -> Search:
        """Return the state of the arm's search. outcome: of cells at a rate; it is asked once for each point."""
        known: dict[str, list[Cell]] = {}

        def of(rate: float, fields: Mapping[str, Any]) -> Outcome | None:
            members = known.setdefault(repr(fields), self.cells(fields, seeds))
            return outcome(members, rate) if members else Outcome(SKIPPED, {})

        return points.search(usual.recipe.learning_rate, _values(usual, self.axes), self.axes, seeds, of)


def _values(cell: Cell, axes: Axes) -> dict[str, Any]:
    """Return what a cell has in the searched fields."""
    values = {}
    for axis in axes.fields:
        group, _, field = axis.partition(".")
        values[axis] = cell.method.fields[field] if group == "method" else getattr(getattr(cell, group), field)
    return values
