"""Cells whose learning rate other cells choose, by validation scores on seeds that no table reports. Torch-free.

`recipe.learning_rate: chosen` in a block of an exhibit: the other blocks of the same grid try several rates, and the
best one becomes that of the block. `recipe.learning_rate=tuned`: a search tries rates for each arm (rate_search.py).
An arm is a cell without its seed and its rate. The trials are cells as any, so sweeps share them; the cells at the
resulting rate have its number in their key, and the path of the search beside it.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from harness import formatting
from harness.config import compose
from harness.config.schema import Cell
from harness.errors import UsageError
from harness.experiments.grids import declared_types, grid, labels, parent_order
from harness.experiments.grids import holes as holes_of_grid
from harness.experiments.grids.blocks import (
    CHOSEN,
    RATE,
    TUNED,
    TUNING_SEED,
    Block,
    check_unreported,
    distinct,
    searched_on,
    values,
    with_tuning,
)
from harness.experiments.grids.holes import Hole
from harness.experiments.rates import rate_choice, rate_search
from harness.experiments.rates.rate_choice import Outcome
from harness.experiments.rates.rate_search import Search
from harness.experiments.rates.several_axes import searched_fields
from harness.experiments.rates.several_axes.arms import Varied
from harness.store import identity
from harness.store.store import Store
from harness.training.objectives.registry import has_head
from methods import registry as methods


@dataclass(frozen=True)
class Planned:
    """The cells that can run now, and how many are `waiting`, because the cells that choose their rate run first.

    - holes: the combinations that cannot run.
    - trials: key -> each of these cells that only tries a rate for a search, or is a parent of such a cell.
    - pending: the keys of the trials that have not ended.
    - searches: arm in words -> its search, where `tuned` asks for one.
    - lost: the arms whose search has found no rate, each with the number of its cells, which do not run.
    - unsearched: methods that train nothing, so that `tuned` changes nothing for them.
    """

    cells: list[Cell]
    waiting: int
    holes: tuple[Hole, ...] = ()
    trials: Mapping[str, Cell] = field(default_factory=dict)
    pending: frozenset[str] = frozenset()
    searches: Mapping[str, Search] = field(default_factory=dict)
    lost: Mapping[str, int] = field(default_factory=dict)
    unsearched: tuple[str, ...] = ()

    @property
    def searching(self) -> int:
        """Return for how many arms the search goes on."""
        return sum(bool(search.next) for search in self.searches.values())

    def more(self, rates: int) -> int:
        """Return how many trials follow the present ones, if each arm whose search goes on tries so many rates."""
        return sum(search.more(rates) for search in self.searches.values())

    @property
    def now(self) -> list[Cell]:
        """Return the cells to run now: the trials alone while a search goes on, so that no arm is ahead of others."""
        if self.searching:
            return [cell for key, cell in self.trials.items() if key in self.pending]
        return [cell for cell in self.cells if identity.key(cell) not in self.trials]


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
    planned = _expand(blocks, store, gaps, spent)
    if not holes:
        holes_of_grid.check(gaps, len(planned.cells) + planned.waiting)
    return replace(planned, holes=tuple(gaps))


def _expand(blocks: Sequence[Block], store: Store, holes: list[Hole], spent: Collection[str] | None) -> Planned:
    """Return the cells of `expand`; combinations that cannot run go to `holes`."""
    searched = [block for block in blocks if TUNED in values(block, RATE)]
    searched_fields.check_tuned([block for block in blocks if block not in searched])
    others = [block for block in blocks if TUNED not in values(block, RATE)]
    planned = _with_chosen(others, store, holes) if others else Planned([], 0)
    if not searched:
        return planned
    _check(searched)
    return _with_tuned(planned, searched, store, holes, spent)


def _with_chosen(blocks: Sequence[Block], store: Store, holes: list[Hole]) -> Planned:
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
    arms = _arms(cells)
    rates = _chosen(cells, arms, store)
    impossible: list[Hole] = []  # one for each rate that was tried, and one of these rates would run
    candidates = grid.expand([_at_each(block, tried) for block in open_blocks], impossible)
    holes += dict.fromkeys(replace(hole, cells=max(1, hole.cells // len(tried))) for hole in impossible)
    arms |= _arms(candidates)
    among = identity.by_key(candidates)
    known = {key: _is_chosen(key, among, arms, rates) for key in among}
    fresh = [cell for cell in candidates if known[identity.key(cell)]]
    waiting = {(arms[key], cell.seed) for key, cell in among.items() if known[key] is None}
    return Planned(_unique([*cells, *fresh]), len(waiting))


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
    mine = not _trains(cell) or (None if own is None else own == cell.recipe.learning_rate)
    answers = [mine, *(_is_chosen(parent, among, arms, rates) for _, parent in cell.parents)]
    return False if False in answers else None if None in answers else True


def _unique(many: Iterable[Cell]) -> list[Cell]:
    """Return the cells seed by seed, each key once."""
    return list(identity.by_key(grid.by_seed(many)).values())


def _arms(many: Sequence[Cell]) -> dict[str, str]:
    """Return key -> what the cells share that differ in seed and learning rate only, their parents' included."""
    arms: dict[str, str] = {}
    for cell in parent_order.first(many):
        parents = tuple((role, arms.get(parent, parent)) for role, parent in cell.parents)
        arm = replace(cell, seed=0, parents=parents, recipe=replace(cell.recipe, learning_rate=1.0))
        arms[identity.key(cell)] = identity.key(arm)
    return arms


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


def _check(blocks: Sequence[Block]) -> None:
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


def _with_tuned(
    planned: Planned, blocks: Sequence[Block], store: Store, holes: list[Hole], spent: Collection[str] | None
) -> Planned:
    """Return the cells of the plan with those of blocks at the rate `tuned`."""
    reported, tuning, varied = _Cells(), _Cells(), dict[str, Varied]()
    for block in blocks:
        wanted, seeds = searched_fields.of(block), list(searched_on(block))
        plain = {
            **{axis: value for axis, value in searched_fields.without(block).items() if axis != TUNING_SEED},
            RATE: "x1",
        }
        reported.add(grid.expand([plain], holes))
        tuning.add(grid.expand([{**plain, "seed": seeds}], []))
        if wanted is not None:
            for single in searched_fields.singles(plain):
                arms = _arms(grid.expand([{**single, "seed": seeds}], []))
                varied |= dict.fromkeys(arms.values(), Varied(single, wanted.of(single)))
    untrained = tuple(dict.fromkeys(cell.method.name for cell in reported.untrained))
    if untrained and not reported.arms:
        raise UsageError(
            f"{RATE}={TUNED}: {', '.join(untrained)} trains nothing, so there is no rate to search for; "
            f"leave {RATE} out."
        )
    cells, waiting, lost, searches = [*planned.cells, *reported.parents, *reported.untrained], planned.waiting, {}, {}
    trials = identity.by_key(tuning.parents)
    for arm, name in reported.names().items():
        if not tuning.arms[arm]:  # it cannot run, and is among the holes
            continue
        search, tried = _search(tuning.arms[arm], store, spent, varied.get(arm))
        searches[name] = search
        trials |= identity.by_key(tried)
        if search.next:
            waiting += len(reported.arms[arm])
        elif search.choice is None:
            lost[name] = len(reported.arms[arm])
        else:
            members = reported.arms[arm]
            if search.fields:
                members = varied[arm].cells(search.fields, [cell.seed for cell in members])
            cells += [_at(cell, search.choice.learning_rate, search.to_json()) for cell in members]
    everything = _unique([*trials.values(), *cells])
    pending = frozenset(key for key in trials if rate_choice.ended(key, store, spent) is None)
    return Planned(everything, waiting, (), trials, pending, searches, lost, untrained)


class _Cells:
    """The cells of blocks at their usual rate.

    arms: arm -> its cells, which train. untrained: cells that train nothing. parents: the cells that others build on.
    """

    def __init__(self) -> None:
        self.arms: dict[str, list[Cell]] = defaultdict(list)
        self.untrained: list[Cell] = []
        self.parents: list[Cell] = []

    def add(self, many: Sequence[Cell]) -> None:
        """Add the cells of one block. A parent is searched for only where the block names its method, too."""
        wanted = {cell.method.name for cell in parent_order.without_children(many)}
        used = {parent for cell in many for _, parent in cell.parents}
        arms = _arms(many)
        for cell in many:
            key = identity.key(cell)
            if key in used:
                self.parents.append(cell)
            if cell.method.name not in wanted:
                continue
            members = self.arms[arms[key]] if _trains(cell) else self.untrained
            if cell not in members:
                members.append(cell)

    def names(self) -> dict[str, str]:
        """Return arm -> what it is in words, which tell each from the others."""
        firsts = {arm: members[0] for arm, members in self.arms.items() if members}
        named = labels.of_cells([identity.to_json(cell) for cell in firsts.values()])
        return {arm: f"{label.arm} {label.model} {label.task}" for arm, label in zip(firsts, named, strict=True)}


def _trains(cell: Cell) -> bool:
    """Return whether anything of a cell trains."""
    bare = methods.find(cell.method.name).only_head and not has_head(cell.objective)
    return cell.recipe.steps > 0 and not bare


def _search(
    cells: Sequence[Cell], store: Store, spent: Collection[str] | None, varied: Varied | None
) -> tuple[Search, list[Cell]]:
    """Return the search of an arm, and its trials so far. cells: of the arm at its usual rate, one for each tuning
    seed. varied: where other fields are searched, too.
    """
    tried: list[Cell] = []
    seeds = [cell.seed for cell in cells]

    def outcome(some: Sequence[Cell], rate: float) -> Outcome | None:
        """Return what the trials at one rate gave, and note them."""
        members = [_at(cell, rate, {"seeds": seeds}) for cell in some]
        tried.extend(members)
        return rate_choice.outcome(members, store, spent)

    if varied is not None:
        return varied.search(cells[0], seeds, outcome), tried
    return rate_search.search(cells[0].recipe.learning_rate, seeds, lambda rate: outcome(cells, rate)), tried


def _at(cell: Cell, rate: float, search: Mapping[str, Any]) -> Cell:
    """Return the cell at another rate, with the search that it belongs to."""
    return replace(cell, recipe=replace(cell.recipe, learning_rate=rate, rate_search=search))
