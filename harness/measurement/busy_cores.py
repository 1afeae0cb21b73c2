"""How many cores other work kept busy while something was timed. Torch is not imported.

Seconds that were measured beside other work are not those of the cell alone. The counters of the system include every
process of the machine; the time of the own process is subtracted. Other processes of one parallel cell count as other
work.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import psutil

UNCOUNTED = "the system does not count its processors' time"
NOTICED = 0.2
"""Cores of other work from which seconds are not called those of the cell alone."""


@dataclass
class BusyCores:
    """The work of other processes during some blocks. seconds: of the blocks. others_s: processor seconds of others."""

    seconds: float = 0.0
    others_s: float | None = 0.0

    @contextmanager
    def during(self) -> Iterator[None]:
        """Add the time of the block."""
        wall, own, machine = time.perf_counter(), time.process_time(), _busy_s()
        try:
            yield
        finally:
            self.seconds += time.perf_counter() - wall
            after = _busy_s()
            if machine is None or after is None or self.others_s is None:
                self.others_s = None
            else:
                self.others_s += max(0.0, after - machine - (time.process_time() - own))

    @property
    def cores(self) -> float | None:
        """Return the cores that other work kept busy on average; None where nothing was timed or counted."""
        return None if self.others_s is None or not self.seconds else self.others_s / self.seconds


def _busy_s() -> float | None:
    """Return the seconds that all processors of the machine have worked; None where they are not counted."""
    times = psutil.cpu_times()
    busy = times.user + times.system + getattr(times, "nice", 0.0)
    return busy if busy > 0 else None
