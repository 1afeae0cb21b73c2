"""SIGTERM and SIGHUP end a command as Ctrl-C does, so that it gives up its leases and records what it began.

SIGHUP comes when the terminal closes, as by a dropped ssh session. Torch is not imported.
"""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

INTERRUPTED = 130
"""The exit code of a command that Ctrl-C has ended."""
ENDING = (signal.SIGTERM, signal.SIGHUP)
"""The signals that end a command; its exit code is then 128 and the number of the signal."""
CAUGHT = (signal.SIGINT, *ENDING)
OF_A_TERMINAL = (signal.SIGINT, signal.SIGHUP)
"""The signals that reach every process of a terminal. Processes that another one ends in order ignore them."""


class Interruption:
    """The handler of SIGINT, SIGTERM and SIGHUP. signals: those that have come, in this order.

    It remembers them, because a library may take the interruption for an error of its own and go on.
    """

    def __init__(self) -> None:
        self.signals: list[int] = []

    def __call__(self, number: int, _: object) -> None:
        repeats = bool(self.signals) and number == signal.SIGHUP  # the kernel and the shell both send it
        self.signals.append(number)
        if not repeats:
            raise KeyboardInterrupt

    @property
    def name(self) -> str | None:
        """Return the name of the first signal of ENDING that has come; None where none has."""
        return next((signal.Signals(number).name for number in self.signals if number in ENDING), None)

    def exit_code(self, otherwise: int) -> int:
        """Return the exit code of the command. otherwise: that of a command without such a signal."""
        return next((128 + number for number in self.signals if number in ENDING), otherwise)


def cause() -> str:
    """Return what interrupts this process: SIGTERM or SIGHUP, or else the user."""
    handler = _handler()
    return (handler and handler.name) or "the user"


def _handler() -> Interruption | None:
    """Return the handler that is set now."""
    handlers = map(signal.getsignal, CAUGHT)
    return next((handler for handler in handlers if isinstance(handler, Interruption)), None)


@contextmanager
def interrupting() -> Iterator[Interruption]:
    """Turn SIGTERM and SIGHUP into an interruption while the block runs, and give the handler, which is that of an
    outer block.

    A signal that this process ignores stays ignored, as SIGHUP under nohup. Outside the main thread, which alone may
    set handlers, nothing changes.
    """
    if outer := _handler():
        yield outer
        return
    handler = Interruption()
    before = {number: signal.getsignal(number) for number in CAUGHT}
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


def ignore_terminal() -> None:
    """Let this process, which another one ends, ignore the signals that a terminal sends to all of its processes."""
    for number in OF_A_TERMINAL:
        signal.signal(number, signal.SIG_IGN)


@contextmanager
def children_ignoring_terminal() -> Iterator[None]:
    """Let the programs that the block starts ignore the signals of a terminal. Outside the main thread nothing
    changes.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in OF_A_TERMINAL}
    ignore_terminal()
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
