"""How long the cells of a sweep take: estimates from before the sweep, corrected by its cells that have ended.

An estimate may come from another machine or another model, and the machine may be busier than it was. So what the cells
of the same method, model and task took, over what was estimated for them, corrects the estimates of the others; without
such cells those of the same method and model do, then those of the same model, then all. Torch is not imported.
"""

import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from harness.config.schema import Cell
from harness.store import identity

Kind = tuple[str, ...]


@dataclass(frozen=True)
class Estimate:
    """The estimated seconds of a cell. rough: they come from another machine, or from cells of another model."""

    seconds: float
    rough: bool = False


@dataclass(frozen=True)
class Expected:
    """A cell of a sweep before it runs. parents: keys of the cells that it builds on. estimate: None for none."""

    method: str
    model: str
    task: str
    seed: int
    parents: tuple[str, ...] = ()
    estimate: Estimate | None = None

    def kinds(self) -> list[Kind]:
        """Return the groups of cells that are like this one, from the most alike to the least."""
        return [(self.method, self.model, self.task), (self.method, self.model), (self.model,), ()]


def expected(cells: Iterable[Cell], estimates: Mapping[str, Estimate]) -> dict[str, Expected]:
    """Return key -> what is expected of each cell, in the given order. Cells without an estimate are among them."""
    return {
        key: Expected(
            cell.method.name,
            cell.model.name,
            cell.task.name,
            cell.seed,
            tuple(parent for _, parent in cell.parents),
            estimates.get(key),
        )
        for cell in cells
        for key in [identity.key(cell)]
    }


class ExpectedTimes:
    """The seconds of each cell of a sweep, by its estimate and by the cells that have ended."""

    def __init__(self, cells: Mapping[str, Expected]) -> None:
        self.cells = cells
        self._ratios: dict[Kind, list[float]] = defaultdict(list)
        self._walls: dict[Kind, list[float]] = defaultdict(list)
        self._medians: dict[tuple[str, Kind], float] = {}

    def learn(self, key: str, wall_s: float) -> None:
        """Take account of a cell that has ended after so many seconds. Each cell counts once, so call it once."""
        cell = self.cells[key]
        self._medians.clear()
        for kind in cell.kinds():
            self._walls[kind].append(wall_s)
            if cell.estimate is not None and cell.estimate.seconds > 0:
                self._ratios[kind].append(wall_s / cell.estimate.seconds)

    def seconds(self, key: str) -> float | None:
        """Return the expected seconds of a whole cell; None where nothing is known of any cell like it."""
        cell = self.cells[key]
        if cell.estimate is None:
            return self._median("walls", self._walls, cell)
        ratio = self._median("ratios", self._ratios, cell)
        return cell.estimate.seconds * (1.0 if ratio is None else ratio)

    def _median(self, name: str, of: Mapping[Kind, list[float]], cell: Expected) -> float | None:
        """Return the median of the cells most like this one; None without any.

        It is computed once between two cells that end: the time that is left asks for it for each cell of the sweep.
        """
        kind = next((kind for kind in cell.kinds() if kind in of), None)
        if kind is None:
            return None
        if (name, kind) not in self._medians:
            self._medians[name, kind] = statistics.median(of[kind])
        return self._medians[name, kind]

    def is_measured(self, key: str) -> bool:
        """Return whether the seconds rest on cells of the same model on this machine, and are no rough guess."""
        cell = self.cells[key]
        return (cell.model,) in self._walls or (cell.estimate is not None and not cell.estimate.rough)
