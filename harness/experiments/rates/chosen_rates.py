"""Cells at the rate `chosen`: the other blocks of the same grid try several rates, and the best one is theirs.

A cell's parent may be at that rate, too. Torch-free.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from harness.config.schema import Cell
from harness.errors import UsageError
from harness.experiments.grids import grid
from harness.experiments.grids.blocks import CHOSEN, RATE, TUNED, Block, distinct, values
from harness.experiments.grids.holes import Hole
from harness.experiments.rates import cell_arms, rate_choice
from harness.experiments.rates.planned import Planned
from harness.store import identity
from harness.store.store import Store


def planned(blocks: Sequence[Block], store: Store, holes: list[Hole]) -> Planned:
    """Return the cells of blocks with numbers, and of those with the rate `chosen`, their own or their parents'."""
    fixed = [block for block in blocks if not open_parents(block) and CHOSEN not in values(block, RATE)]
    open_blocks = [block for block in blocks if block not in fixed]
    cells = grid.expand(fixed, holes) if fixed else []
    if not open_blocks:
        return Planned(cells, 0)
    tried = distinct([rate for block in fixed for rate in values(block, RATE)])  # a rate may be a map of methods
    if not tried:
        raise UsageError(
            f"{RATE}={CHOSEN}: no other block of this grid tries rates to choose among; "
            f"{RATE}={TUNED} searches for one."
        )
    arms = cell_arms.of_each(cells)
    rates = _chosen(cells, arms, store)
    impossible: list[Hole] = []  # one for each rate that was tried, and one of these rates would run
    candidates = grid.expand([_at_each(block, tried) for block in open_blocks], impossible)
    holes += dict.fromkeys(replace(hole, cells=max(1, hole.cells // len(tried))) for hole in impossible)
    arms |= cell_arms.of_each(candidates)
    among = identity.by_key(candidates)
    known = {key: _is_chosen(key, among, arms, rates) for key in among}
    fresh = [cell for cell in candidates if known[identity.key(cell)]]
    waiting = {(arms[key], cell.seed) for key, cell in among.items() if known[key] is None}
    return Planned(cell_arms.each_once([*cells, *fresh]), len(waiting))


def open_parents(block: Block) -> list[str]:
    """Return the roles of a block's parents that are at the rate `chosen`."""
    parents = {axis: value for axis, value in block.items() if str(axis).startswith("parents.")}
    return [str(axis) for axis, value in parents.items() if isinstance(value, Mapping) and value.get(RATE) == CHOSEN]


def _at_each(block: Block, tried: Sequence[Any]) -> Block:
    """Return a block with every rate that was tried where it, or one of its parents, is at the rate `chosen`."""
    roles = {role: {**block[role], RATE: tried} for role in open_parents(block)}
    return {**block, **roles, **({RATE: tried} if CHOSEN in values(block, RATE) else {})}


def _is_chosen(
    key: str, among: Mapping[str, Cell], arms: Mapping[str, str], rates: Mapping[str, float | None]
) -> bool | None:
    """Return whether a cell and those it builds on are at the rates chosen for their arms; None while that is open.

    A cell that trains nothing has no rate of its own to choose.
    """
    cell = among.get(key)
    if cell is None:
        return True
    own = rates.get(arms[key])
    mine = not cell_arms.trains(cell) or (None if own is None else own == cell.recipe.learning_rate)
    answers = [mine, *(_is_chosen(parent, among, arms, rates) for _, parent in cell.parents)]
    return False if False in answers else None if None in answers else True


def _chosen(tuning: Sequence[Cell], arms: Mapping[str, str], store: Store) -> dict[str, float | None]:
    """Return arm -> the chosen rate, or None while one of the cells that choose it is not final."""
    by_rate: dict[str, dict[float, list[Cell]]] = defaultdict(lambda: defaultdict(list))
    for cell in tuning:
        by_rate[arms[identity.key(cell)]][cell.recipe.learning_rate].append(cell)
    return {arm: _best(tried, store) for arm, tried in by_rate.items()}


def _best(by_rate: Mapping[float, Sequence[Cell]], store: Store) -> float | None:
    """Return the rate that the cells choose; None while one of them is not final."""
    outcomes = {rate: rate_choice.outcome(members, store) for rate, members in by_rate.items()}
    known = {rate: outcome for rate, outcome in outcomes.items() if outcome is not None}
    if len(known) < len(outcomes) or any(outcome.status in rate_choice.FAILED for outcome in known.values()):
        return None
    scores = {rate: outcome.scores for rate, outcome in known.items()}
    broken = rate_choice.breaks((rate, outcome.status) for rate, outcome in known.items())
    return rate_choice.choose(scores, broken).learning_rate
