"""The seconds of a job in which no cell runs: before its first cell, and from one cell to the next. Torch-free."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from harness.processes.hosts import Hosts


@dataclass
class Lane:
    """A job, whose cells run one after the other.

    begun: when the sweep began, in seconds since the epoch; None where other cells of the sweep ran before this job.
    hosts: the processes that have read what its cells share.
    """

    begun: float | None = None
    hosts: Hosts = field(default_factory=Hosts)
    _ended: float | None = None

    def before(self) -> Mapping[str, float]:
        """Return the seconds before a cell that starts now, as fields of its record's time.

        `start_s` before the first cell: imports, checks, the launcher and the server of processes. `between_s` since
        the cell before it ended: its record, the next lease and the start of a process.
        """
        if self._ended is not None:
            return {"between_s": time.monotonic() - self._ended}
        return {} if self.begun is None else {"start_s": max(0.0, time.time() - self.begun)}

    def ended(self) -> None:
        """Take account of a cell that has ended now."""
        self._ended = time.monotonic()
