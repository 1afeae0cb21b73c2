"""Rates and seeds of a command line for an exhibit that tries rates on some seeds and reports the best on others.

Torch-free.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from harness.errors import UsageError
from harness.experiments.grids.blocks import (
    CHOSEN,
    RATE,
    TUNED,
    TUNING_SEED,
    Block,
    searched_on,
    values,
    with_tuning,
)

_OPEN = (CHOSEN, TUNED)


def have_open_rates(blocks: Sequence[Block]) -> bool:
    """Return whether a block, or a parent in it, has a rate that others choose or that a search finds."""
    return any(_is_open(block) for block in blocks)


def tries_only(block: Block, tuning_seeds: Collection[int]) -> bool:
    """Return whether a block tries rates for others, on seeds that no table reports."""
    return len(values(block, RATE)) > 1 and set(values(block, "seed")) <= set(tuning_seeds)


def at(blocks: Sequence[Block], rates: Sequence[Any], tuning_seeds: Collection[int]) -> list[Block]:
    """Return the blocks at other rates: one is that of all their cells, and several are tried on the tuning seeds for
    the blocks whose rate is searched for or chosen; others keep theirs.

    Parents follow where the block was searched for, or where they were at a chosen rate. Raise UsageError where several
    rates cannot be tried.
    """
    shaped: list[Block] = []
    for block in blocks:
        if tries_only(block, tuning_seeds):
            shaped += [{**block, RATE: list(rates)}] if len(rates) > 1 else []
        elif len(rates) == 1:
            shaped.append(_at_one(block, rates[0]))
        else:
            shaped += _at_several(block, rates)
    return shaped


def tried_on(blocks: Sequence[Block], tuning_seeds: Collection[int]) -> list[int]:
    """Return the seeds of the blocks that try rates for others."""
    tries = [block for block in blocks if tries_only(block, tuning_seeds)]
    return sorted({seed for block in tries for seed in values(block, "seed")})


def _at_one(block: Block, rate: Any) -> Block:
    """Return a block whose rate, if it has one, is this one, as is that of its parents."""
    rest = {axis: value for axis, value in block.items() if axis != TUNING_SEED}
    own = {RATE: [rate]} if RATE in block else {}
    return _with_parents({**rest, **own}, rate, TUNED in values(block, RATE))


def _at_several(block: Block, rates: Sequence[Any]) -> list[Block]:
    """Return the blocks that try these rates and report the best one, for a block that searched for its rate."""
    if TUNED not in values(block, RATE):
        return [block]
    if _parents(block):
        raise UsageError(
            f"{RATE}={','.join(map(str, rates))}: cells of this exhibit build on others, whose rates a search finds; "
            f"give one rate for all, or leave {RATE} out."
        )
    return list(with_tuning([{**block, RATE: list(rates), TUNING_SEED: list(searched_on(block))}], ""))


def _is_open(block: Mapping[str, Any]) -> bool:
    return any(word in values(block, RATE) for word in _OPEN) or any(map(_is_open, _parents(block).values()))


def _parents(block: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parents that a block describes, without those that it names by their keys."""
    return {axis: value for axis, value in block.items() if axis.startswith("parents.") and isinstance(value, Mapping)}


def _with_parents(block: Mapping[str, Any], rate: Any, searched: bool) -> dict[str, Any]:
    """Return a block whose parents are at a rate. searched: so are those whose description has no rate."""
    shaped = dict(block)
    for role, parent in _parents(block).items():
        follows = parent[RATE] in _OPEN if RATE in parent else searched
        shaped[role] = _with_parents({**parent, RATE: rate} if follows else parent, rate, searched)
    return shaped
