"""The cells of an exhibit at seeds beyond its own, for comparisons that its own seeds do not decide. Torch-free."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from itertools import count, islice

from harness.config.schema import Cell
from harness.experiments.exhibits import Exhibit
from harness.experiments.grids import parent_order
from harness.experiments.grids.blocks import RATE, Block, values
from harness.experiments.rates import rate_tuning
from harness.experiments.rates.planned import Planned
from harness.store import identity
from harness.store.store import Store


def own(exhibit: Exhibit, blocks: Sequence[Block]) -> tuple[int, ...]:
    """Return the seeds of the blocks that are reported, in the order in which looks take them."""
    tried = {seed for block in blocks if len(values(block, RATE)) > 1 for seed in values(block, "seed")}
    choosing = exhibit.tuning_seeds() | (exhibit.declared_tuning & tried)
    seeds = {int(seed) for block in blocks for seed in values(block, "seed")}
    return tuple(sorted(seeds - choosing or seeds))


def first(exhibit: Exhibit, blocks: Sequence[Block], number: int) -> tuple[int, ...]:
    """Return so many seeds: those of the blocks, and then those that follow and choose no rate."""
    begun = own(exhibit, blocks)
    choosing = exhibit.tuning_seeds() | exhibit.declared_tuning
    later = (seed for seed in count(begun[-1] + 1) if seed not in choosing)
    return (*begun[:number], *islice(later, max(0, number - len(begun))))


def planned(exhibit: Exhibit, blocks: Sequence[Block], store: Store, seeds: Collection[int]) -> Planned:
    """Return the cells of the blocks at these seeds instead of their own; some may wait until their rate is chosen."""
    if not seeds:
        return Planned([], 0)
    choosing = exhibit.tuning_seeds()
    moved = [
        dict(block) if choosing.issuperset(values(block, "seed")) else {**block, "seed": list(seeds)}
        for block in blocks
    ]
    expanded = rate_tuning.expand(moved, store, holes=True)
    fresh = [cell for cell in expanded.cells if cell.seed in seeds and identity.key(cell) not in expanded.trials]
    return replace(expanded, cells=fresh)


def like(many: Iterable[Cell], wanted: Iterable[Cell]) -> list[Cell]:
    """Return the cells that differ from a wanted one in the seed alone, each after its parents."""
    families = set(map(_family, wanted))
    by_key = identity.by_key(many)
    picked = {key: cell for key, cell in by_key.items() if _family(cell) in families}
    left = list(picked.values())
    while left:
        for _, parent in left.pop().parents:
            if parent in by_key and parent not in picked:
                picked[parent] = by_key[parent]
                left.append(by_key[parent])
    return parent_order.first(picked.values())


def _family(cell: Cell) -> str:
    """Return what cells share that differ in the seed, and in the parents that go with it."""
    return identity.key(replace(cell, seed=0, parents=()))
