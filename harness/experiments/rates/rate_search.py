"""The search for an arm's learning rate: which rates are tried next, from the scores of those before. Torch-free.

Every arm has the same rule. It tries the usual rate of its method and those half a decade below and above. While the
best rate lies at an end of those tried, the next half decade beyond that end follows, up to a factor of REACH from the
usual rate. Then the two rates a quarter of a decade beside the best one are tried, once. So an arm tries MOST rates at
most, and LIKELY ones where its usual rate is among the best.

The rule is replayed from what the rates scored, so a search that was cut off goes on where it was. A rate at which
training diverged ends the search on its side. Where every rate diverged, lower ones are tried. A rate whose cell failed
for another reason has no score and is not tried again.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from harness.experiments.rates import rate_choice
from harness.experiments.rates.rate_choice import DIVERGED, Choice, Outcome

STEP = 2
"""Half a decade. A place is a number of quarters of a decade above the usual rate."""
FARTHEST = 8
REACH = 10 ** (FARTHEST // 4)
FIRST = (-STEP, 0, STEP)
LIKELY = len(FIRST) + 2
MOST = len(FIRST) + (FARTHEST - STEP) // STEP + 2
"""The number of rates: the first three, those up to one end of the reach, and the two beside the best one."""


@dataclass(frozen=True)
class Trial:
    """A rate that was tried, in which round, with its outcome, and with values of other searched fields."""

    learning_rate: float
    round: int
    outcome: Outcome
    fields: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Search:
    """The state of the search of one arm.

    - start: the usual rate. seeds: those on which it tries rates. path: the trials of the rounds that have ended.
    - next: the rates whose cells the search waits for; none where it has ended.
    - choice: the chosen rate among those of the path; None where no rate has a score.
    - fields: the chosen values of other searched fields (several_axes/). trials: how many points such a search tries.
    - held: whether it has not begun, because a cell that its cells build on has no rate yet.
    """

    start: float
    seeds: tuple[int, ...]
    path: tuple[Trial, ...]
    next: tuple[float, ...]
    choice: Choice | None
    fields: Mapping[str, Any] = field(default_factory=dict)
    trials: int = 0
    held: bool = False

    def more(self, rates: int) -> int:
        """Return how many trials follow those that the search waits for now, if it tries so many rates in all.

        A search of several fields has a number of its own. One that has not begun waits for none.
        """
        present = len(self.path) + (0 if self.held else len(self.next))
        return len(self.seeds) * max(0, (self.trials or rates) - present) if self.next else 0

    def to_json(self) -> dict[str, Any]:
        """Return the search as a record of a cell at its rate has it: {"tried": [[rate, validation, status]], …}.

        Where other fields were searched, a point that was tried ends with their values.
        """
        return {
            "seeds": list(self.seeds),
            "start": self.start,
            "most": self.trials or MOST,
            "tried": [
                [
                    trial.learning_rate,
                    mean(trial.outcome),
                    trial.outcome.status,
                    *([dict(trial.fields)] if trial.fields else []),
                ]
                for trial in self.path
            ],
            "edge": self.choice.edge if self.choice else "",
        }


def search(start: float, seeds: Sequence[int], outcome: Callable[[float], Outcome | None]) -> Search:
    """Return the state of an arm's search. outcome: of a rate; None where its cells have not ended."""
    path: list[Trial] = []
    tried: dict[int, Outcome] = {}
    places: tuple[int, ...] = FIRST
    number = 1
    while places:
        outcomes = {place: outcome(rate(start, place)) for place in places}
        ended = {place: known for place, known in outcomes.items() if known is not None}
        if len(ended) < len(places):
            waiting = tuple(rate(start, place) for place in places if place not in ended)
            return Search(start, tuple(seeds), tuple(path), waiting, _choice(start, tried))
        path += [Trial(rate(start, place), number, known) for place, known in ended.items()]
        tried |= ended
        places, number = _following(start, tried), number + 1
    return Search(start, tuple(seeds), tuple(path), (), _choice(start, tried))


def rate(start: float, place: int) -> float:
    """Return the rate at a place, with 4 significant digits.

    Two starts that lie half decades apart try the same rates: half a decade above 3.162e-3 lies 1e-2, not 9.999e-3.
    """
    return _rounded(_exact(start) * 10 ** (place / 4))


def _exact(start: float) -> float:
    """Return the start before it was rounded, where it is the rate at a place above or below a rate of one digit."""
    for quarters in range(4):
        shift = 10 ** (quarters / 4)
        exact = float(f"{start * shift:.1g}") / shift
        if _rounded(exact) == start:
            return exact
    return start


def _rounded(learning_rate: float) -> float:
    return float(f"{learning_rate:.4g}")


def mean(outcome: Outcome) -> float | None:
    """Return the mean validation score of a rate; None without one."""
    return math.fsum(outcome.scores.values()) / len(outcome.scores) if outcome.scores else None


def _choice(start: float, tried: Mapping[int, Outcome]) -> Choice | None:
    """Return the chosen rate; None where no rate has a score."""
    if not any(known.scores for known in tried.values()):
        return None
    scores = {rate(start, place): known.scores for place, known in tried.items()}
    return rate_choice.choose(scores, rate_choice.breaks((rate(start, p), known.status) for p, known in tried.items()))


def _following(start: float, tried: Mapping[int, Outcome]) -> tuple[int, ...]:
    """Return the places to try next; none at the end of the search."""
    if any(place % STEP for place in tried):
        return ()
    choice, lowest = _choice(start, tried), min(tried)
    if choice is None:
        lower = tried[lowest].status == DIVERGED and lowest - STEP >= -FARTHEST
        return (lowest - STEP,) if lower else ()
    best = next(place for place in tried if rate(start, place) == choice.learning_rate)
    beyond = [place for place in (best - STEP, best + STEP) if place not in tried and abs(place) <= FARTHEST]
    return tuple(beyond) or tuple(place for place in (best - 1, best + 1) if abs(place) <= FARTHEST)
