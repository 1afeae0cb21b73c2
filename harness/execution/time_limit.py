"""The time that a command may take (`--for`): which cells still begin, and how the running ones end. Torch-free.

A cell begins where it would end in time, by its estimate, or where it could not end within the whole time at all: it
goes on in the next command. A cell that runs when the time is over saves a checkpoint and stops. One that does not,
because it loads or evaluates, is ended a little later and goes on from its last checkpoint.
"""

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from harness.config.schema import Cell
from harness.store import identity

GRACE, LEAST_GRACE_S = 0.05, 2.0
"""The share of the time, and the least seconds, that running cells have to save a checkpoint when it is over."""


@dataclass(frozen=True)
class TimeLimit:
    """The end of a command's time, in seconds since the epoch.

    - deadline: nothing begins any more, and running cells stop at their next checkpoint.
    - end: cells that still run are ended.
    - latest: key -> the latest begin of a cell, where it is earlier than the deadline.
    """

    deadline: float
    end: float
    latest: Mapping[str, float] = field(default_factory=dict)

    def over(self, key: str | None = None) -> bool:
        """Return whether nothing may begin any more, or this cell may not."""
        return time.time() >= (self.deadline if key is None else self.latest.get(key, self.deadline))


def limit(duration_s: float, begun: float) -> TimeLimit:
    """Return the limit of a command that may take so many seconds and began at `begun`, in seconds since the epoch."""
    return TimeLimit(begun + duration_s, begun + duration_s + max(LEAST_GRACE_S, GRACE * duration_s))


def latest(deadline: float, duration_s: float, cells: Iterable[Cell], seconds: Mapping[str, float]) -> dict[str, float]:
    """Return key -> the latest begin of these cells, which come seed by seed and each after its parents.

    seconds: the estimates; a cell without one may begin until the deadline. A cell never begins where one of an earlier
    seed, or a parent of it, no longer may: so the table of a command that ran out of time is balanced over the methods.
    """
    latest_begin: dict[str, float] = {}
    seed, bound, next_bound = None, deadline, deadline
    for cell in cells:
        key = identity.key(cell)
        if cell.seed != seed:
            seed, bound = cell.seed, next_bound
        wall = seconds.get(key, 0.0)
        own = deadline - wall if wall < duration_s else deadline
        latest_begin[key] = min(own, bound, *(latest_begin.get(parent, deadline) for _, parent in cell.parents))
        next_bound = min(next_bound, latest_begin[key])
    return {key: begin for key, begin in latest_begin.items() if begin < deadline}
