"""SIGTERM ends a command as Ctrl-C does, so that it gives up its leases and records what it began. Torch-free."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import NoReturn

INTERRUPTED = 130
"""The exit code of a command that Ctrl-C has ended."""
TERMINATED = 128 + signal.SIGTERM
"""The exit code of a command that SIGTERM has ended."""


class Interruption:
    """The handler of SIGINT and SIGTERM. signals: those that have come.

    It remembers them, because a library may take the interruption for an error of its own and go on.
    """

    def __init__(self) -> None:
        self.signals: set[int] = set()

    def __call__(self, number: int, _: object) -> NoReturn:
        self.signals.add(number)
        raise KeyboardInterrupt

    @property
    def terminated(self) -> bool:
        """Return whether SIGTERM has come."""
        return signal.SIGTERM in self.signals


def cause() -> str:
    """Return what interrupts this process: SIGTERM, or else the user."""
    handler = signal.getsignal(signal.SIGTERM)
    return "SIGTERM" if isinstance(handler, Interruption) and handler.terminated else "the user"


@contextmanager
def interrupting() -> Iterator[Interruption]:
    """Turn SIGTERM into an interruption while the block runs, and give the handler, which is that of an outer block.

    A signal that this process ignores stays ignored. Outside the main thread, which alone may set handlers, nothing
    changes.
    """
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    if isinstance(outer := before[signal.SIGTERM], Interruption):
        yield outer
        return
    handler = Interruption()
    replaced = [number for number, old in before.items() if old not in (signal.SIG_IGN, None)]
    with suppress(ValueError):  # not in the main thread
        for number in replaced:
            signal.signal(number, handler)
    try:
        yield handler
    finally:
        with suppress(ValueError):
            for number in replaced:
                signal.signal(number, before[number])
