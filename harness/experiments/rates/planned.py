"""What a command runs now, and what waits for the cells that choose its learning rates. Torch-free."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from harness.config.schema import Cell
from harness.experiments.grids.holes import Hole
from harness.experiments.rates.rate_search import Search
from harness.store import identity


@dataclass(frozen=True)
class Planned:
    """The cells that can run now, and how many are `waiting`, because the cells that choose their rate run first.

    - holes: the combinations that cannot run.
    - trials: key -> each of these cells that only tries a rate for a search, or is a parent of such a cell.
    - pending: the keys of the trials that have not ended.
    - searches: arm in words -> its search, where `tuned` asks for one.
    - lost: the arms whose search has found no rate, each with the number of its cells, which do not run.
    - unsearched: methods that train nothing, so that `tuned` changes nothing for them.
    """

    cells: list[Cell]
    waiting: int
    holes: tuple[Hole, ...] = ()
    trials: Mapping[str, Cell] = field(default_factory=dict)
    pending: frozenset[str] = frozenset()
    searches: Mapping[str, Search] = field(default_factory=dict)
    lost: Mapping[str, int] = field(default_factory=dict)
    unsearched: tuple[str, ...] = ()

    @property
    def searching(self) -> int:
        """Return for how many arms the search goes on."""
        return sum(bool(search.next) for search in self.searches.values())

    def more(self, rates: int) -> int:
        """Return how many trials follow the present ones, if each arm whose search goes on tries so many rates."""
        return sum(search.more(rates) for search in self.searches.values())

    @property
    def later(self) -> list[Cell]:
        """Return the cells that have a rate and run after the searches; none where no search goes on."""
        known = self.cells if self.searching else []
        return [cell for cell in known if identity.key(cell) not in self.trials]

    @property
    def now(self) -> list[Cell]:
        """Return the cells to run now: the trials alone while a search goes on, so that no arm is ahead of others."""
        if self.searching:
            return [cell for key, cell in self.trials.items() if key in self.pending]
        return [cell for cell in self.cells if identity.key(cell) not in self.trials]
