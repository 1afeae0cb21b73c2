"""Expand blocks of which some wait for the learning rates that other cells choose, on seeds that no table reports.

`recipe.learning_rate: chosen` in a block of an exhibit: the best of the rates of the other blocks (chosen_rates.py).
`recipe.learning_rate=tuned`: a search for each arm (searched_rates.py). An arm is a cell without its seed and its rate.
Torch-free.
"""

from collections.abc import Collection, Sequence
from dataclasses import replace

from harness.config import compose
from harness.experiments.grids import grid
from harness.experiments.grids import holes as holes_of_grid
from harness.experiments.grids.blocks import RATE, TUNED, TUNING_SEED, Block, values, with_tuning
from harness.experiments.grids.holes import Hole
from harness.experiments.rates import chosen_rates, searched_rates
from harness.experiments.rates.planned import Planned
from harness.experiments.rates.several_axes import searched_fields
from harness.store.store import Store


def of_words(block: Block) -> list[Block]:
    """Return the blocks of a command line's choices: two where several rates have a `tuning_seed`."""
    if TUNING_SEED in block and TUNED not in values(block, RATE):
        return list(with_tuning([{"seed": compose.defaults().get("seed", 0), **block}], ""))
    return [block]


def expand(blocks: Sequence[Block], store: Store, holes: bool = False, spent: Collection[str] | None = None) -> Planned:
    """Return the cells of some blocks, those at a chosen or tuned rate as far as it is known.

    - holes: return the combinations that cannot run, instead of raising for them.
    - spent: the keys that the command has run already. Other trials that failed run again; None counts all as ended.

    Raise UsageError where no block tries rates for one at the rate `chosen`, and where `tuned` cannot be.
    """
    gaps: list[Hole] = []
    with grid.reading_once():
        planned = _expand(blocks, store, gaps, spent)
    if not holes:
        holes_of_grid.check(gaps, len(planned.cells) + planned.waiting)
    return replace(planned, holes=tuple(gaps))


def _expand(blocks: Sequence[Block], store: Store, holes: list[Hole], spent: Collection[str] | None) -> Planned:
    """Return the cells of `expand`; combinations that cannot run go to `holes`."""
    searched = [block for block in blocks if TUNED in values(block, RATE)]
    searched_fields.check_tuned([block for block in blocks if block not in searched])
    others = [block for block in blocks if TUNED not in values(block, RATE)]
    planned = chosen_rates.planned(others, store, holes) if others else Planned([], 0)
    if not searched:
        return planned
    searched_rates.check(searched)
    return searched_rates.planned(planned, searched, store, holes, spent)
