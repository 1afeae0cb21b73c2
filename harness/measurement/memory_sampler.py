"""NVML readings every few milliseconds by a thread, kept by phase and as rows of memory.jsonl. Torch is not imported.

The thread calls the driver without holding Python's lock, and counts its processor time (`cost`). Where readings are
slow it makes fewer of them, so that it takes at most SHARE of the time. Power, other processes and utilisation are read
at every tenth reading only, because NVML averages them over longer periods.
"""

import json
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from harness.files import strict_json
from harness.measurement.nvml import Device, Reading
from harness.store.attempt_folder import AttemptFolder

SLOW_EVERY = 10
"""Every how many readings power, other processes and utilisation are read."""
SHARE = 0.005
"""The largest share of the wall time that the thread may compute."""
ROW_S = 1.0  # a row at least this often, and whenever the memory changes
Row = dict[str, Any]


class Phase:
    """The readings of one phase: peaks, means and joules."""

    def __init__(self) -> None:
        self.device_bytes: int | None = None
        self.process_bytes: int | None = None
        self._counted_j: float | None = None
        self.power_j = self.power_s = 0.0
        self._busy: list[int] = []

    def add(self, reading: Reading, gap_s: float) -> None:
        """Add a reading that stands for `gap_s` seconds."""
        self.device_bytes = most(self.device_bytes, reading.device_bytes)
        self.process_bytes = most(self.process_bytes, reading.process_bytes)
        if reading.utilisation is not None:
            self._busy.append(reading.utilisation)
        if reading.power_w is not None:
            self.power_j += reading.power_w * gap_s
            self.power_s += gap_s

    def add_energy(self, joules: float) -> None:
        """Add joules by the device's counter."""
        self._counted_j = (self._counted_j or 0.0) + joules

    @property
    def energy_j(self) -> float | None:
        """Return joules by the device's counter, else watts over time."""
        return self._counted_j if self._counted_j is not None else self.power_j if self.power_s else None

    @property
    def power_w(self) -> float | None:
        """Return the mean watts; None without a reading."""
        return self.power_j / self.power_s if self.power_s else None

    @property
    def utilisation(self) -> float | None:
        """Return the mean utilisation in percent; None without a reading."""
        return sum(self._busy) / len(self._busy) if self._busy else None


class Sampler:
    """A thread that assigns every reading between `start` and `stop` to the phase that `enter` named last.

    keep: the function that stores rows.
    """

    def __init__(self, device: Device, interval_s: float, keep: Callable[[Row], None]) -> None:
        self.device, self.interval_s, self._keep = device, interval_s, keep
        self.phases: dict[str, Phase] = {}
        self.others: int | None = device.at_start or None  # an empty list may mean that NVML cannot list processes
        self.samples = 0
        self.wall_s = self.thread_s = 0.0
        self._phase = ""
        self._began = self._read_at = self._row_at = time.monotonic()
        self._energy = self._first_energy = device.energy_j()
        self._last: Reading | None = None
        self._lock, self._stopping = threading.Lock(), threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Start the thread, unless the interval is 0: then only the ends of phases are read."""
        if self.interval_s > 0:
            self._thread = threading.Thread(target=self._run, name="nvml", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """Stop the thread and end the last phase."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        self.enter("")

    def enter(self, phase: str) -> None:
        """Start a phase. The previous one is read once more, so that none is without a reading."""
        with self._lock:
            self._take(slow=True)
            self._count_energy()
            self._phase = phase

    @property
    def cost(self) -> Mapping[str, Any]:
        """Return the cost of sampling. thread_share: the share of the wall time that the thread computed."""
        wall = self.wall_s or None
        return {
            "interval_ms": 1000 * self.interval_s,
            "samples": self.samples,
            "thread_share": self.thread_s / wall if wall else None,
        }

    @property
    def energy_j(self) -> float | None:
        """Return the joules since this sampler was made, by the device's counter, else by its power over time."""
        if self._energy is not None and self._first_energy is not None:
            return self._energy - self._first_energy
        joules = [phase.power_j for phase in self.phases.values() if phase.power_s]
        return sum(joules) if joules else None

    @property
    def energy_from(self) -> str | None:
        """Return the source of the joules."""
        return "counter" if self._energy is not None else "watts over time" if self.energy_j is not None else None

    def _run(self) -> None:
        """Take readings until the sampler is stopped."""
        began, own, turn = time.monotonic(), time.thread_time(), 0
        while not self._stopping.is_set():
            with self._lock:
                self._take(slow=turn % SLOW_EVERY == 0)
            turn += 1
            self.wall_s, self.thread_s = time.monotonic() - began, time.thread_time() - own
            self._stopping.wait(max(self.interval_s, self.thread_s / turn / SHARE))

    def _take(self, slow: bool) -> None:
        """Take one reading and store a row where the memory changed. slow: read all figures."""
        now = time.monotonic()
        reading, gap = self.device.read(slow), now - self._read_at
        self._read_at = now if slow else self._read_at
        self.samples += 1
        if reading.others is not None:
            self.others = most(self.others, reading.others)
        if self._phase:
            self.phases.setdefault(self._phase, Phase()).add(reading, gap)
        changed = self._last is None or reading.device_bytes != self._last.device_bytes
        if changed or now - self._row_at >= ROW_S:
            self._row_at, self._last = now, reading
            known = {figure: value for figure, value in vars(reading).items() if value is not None}
            self._keep({"phase": self._phase or None, **known})

    def _count_energy(self) -> None:
        """Add the joules since the last change of phase to the phase that ends."""
        now = self.device.energy_j()
        if self._phase and now is not None and self._energy is not None:
            phase = self.phases[self._phase]
            phase.add_energy(now - self._energy)
        self._energy = now if now is not None else self._energy


def most(known: Any, value: Any) -> Any:
    """Return the larger value, or the other one where one is None."""
    return value if known is None else known if value is None else max(known, value)


FILE = "memory.jsonl"
FLUSH_S = 1.0


class Samples:
    """The rows of one run; none without a folder. A folder that cannot be written ends the rows, not the run."""

    def __init__(self, folder: AttemptFolder | None) -> None:
        self._folder = folder
        self._rows: list[Mapping[str, Any]] = []
        self._began = self._flushed = time.monotonic()
        self._lock = threading.Lock()

    def keep(self, row: Mapping[str, Any]) -> None:
        """Add a row; the rows are written every second."""
        if self._folder is None:
            return
        with self._lock:
            now = time.monotonic()
            self._rows.append({"seconds": round(now - self._began, 4), **row})
            if now - self._flushed >= FLUSH_S:
                self._flushed = now
                self._write()

    def close(self) -> None:
        """Write the remaining rows."""
        with self._lock:
            self._write()

    def _write(self) -> None:
        rows, self._rows = self._rows, []
        if self._folder is None or not rows:
            return
        lines = "".join(f"{json.dumps(strict_json.finite(row), ensure_ascii=False)}\n" for row in rows)
        try:
            with (self._folder.path / FILE).open("a", encoding="utf-8") as file:
                file.write(lines)
        except OSError:
            self._folder = None
