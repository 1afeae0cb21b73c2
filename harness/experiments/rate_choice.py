"""The rule that chooses a learning rate from scores, once for planned cells and for analysis. Torch is not imported."""

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

BROKEN = ("diverged", "oom")
"""The statuses of a cell that rule out its rate: a rate may cause them. Other failures have causes of their own."""
_DIGITS = 9  # two means that differ by rounding only are a tie


@dataclass(frozen=True)
class Choice:
    """A chosen learning rate.

    tried: the number of rates that were compared. edge: "lowest" or "highest" where the rate is the end of these, else
    "". mean: the score that chose it; NaN where no rate has one. seeds: the number of seeds that all rates share.
    """

    learning_rate: float
    tried: int
    edge: str
    mean: float
    seeds: int


def choose(scores: Mapping[float, Mapping[Any, float]], broken: Collection[float] = ()) -> Choice:
    """Return the rate with the best mean score over the seeds that all compared rates have.

    scores: rate -> seed (or another condition) -> score; a seed without a score is left out. broken: rates at which a
    seed diverged or ran out of memory; they are compared only where every rate with a score is one of them.

    Means over different seeds say more about the seeds than about the rates, so a seed that one rate lacks counts for
    none of them. Only rates without any shared seed are compared over their own. The smaller of two equal rates wins,
    and the smallest where no rate has a score.
    """
    scored = {rate: of for rate, of in sorted(scores.items()) if of}
    compared = {rate: of for rate, of in scored.items() if rate not in broken} or scored
    if not compared:
        return Choice(min(scores), len(scores), "lowest" if len(scores) > 1 else "", math.nan, 0)
    shared = set.intersection(*(set(of) for of in compared.values()))
    means = {rate: _mean([of[seed] for seed in shared or of]) for rate, of in compared.items()}
    best = max(means, key=lambda rate: (means[rate], -rate))
    edges = {max(means): "highest", min(means): "lowest"} if len(means) > 1 else {}
    return Choice(best, len(means), edges.get(best, ""), means[best], len(shared))


def _mean(values: Collection[float]) -> float:
    return round(math.fsum(values) / len(values), _DIGITS)
