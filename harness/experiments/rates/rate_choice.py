"""The rule that chooses a learning rate from scores, once for planned cells and for analysis, and what the cells of a
rate gave. Torch is not imported.
"""

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.config.schema import Cell
from harness.store import identity
from harness.store.store import FINAL, Store

DIVERGED = "diverged"
BROKEN = (DIVERGED, "oom")
"""The statuses of a cell that rule out its rate: a rate may cause them. Other failures have causes of their own."""
FAILED = ("failed", "timeout", "blocked")
"""Statuses of a cell that the same command does not try again, and the next one does."""
SKIPPED = "skipped"
"""The status of a rate whose cells cannot run."""
_DIGITS = 9  # two means that differ by rounding only are a tie


@dataclass(frozen=True)
class Choice:
    """A chosen learning rate.

    - tried: the number of rates that were compared, or at which training diverged.
    - edge: "lowest" or "highest" where the rate is the end of these, else "".
    - mean: the score that chose it; NaN where no rate has one.
    - seeds: the number of seeds that all compared rates share.
    """

    learning_rate: float
    tried: int
    edge: str
    mean: float
    seeds: int


def choose(scores: Mapping[float, Mapping[Any, float]], broken: Mapping[float, str] | None = None) -> Choice:
    """Return the rate with the best mean score over the seeds that all compared rates have.

    scores: rate -> seed (or another condition) -> score; a seed without a score is left out. broken: the rates at which
    a seed diverged or ran out of memory, and which of the two; they are compared only where every rate with a score is
    one of them. A rate at which training diverged bounds those that may be better, so the rate before it is no edge;
    lack of memory is no such bound.

    Means over different seeds say more about the seeds than about the rates, so a seed that one rate lacks counts for
    none of them. Only rates without any shared seed are compared over their own. The smaller of two equal rates wins,
    and the smallest where no rate has a score.
    """
    scored = {rate: of for rate, of in sorted(scores.items()) if of}
    broken = broken or {}
    compared = {rate: of for rate, of in scored.items() if rate not in broken} or scored
    if not compared:
        return Choice(min(scores), len(scores), "lowest" if len(scores) > 1 else "", math.nan, 0)
    shared = set.intersection(*(set(of) for of in compared.values()))
    means = {rate: _mean([of[seed] for seed in shared or of]) for rate, of in compared.items()}
    best = max(means, key=lambda rate: (means[rate], -rate))
    tried = means.keys() | {rate for rate, status in broken.items() if status == DIVERGED}
    edges = {max(tried): "highest", min(tried): "lowest"} if len(tried) > 1 else {}
    return Choice(best, len(tried), edges.get(best, ""), means[best], len(shared))


def breaks(statuses: Iterable[tuple[float, str]]) -> dict[float, str]:
    """Return the rates that are broken, as `choose` takes them, from pairs of a rate and a status of one of its cells.

    A rate of which one cell diverged and another ran out of memory counts as diverged.
    """
    broken: dict[float, str] = {}
    for rate, status in statuses:
        if status in BROKEN and broken.get(rate) != DIVERGED:
            broken[rate] = status
    return broken


def _mean(values: Collection[float]) -> float:
    return round(math.fsum(values) / len(values), _DIGITS)


@dataclass(frozen=True)
class Outcome:
    """What the cells of one rate gave, one for each seed that chooses.

    status: "done", that of a cell that gave no score, or SKIPPED. scores: seed -> validation score, where there is one.
    """

    status: str
    scores: Mapping[int, float]


def outcome(cells: Sequence[Cell], store: Store, spent: Collection[str] | None = None) -> Outcome | None:
    """Return what the cells of one rate gave; None while one of them has not ended.

    spent: the keys that the command has run already. Others that failed run again; None counts them all as ended.
    """
    statuses, scores = [], {}
    for cell in cells:
        key = identity.key(cell)
        status = ended(key, store, spent)
        if status is None:
            return None
        statuses.append(status)
        score = _validation(store.read(key))
        if score is not None:
            scores[cell.seed] = score
    worst = (*BROKEN, *FAILED, SKIPPED, "done")
    return Outcome(min(statuses, key=worst.index), scores)


def ended(key: str, store: Store, spent: Collection[str] | None) -> str | None:
    """Return the status of a cell that has ended; None where it still has to run. spent: as in `outcome`."""
    status = store.status(key)
    if status in FINAL:
        return status
    if spent is None or key in spent:
        return status if status in FAILED else SKIPPED if spent and status == "missing" else None
    return None


def _validation(record: Mapping[str, Any] | None) -> float | None:
    if not record or record["status"] != "done":
        return None
    score = record["scores"]["best"]["sets"]["validation"].get(record["task_facts"]["metric"])
    return None if score is None else float(score)
