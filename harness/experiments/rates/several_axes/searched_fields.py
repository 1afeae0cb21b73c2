"""The fields that are searched with the learning rate: `search.method.rank=4,8,16` at the rate `tuned`. Torch-free.

`search.trials=24` is how many points the search of an arm tries at most, the same number for every arm.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any

from harness.config.schema import DOTTED
from harness.errors import UsageError, near
from harness.experiments.grids import options
from harness.experiments.grids.blocks import SEARCH, Block, values
from harness.experiments.grids.declared_types import settable, written
from methods import registry as methods

PREFIX = f"{SEARCH}."
TRIALS = f"{PREFIX}trials"
USUAL, FEWEST, MOST = 16, 4, 200
"""How many points a search tries where nothing else is said, and the least and the most that can be said."""
_NAMED = ("method", "model", "task", "recipe", "objective")


@dataclass(frozen=True)
class Axes:
    """fields: field, such as method.rank -> the values that the search may take. trials: the points of one arm."""

    fields: Mapping[str, tuple[Any, ...]]
    trials: int = USUAL

    def of(self, block: Block) -> "Axes":
        """Return those that the one method of a block has."""
        entry = methods.find(options.match("method", str(values(block, "method")[0]))[0])
        own = {axis: taken for axis, taken in self.fields.items() if _has(entry.fields, axis)}
        return Axes(own, self.trials)


def of(block: Block) -> Axes | None:
    """Return the axes that a block searches beside the rate; None without any. Raise UsageError for impossible ones."""
    given = {str(axis): values(block, axis) for axis in block if str(axis).startswith(PREFIX)}
    if not given:
        return None
    trials = _trials(given.pop(TRIALS, (USUAL,)))
    for axis, taken in given.items():
        _check(axis, taken, block)
    if not given:
        raise UsageError(
            f"{TRIALS}={trials}: no other field is searched, and the search for a rate alone has its own number of "
            f"trials; leave it out, or add a field, as in {PREFIX}method.rank=4,8,16."
        )
    return Axes({axis.removeprefix(PREFIX): taken for axis, taken in given.items()}, trials)


def without(block: Block) -> dict[str, Any]:
    """Return the block without its axes of a search."""
    return {axis: value for axis, value in block.items() if not str(axis).startswith(PREFIX)}


def check_tuned(blocks: Iterable[Block]) -> None:
    """Raise UsageError where one of these blocks, whose rates are not searched, has axes of a search."""
    for axis in (str(axis) for block in blocks for axis in block if str(axis).startswith(PREFIX)):
        raise UsageError(
            f"{axis}: fields are searched together with the learning rate, by `deltabench sweep` and `deltabench "
            f"reproduce`; add recipe.learning_rate=tuned, or write {axis.removeprefix(PREFIX)}= for every value."
        )


def singles(block: Block) -> Iterator[dict[str, Any]]:
    """Yield one block for each arm: a product of single choices with all seeds of the block.

    A method's field is left out where the method has none of that name.
    """
    lists = {axis: _choices(axis, block) for axis in block if axis != "seed"}
    seen = list[dict[str, Any]]()
    for chosen in product(*lists.values()):
        single = dict(zip(lists, chosen, strict=True))
        entry = methods.find(str(single["method"]))
        single = {axis: value for axis, value in single.items() if _has(entry.fields, axis)}
        if single not in seen:
            seen.append(single)
            yield {axis: [value] for axis, value in single.items()} | (
                {"seed": list(values(block, "seed"))} if "seed" in block else {}
            )


def _choices(axis: str, block: Block) -> list[Any]:
    """Return the choices of an axis, with patterns of names expanded."""
    if axis not in _NAMED:
        return list(values(block, axis))
    return list(dict.fromkeys(name for value in values(block, axis) for name in options.match(axis, str(value))))


def _has(fields: Mapping[str, Any], axis: str) -> bool:
    group, _, field = axis.partition(".")
    return group != "method" or not field or field in fields


def _trials(given: tuple[Any, ...]) -> int:
    try:
        (number,) = (int(str(value)) for value in given)
    except ValueError:
        number = 0
    if not FEWEST <= number <= MOST:
        raise UsageError(
            f"{TRIALS}={','.join(map(str, given))}: the number of points that each arm's search tries is one whole "
            f"number from {FEWEST} to {MOST}."
        )
    return number


def _check(axis: str, taken: tuple[Any, ...], block: Block) -> None:
    """Raise UsageError where a search cannot take an axis."""
    field = axis.removeprefix(PREFIX)
    text = f"{axis}={','.join(written(field, value) for value in taken)}"
    if field == "recipe.learning_rate":
        raise UsageError(f"{text}: the search takes rates by itself; leave it out.")
    if field not in settable():
        raise UsageError(f"{axis}: a search takes fields of {', '.join(DOTTED[:-1])}.{near(field, settable())}")
    if len({repr(value) for value in taken}) < 2:
        raise UsageError(
            f"{text}: a search needs two values to choose among; set one value with {text[len(PREFIX) :]}."
        )
    if field in block:
        raise UsageError(
            f"{text}: {field} is also set in this grid; a field is either set or searched, so leave one out."
        )
    if any(str(other).startswith("parents.") for other in block):
        raise UsageError(f"{text}: cells that build on other cells have a search for the rate alone; leave {axis} out.")
