"""The time that a command may take (`--for`): which cells still begin, and how the running ones end. Torch-free.

A cell begins where it would end in time, or where it could not end within the whole time at all: it goes on in the next
command. A cell that runs when the time is over saves a checkpoint and stops. One that does not, because it loads or
evaluates, is ended a little later and goes on from its last checkpoint.

So a cell that begins too late costs little, and time in which nothing runs is lost. A rough guess of its seconds, which
no cell of its model on this machine has confirmed, keeps a cell from beginning only where a third of it is too long.
"""

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from harness.execution import attempts
from harness.execution.expected_times import Expected, ExpectedTimes
from harness.store.store import Store

GRACE, LEAST_GRACE_S = 0.05, 2.0
"""The share of the time, and the least seconds, that running cells have to save a checkpoint when it is over."""
ROUGH = 3.0
"""The factor by which a rough guess may be too long. Guesses from another machine were up to 2.5 times too long."""


@dataclass(frozen=True)
class TimeLimit:
    """The end of a command's time, in seconds since the epoch.

    - deadline: nothing begins any more, and running cells stop at their next checkpoint.
    - end: cells that still run are ended.
    - duration_s: the whole time.
    - cells: key -> what is expected of it, in the order in which the cells run. seen: key -> its latest attempt before
      the command.
    """

    deadline: float
    end: float
    duration_s: float = math.inf
    cells: Mapping[str, Expected] = field(default_factory=dict)
    seen: Mapping[str, int] = field(default_factory=dict)

    def over(self) -> bool:
        """Return whether nothing may begin any more."""
        return time.time() >= self.deadline


def limit(duration_s: float, begun: float) -> TimeLimit:
    """Return the limit of a command that may take so many seconds and began at `begun`, in seconds since the epoch."""
    grace = max(LEAST_GRACE_S, GRACE * duration_s)
    return TimeLimit(begun + duration_s, begun + duration_s + grace, duration_s)


class Gate:
    """Which cells of a sweep may begin now, by the records of those that have ended since it began.

    No cell begins while one of an earlier seed, or a parent of it, waits that no longer fits: so in the table of a
    command that ran out of time, the methods differ by one seed at most. Every process with a gate comes to the same
    answers, because it reads the store. Ask for the cells in their order, as the gate looks at each earlier one once.
    """

    def __init__(self, store: Store, limit: TimeLimit | None) -> None:
        self._store, self._limit = store, limit
        self._times = ExpectedTimes(limit.cells if limit else {})
        self._order = list(limit.cells) if limit else []
        self._places = {key: place for place, key in enumerate(self._order)}
        self._next = 0
        self._running: list[str] = []
        self._refused: set[str] = set()
        self._last_seed: int | None = None

    def opens(self, key: str, anew: bool = True) -> bool:
        """Return whether this cell may begin now.

        anew: learn once more from the cells that had not ended at the last look. Who asks for all cells of a grid at
        one moment does without, since the reads would grow with the square of the cells.
        """
        if self._limit is None:
            return True
        if self._limit.over():
            return False
        if key not in self._places:
            return True
        if anew:
            self._running = [other for other in self._running if not self._learn(other)]
        self._look_before(key)
        cell = self._limit.cells[key]
        late = self._last_seed is not None and cell.seed != self._last_seed
        if late or self._refused.intersection(cell.parents) or not self._fits(key):
            self._refuse(key)
            return False
        self._running.append(key)
        return True

    def _look_before(self, key: str) -> None:
        """Learn from the cells before this one that have ended, and note those that wait and no longer fit."""
        for other in self._order[self._next : self._places[key]]:
            if self._learn(other):
                continue
            if self._store.is_running(other) or self._fits(other):
                self._running.append(other)
            else:
                self._refuse(other)
        self._next = max(self._next, self._places[key] + 1)

    def _refuse(self, key: str) -> None:
        assert self._limit is not None
        self._refused.add(key)
        if self._last_seed is None:
            self._last_seed = self._limit.cells[key].seed

    def _learn(self, key: str) -> bool:
        """Return whether a cell has ended since the command began; if so, count its seconds."""
        assert self._limit is not None
        if attempts.tried(self._store, key) <= self._limit.seen.get(key, 0):
            return False
        if (wall := attempts.whole_seconds(self._store, key)) is not None:
            self._times.learn(key, wall)
        return True

    def _fits(self, key: str) -> bool:
        """Return whether a cell would end in time, or not even within the whole time."""
        assert self._limit is not None
        seconds = self._times.seconds(key)
        if seconds is None or seconds >= self._limit.duration_s:
            return True
        least = seconds if self._times.is_measured(key) else seconds / ROUGH
        return time.time() + least <= self._limit.deadline
