"""The normalised score of single cells: 0 at the floor, 1 at the ceiling of their exhibit. Torch-free."""

import math
import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from harness.analysis.page.attempt_rows import Attempt
from harness.store.record import scores

Place = tuple[str, str]
SURE = 3
"""How many standard errors the ceiling has to be above the floor, as in the tables."""


def of(attempts: Iterable[Attempt], roles: Mapping[str, tuple[str | None, str | None]]) -> dict[Place, float]:
    """Return (group, key) -> (score - floor) / (ceiling - floor), where the ratio is defined on the cell's task.

    roles: group -> (floor, ceiling), the methods of its exhibit. The floor is no tuning or guessing, the better of
    both.
    """
    places: dict[tuple[str, str, str], list[Attempt]] = defaultdict(list)
    for attempt in attempts:
        if attempt.counts and attempt.record["status"] == "done" and attempt.group in roles:
            cell = attempt.record["cell"]
            places[attempt.group, cell["model"]["name"], cell["task"]["name"]].append(attempt)
    normal: dict[Place, float] = {}
    for (group, _, _), here in places.items():
        if (ends := _ends(here, *roles[group])) is not None:
            floor, ceiling = ends
            for attempt in here:
                if (score := scores(attempt.record)["test"]) is not None:
                    normal[group, attempt.record["key"]] = (score - floor) / (ceiling - floor)
    return normal


def _ends(attempts: Sequence[Attempt], floor: str | None, ceiling: str | None) -> tuple[float, float] | None:
    """Return the floor and the ceiling of one task; None where the ceiling is not clearly above the floor."""
    tops, bottoms = _scored(attempts, ceiling), _scored(attempts, floor)
    if not tops:
        return None
    facts = attempts[0].record.get("task_facts") or {}
    guesses = [float(facts[name]) for name in ("chance", "majority") if isinstance(facts.get(name), int | float)]
    low = max([*guesses, *([statistics.fmean(bottoms)] if bottoms else [])], default=None)
    if low is None:
        return None
    high = statistics.fmean(tops)
    spread = statistics.stdev(tops) / math.sqrt(len(tops)) if len(tops) > 1 else 0.0
    return (low, high) if high > low and high - low >= SURE * spread else None


def _scored(attempts: Sequence[Attempt], method: str | None) -> list[float]:
    values: list[Any] = [
        scores(attempt.record)["test"] for attempt in attempts if attempt.record["cell"]["method"]["name"] == method
    ]
    return [float(value) for value in values if value is not None]
