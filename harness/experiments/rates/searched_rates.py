"""Cells at the rate `tuned`: a search tries rates for each arm on seeds of its own (rate_search.py). Torch-free.

The trials are cells as any, so sweeps share them. The cells at the resulting rate have its number in their key, and the
path of the search beside it.
"""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from harness import formatting
from harness.config import compose
from harness.config.schema import Cell
from harness.errors import UsageError
from harness.experiments.grids import declared_types, grid, labels, parent_order
from harness.experiments.grids.blocks import RATE, TUNED, TUNING_SEED, Block, check_unreported, searched_on, values
from harness.experiments.grids.holes import Hole
from harness.experiments.rates import cell_arms, rate_choice, rate_search, settled_cells
from harness.experiments.rates.planned import Planned
from harness.experiments.rates.rate_choice import Outcome
from harness.experiments.rates.rate_search import Search
from harness.experiments.rates.settled_cells import Settled
from harness.experiments.rates.several_axes import searched_fields
from harness.experiments.rates.several_axes.arms import Varied
from harness.store import identity
from harness.store.store import Store


def check(blocks: Sequence[Block]) -> None:
    """Raise UsageError where blocks at the rate `tuned` have other rates as well, or share a seed with the trials."""
    default = compose.defaults().get("seed", 0)
    reported = {declared_types.seed(seed) for block in blocks for seed in values(block, "seed") or (default,)}
    for block in blocks:
        rates = [rate if isinstance(rate, str) else formatting.value(rate) for rate in values(block, RATE)]
        if len(rates) > 1:
            raise UsageError(
                f"{RATE}={','.join(rates)}: {TUNED} searches for the rate by itself, so it stands alone; leave out the "
                f"others, or leave out {TUNED} and add {TUNING_SEED}=100 to choose among them."
            )
        check_unreported(searched_on(block), reported)


def planned(
    before: Planned, blocks: Sequence[Block], store: Store, holes: list[Hole], spent: Collection[str] | None
) -> Planned:
    """Return the cells of the plan before with those of blocks at the rate `tuned`.

    A cell on a parent that is searched for, too, waits for the parent's rate.
    """
    reported, tuning, varied = _arms_of(blocks, holes)
    cells, waiting, lost, searches = list(before.cells), before.waiting, {}, {}
    trials: dict[str, Cell] = {}
    settled = _settled(reported, tuning, varied, store, spent, trials)
    for arm, name in reported.names().items():
        if not tuning.arms[arm]:  # it cannot run, and is among the holes
            continue
        keys = [identity.key(cell) for cell in reported.arms[arm]]
        search = searches[name] = settled.search(arm)
        if search.next:
            waiting += len(keys)
        elif search.choice is None:
            lost[name] = len(keys)
        else:
            cells += filter(None, map(settled.cell, keys))
    for cell in (*reported.parents, *reported.untrained):
        ready = settled.cell(identity.key(cell))
        cells += [ready] if ready else []
        waiting += ready is None and identity.key(cell) not in settled.arms and not settled.is_lost(identity.key(cell))
    parents = identity.by_key(filter(None, (settled.cell(identity.key(cell)) for cell in tuning.parents)))
    trials = {**parents, **trials}
    everything = cell_arms.each_once([*trials.values(), *cells])
    pending = frozenset(key for key in trials if rate_choice.ended(key, store, spent) is None)
    return Planned(everything, waiting, (), trials, pending, searches, lost, _untrained(reported))


def _settled(
    reported: "_Cells", tuning: "_Cells", varied: Mapping[str, Varied], store: Store, spent: Collection[str] | None,
    trials: dict[str, Cell],
) -> Settled:  # fmt: skip
    """Return the searches of the arms, which note their trials in `trials`."""

    def trying(arm: str, members: Sequence[Cell]) -> Search:
        """Return the state of the search of an arm."""
        search, tried = _search(members, store, spent, varied.get(arm), settled)
        trials.update(identity.by_key(tried))
        return search

    named = {arm: cells for arm, cells in reported.arms.items() if cells and tuning.arms[arm]}
    arms = {identity.key(cell): arm for arm in named for cell in (*named[arm], *tuning.arms[arm])}
    settled = Settled(identity.by_key([*reported.all, *tuning.all]), arms, tuning.arms, varied, trying)
    return settled


def _arms_of(blocks: Sequence[Block], holes: list[Hole]) -> "tuple[_Cells, _Cells, dict[str, Varied]]":
    """Return the cells of the blocks at their usual rate: on the seeds that are reported, and on those of the trials.

    The third part is arm -> its search, where other fields are searched with the rate.
    """
    reported, tuning, varied = _Cells(), _Cells(), dict[str, Varied]()
    for block in blocks:
        wanted, seeds = searched_fields.of(block), list(searched_on(block))
        plain = {
            **{axis: value for axis, value in searched_fields.without(block).items() if axis != TUNING_SEED},
            RATE: "x1",
        }
        many, tuned = grid.expand([plain], holes), {**plain, "seed": seeds}
        reported.add(many, _fixed(plain))
        tuning.add(_on_seeds(many, seeds) or grid.expand([tuned], []), _fixed(tuned))
        if wanted is not None:
            for single in searched_fields.singles(plain):
                arms = cell_arms.of_each(grid.expand([{**single, "seed": seeds}], []))
                varied |= dict.fromkeys(arms.values(), Varied(single, wanted.of(single)))
    return reported, tuning, varied


def _on_seeds(many: Sequence[Cell], seeds: Sequence[int]) -> list[Cell]:
    """Return the cells of a block on other seeds, as `grid.expand` gives them; nothing where a cell has parents, which
    are on the seed, too.
    """
    if any(cell.parents for cell in many):
        return []
    parts = {(id(c.method), id(c.model), id(c.task), c.objective, id(c.recipe)): c for c in many}
    return list(identity.by_key(replace(cell, seed=seed) for seed in seeds for cell in parts.values()).values())


def _fixed(block: Block) -> frozenset[str]:
    """Return the keys of the block's cells, all of them parents, whose rate their description gives."""
    if not any(axis.startswith("parents.") and RATE in str(value) for axis, value in block.items()):
        return frozenset()
    at_one, at_two = (identity.by_key(grid.expand([{**block, RATE: rate}], [])) for rate in ("x1", "x2"))
    return frozenset(at_one) & frozenset(at_two)


def _untrained(reported: "_Cells") -> tuple[str, ...]:
    """Return the methods that train nothing and build on nothing. Raise UsageError where no method trains."""
    untrained = tuple(dict.fromkeys(cell.method.name for cell in reported.untrained))
    if untrained and not reported.arms:
        raise UsageError(
            f"{RATE}={TUNED} searches for a rate, and {', '.join(untrained)} trains nothing; name a method that "
            f"trains, too, or give {RATE} a number."
        )
    return tuple(dict.fromkeys(cell.method.name for cell in reported.untrained if not cell.parents))


class _Cells:
    """The cells of blocks at their usual rate.

    arms: arm -> its cells, which train. untrained: cells that train nothing. parents: the cells that others build on.
    all: each of them once or more.
    """

    def __init__(self) -> None:
        self.arms: dict[str, list[Cell]] = defaultdict(list)
        self.untrained: list[Cell] = []
        self.parents: list[Cell] = []
        self.all: list[Cell] = []
        self._placed: set[str] = set()

    def add(self, many: Sequence[Cell], fixed: Collection[str]) -> None:
        """Add the cells of one block. A parent is searched for only where the block names its method, too.

        fixed: the keys of parents whose rate is given.
        """
        wanted = {cell.method.name for cell in parent_order.without_children(many)}
        used = {parent for cell in many for _, parent in cell.parents}
        arms = cell_arms.of_each(many)
        self.all += many
        for cell in many:
            key = identity.key(cell)
            if key in used:
                self.parents.append(cell)
            if cell.method.name not in wanted or key in fixed:
                continue
            if key not in self._placed:
                self._placed.add(key)
                (self.arms[arms[key]] if cell_arms.trains(cell) else self.untrained).append(cell)

    def names(self) -> dict[str, str]:
        """Return arm -> what it is in words, which tell each from the others."""
        firsts = {arm: members[0] for arm, members in self.arms.items() if members}
        named = labels.of_cells([identity.to_json(cell) for cell in firsts.values()])
        return {arm: f"{label.arm} {label.model} {label.task}" for arm, label in zip(firsts, named, strict=True)}


def _search(
    cells: Sequence[Cell], store: Store, spent: Collection[str] | None, varied: Varied | None, settled: Settled
) -> tuple[Search, list[Cell]]:
    """Return the search of an arm, and its trials so far. cells: of the arm at its usual rate, one for each tuning
    seed. varied: where other fields are searched, too.
    """
    tried: list[Cell] = []
    seeds = [cell.seed for cell in cells]

    def outcome(some: Sequence[Cell], rate: float) -> Outcome | None:
        """Return what the trials at one rate gave, and note them."""
        members = [settled_cells.at(cell, rate, {"seeds": seeds}) for cell in some]
        tried.extend(members)
        return rate_choice.outcome(members, store, spent)

    if varied is not None:
        return varied.search(cells[0], seeds, lambda some, rate: outcome(settled.all_built(some), rate)), tried
    return rate_search.search(cells[0].recipe.learning_rate, seeds, lambda rate: outcome(cells, rate)), tried
