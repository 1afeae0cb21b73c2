"""Which frozen part of a model remembers its outputs."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from harness.training.frozen.lower_blocks import LowerBlocks, lower_blocks
from harness.training.frozen.remembered import Remembered, drops
from methods.backbone import roles


@contextmanager
def remembering(model: Any, wanted: bool = True) -> Iterator[Remembered | None]:
    """Let the largest frozen part of the model remember its outputs while the block runs; yield what it remembers.

    Yield None where that is not wanted, and where no part is frozen.
    """
    memory = _memory(model) if wanted else None
    if memory is None:
        yield None
        return
    memory.begin()
    try:
        yield memory
    finally:
        memory.end()


def _memory(model: Any) -> Remembered | None:
    """Return the memory of the body, else of the encoder, where nothing in it trains; else of its lower blocks."""
    candidates = [("the body", model.base_model)] if model.base_model is not model else []
    if model.config.is_encoder_decoder:
        candidates.append(("the encoder", model.get_encoder()))
    for name, part in candidates:
        if not any(parameter.requires_grad for parameter in part.parameters()):
            return Remembered(name, part, part.forward, drops(part))
    part = roles.find_stack(model, roles.family(model).stack) if roles.has_family(model) else None
    blocks = lower_blocks(model, part) if part is not None else []
    return LowerBlocks.of(part, blocks) if part is not None and blocks else None
