"""A block of a grid: choices by axis, and the short ways to write several blocks as one. Torch-free.

`arms` in a block stands for one block per arm. `tuning_seed` beside several rates stands for two blocks: all rates on
that seed, and the chosen one on the block's seeds.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

from harness.config.schema import AXES
from harness.errors import UsageError, near
from harness.experiments.grids.declared_types import seed, typed

Block = Mapping[str, Any]
RATE, CHOSEN, TUNED = "recipe.learning_rate", "chosen", "tuned"
"""The axis of a rate, and its words for one that other blocks choose (rates/chosen_rates.py) or that a search finds
(rates/searched_rates.py)."""
TUNING_SEED, USUAL_SEED = "tuning_seed", 1000
"""The choice of the seeds on which rates are tried, and the seed of a search where none is chosen."""
SEARCH = "search"
"""The word before a field that is searched together with the rate, as in search.method.rank=4,8."""
ARMS = "arms"
SHORT = (ARMS, TUNING_SEED)
"""Short ways to write several blocks as one: see `_arms` and `with_tuning`."""


def values(block: Block, axis: str) -> tuple[Any, ...]:
    """Return an axis of a block as a tuple: one value gives a tuple of one, an absent axis an empty one."""
    value = block.get(axis, ())
    return tuple(value) if isinstance(value, list | tuple) else (value,)


def distinct(choices: Sequence[Any]) -> list[Any]:
    """Return the choices without repetitions. A choice may be a list or a map, such as `method.targets=[q,v]`."""
    return [choice for place, choice in enumerate(choices) if choice not in choices[:place]]


def searched_on(block: Block) -> tuple[int, ...]:
    """Return the seeds on which rates are tried for a block at the rate TUNED."""
    return tuple(seed(value, axis=TUNING_SEED) for value in values(block, TUNING_SEED) or (USUAL_SEED,))


def read_blocks(raw: Any, where: str) -> tuple[Block, ...]:
    """Return the blocks of a YAML's block or list of blocks. Raise UsageError, which begins with `where`."""
    written = raw if isinstance(raw, list) else [raw]
    if not written or not all(isinstance(block, dict) for block in written):
        raise UsageError(f"{where} is not a list of blocks such as {{method: [a, b], task: t, seed: [0, 1]}}.")
    arms = [arm for part in written for arm in _arms(part, where)]
    _check_seeds(arms, where)
    blocks = list(with_tuning(arms, f"{where}: "))
    for block in blocks:
        for axis in block:
            if axis not in (*AXES, TUNING_SEED) and "." not in str(axis):
                raise UsageError(f"{where}: unknown axis '{axis}'.{near(str(axis), (*AXES, *SHORT))}")
        missing = [axis for axis in ("method", "model", "task", "seed") if not values(block, axis)]
        if missing:
            raise UsageError(f"{where}: a block has no {' and no '.join(missing)}.")
    return tuple({axis: typed(str(axis), value) for axis, value in block.items()} for block in blocks)


def _check_seeds(arms: Sequence[Block], where: str) -> None:
    for axis in ("seed", TUNING_SEED):
        for value in (value for arm in arms for value in values(arm, axis)):
            try:
                seed(value, axis=axis)
            except UsageError as error:
                raise UsageError(f"{where}: {error}") from None


def _arms(block: Block, where: str) -> list[Block]:
    """Return one block for each of its `arms`, with the other choices of `block` where the arm has none of its own."""
    if ARMS not in block:
        return [block]
    arms = block[ARMS]
    if not isinstance(arms, list) or not arms or not all(isinstance(arm, dict) for arm in arms):
        raise UsageError(f"{where}: {ARMS} is a list of choices such as [{{method: lora}}, {{method: full}}].")
    shared = {axis: value for axis, value in block.items() if axis != ARMS}
    return [block for arm in arms for block in _arms({**shared, **arm}, where)]


def with_tuning(blocks: Iterable[Block], where: str) -> Iterator[Block]:
    """Yield two blocks for one with a `tuning_seed`: all its rates on that seed, and the chosen one on its seeds.

    A block at the rate TUNED stays one, because its rates follow from a search. where: the beginning of an error.
    """
    for block in blocks:
        plain = {axis: value for axis, value in block.items() if axis != TUNING_SEED}
        if TUNING_SEED not in block or TUNED in values(block, RATE):
            yield block
            continue
        if len(values(block, RATE)) < 2:
            raise UsageError(
                f"{where}{TUNING_SEED} needs several rates to try, such as {RATE}: [x0.3, x1, x3], or {TUNED}."
            )
        check_unreported(searched_on(block), [seed(value) for value in values(block, "seed")], where)
        yield {**plain, "seed": block[TUNING_SEED]}
        yield {**plain, RATE: CHOSEN}


def check_unreported(tuning: Sequence[int], reported: Collection[int], where: str = "") -> None:
    """Raise UsageError where a seed that chooses rates is reported. where: the beginning of the error."""
    if shared := sorted(set(tuning) & set(reported)):
        raise UsageError(
            f"{where}{TUNING_SEED}={','.join(map(str, tuning))}: seed {shared[0]} is reported, too, and a rate that is "
            f"chosen on a reported seed flatters its score; name another one with {TUNING_SEED}=SEED."
        )
