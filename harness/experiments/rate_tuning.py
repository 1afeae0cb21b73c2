"""Cells whose learning rate other cells choose: `recipe.learning_rate: chosen` in a block of an exhibit. Torch-free.

The other blocks of the same grid try the rates on seeds of their own. When these cells have finished, the rate that
`rate_choice.py` chooses by their validation scores becomes that of the fresh seeds.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from harness.config.schema import Cell
from harness.errors import UsageError
from harness.experiments import grid, rate_choice
from harness.experiments import holes as holes_of_grid
from harness.experiments.exhibits import CHOSEN, RATE, Block, values
from harness.experiments.holes import Hole
from harness.store import identity
from harness.store.store import FINAL, Store


@dataclass(frozen=True)
class Planned:
    """The cells that can run now, and how many are `waiting`, because the cells that choose their rate run first.

    holes: the combinations that cannot run.
    """

    cells: list[Cell]
    waiting: int
    holes: tuple[Hole, ...] = ()


def expand(blocks: Sequence[Block], store: Store, holes: bool = False) -> Planned:
    """Return the cells of some blocks, those at the chosen rate as far as it is known.

    holes: return the combinations that cannot run, instead of raising for them. Raise UsageError where no block tries
    rates.
    """
    gaps: list[Hole] = []
    planned = _expand(blocks, store, gaps)
    if not holes:
        holes_of_grid.check(gaps, len(planned.cells) + planned.waiting)
    return replace(planned, holes=tuple(gaps))


def _expand(blocks: Sequence[Block], store: Store, holes: list[Hole]) -> Planned:
    """Return the cells of `expand`; combinations that cannot run go to `holes`."""
    fixed = [block for block in blocks if CHOSEN not in values(block, RATE)]
    open_blocks = [block for block in blocks if CHOSEN in values(block, RATE)]
    cells = grid.expand(fixed, holes) if fixed else []
    tried = tuple(dict.fromkeys(rate for block in fixed for rate in values(block, RATE)))
    if not open_blocks:
        return Planned(cells, 0)
    if not tried:
        raise UsageError(f"{RATE}={CHOSEN}: no other block of this grid tries rates to choose among.")
    rates = _chosen(cells, store)
    impossible: list[Hole] = []  # one for each rate that was tried, and one of these rates would run
    candidates = grid.expand([{**block, RATE: list(tried)} for block in open_blocks], impossible)
    holes += dict.fromkeys(replace(hole, cells=max(1, hole.cells // len(tried))) for hole in impossible)
    fresh = [cell for cell in candidates if rates.get(_family(cell)) == cell.recipe.learning_rate]
    waiting = {(_family(cell), cell.seed) for cell in candidates if rates.get(_family(cell)) is None}
    return Planned(list({identity.key(cell): cell for cell in grid.by_seed([*cells, *fresh])}.values()), len(waiting))


def _family(cell: Cell) -> str:
    """Return what the cells share that differ in seed and learning rate only."""
    return identity.key(replace(cell, seed=0, recipe=replace(cell.recipe, learning_rate=1.0)))


def _chosen(tuning: Sequence[Cell], store: Store) -> dict[str, float | None]:
    """Return family -> the chosen rate, or None while one of the cells that choose it is not final."""
    families: dict[str, dict[float, list[Cell]]] = defaultdict(lambda: defaultdict(list))
    for cell in tuning:
        families[_family(cell)][cell.recipe.learning_rate].append(cell)
    return {name: _best(by_rate, store) for name, by_rate in families.items()}


def _best(by_rate: Mapping[float, Sequence[Cell]], store: Store) -> float | None:
    """Return the rate that the cells choose; None while one of them is not final."""
    keys = {rate: {cell.seed: identity.key(cell) for cell in members} for rate, members in by_rate.items()}
    statuses = {rate: {store.status(key) for key in of.values()} for rate, of in keys.items()}
    if any(status not in FINAL for of in statuses.values() for status in of):
        return None
    broken = [rate for rate, of in statuses.items() if not of.isdisjoint(rate_choice.BROKEN)]
    scores = {rate: {seed: _validation(store.read(key)) for seed, key in of.items()} for rate, of in keys.items()}
    known = {rate: {seed: score for seed, score in of.items() if score is not None} for rate, of in scores.items()}
    return rate_choice.choose(known, broken).learning_rate


def _validation(record: Mapping[str, Any] | None) -> float | None:
    if not record or record["status"] != "done":
        return None
    score = record["scores"]["best"]["sets"]["validation"].get(record["task_facts"]["metric"])
    return None if score is None else float(score)
