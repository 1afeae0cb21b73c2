"""Fields that only some of a block's methods have, so that the others run without them. Torch-free."""

from collections.abc import Iterator, Sequence

from harness import formatting
from harness.config import compose
from harness.experiments.grids import axis_choices, declared_types
from harness.experiments.grids.blocks import Block
from methods import registry as methods

MOST = 6
"""The names of methods in one line; of more, the line has the first ones and a number."""


def notes(block: Block) -> list[str]:
    """Return a line for each field of methods that the block sets and that some of its methods do not have."""
    names = axis_choices.names("method", block.get("method", compose.defaults().get("method")))
    composed = compose.load(("method", name) for name in names)
    chosen = {str(composed["method", name]["name"]): None for name in names}
    return list(_lines(block, tuple(chosen)))


def _lines(block: Block, chosen: Sequence[str]) -> Iterator[str]:
    for field, values in axis_choices.dotted("method", block).items():
        having = [name for name in chosen if field in methods.find(name).fields]
        lacking = [name for name in chosen if name not in having]
        if having and lacking:
            words = ",".join(declared_types.written(f"method.{field}", value) for value in values)
            verb = "runs" if len(lacking) == 1 else "run"
            yield f"method.{field}={words} is a field of {_names(having)}; {_names(lacking)} {verb} without it"


def _names(names: Sequence[str]) -> str:
    if len(names) <= MOST:
        return formatting.enumeration(names)
    return formatting.enumeration([*names[: MOST - 1], f"{len(names) - MOST + 1} other methods"])
