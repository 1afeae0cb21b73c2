"""Where a decoder's prompt ends, while an answer that is known follows it in the same input.

Only the objective knows. A method that changes what the model computes at a prompt's last positions asks here, and so
finds the same positions when it trains as when the prompt is read alone.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_WIDTH: ContextVar[int | None] = ContextVar("width", default=None)


@contextmanager
def prompt_of(width: int) -> Iterator[None]:
    """Let meanwhile the first `width` positions of a model's input be those of the prompts."""
    token = _WIDTH.set(width)
    try:
        yield
    finally:
        _WIDTH.reset(token)


def prompt_width() -> int | None:
    """Return how many positions of the input are those of the prompts; None for all of them."""
    return _WIDTH.get()
