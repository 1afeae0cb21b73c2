"""The costs of a run: seconds by phase, time per step, and through memory.py bytes, watts and joules.

Phases are named by the run (prepare, load, train, evaluate; begin, where a method has a start of its own). `train` is
also split into `first_step`, in which gradients and the optimiser's state are created, and `steady`, the rest. A first
step's peak counts for `train` too.
"""

import contextlib
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from harness.measurement.busy_cores import BusyCores
from harness.measurement.memory import SAMPLE_MS, Memory
from harness.measurement.step_timer import WARM_UP_STEPS, Steps
from harness.store.attempt_folder import AttemptFolder

__all__ = ["WARM_UP_STEPS", "Meter"]

TRAIN, FIRST, STEADY = "train", "first_step", "steady"


class Meter:
    """The measurements of one run on one device. Phases do not nest; a phase that is entered again is added to.

    folder: the place of memory.jsonl; None keeps no rows. sample_ms: milliseconds between two readings of NVML; 0 reads
    only at the ends of phases.
    """

    def __init__(self, device: torch.device, folder: AttemptFolder | None = None, sample_ms: float = SAMPLE_MS) -> None:
        self._device = device
        self._memory = Memory(device, folder, sample_ms)
        self.seconds: dict[str, float] = {}
        self.steps = Steps()
        self._beside = BusyCores()
        self._unread = 0  # steps since memory was read
        self._trace = folder.trace() if folder is not None else None

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Assign the time and memory of the block to `name`.

        An error gets attributes with its place and the measurements so far: `error.phase`, `error.part`,
        `error.measured`.
        """
        self._memory.begin(self._part(name))
        self._mark(name, len(self.steps.seconds))
        self._wait()
        start = time.perf_counter()
        try:
            with self._beside.during() if name == TRAIN else contextlib.nullcontext():
                yield
                self._wait()
        except Exception as error:
            self._add(name, start)
            self._explain(error, name)
            raise
        self._add(name, start)
        self._read(name)

    @contextmanager
    def step(self, examples: int, tokens: int) -> Iterator[None]:
        """Measure one optimiser step."""
        self._mark(TRAIN, len(self.steps.seconds) + 1)
        start = time.perf_counter()
        yield
        self._wait()
        self.steps.add(time.perf_counter() - start, examples, tokens)
        self._unread += 1
        if len(self.steps.seconds) == 1:
            self._read(TRAIN)
            self._memory.begin(STEADY)

    @contextmanager
    def data(self) -> Iterator[None]:
        """Measure, inside a step, the making of its batch."""
        start = time.perf_counter()
        yield
        self.steps.data_s += time.perf_counter() - start

    @property
    def train_s(self) -> float:
        """Return the seconds of training so far: steps only, without evaluation and data preparation."""
        return sum(self.steps.seconds)

    @property
    def tokens(self) -> int:
        """Return the tokens trained on so far, without padding."""
        return sum(self.steps.tokens)

    @property
    def peaks(self) -> dict[str, dict[str, int | None]]:
        """Return the bytes by phase so far."""
        return self._memory.peaks

    def summary(self) -> dict[str, Any]:
        """Return the record's `memory`, `time` and `device`, and end the sampling."""
        self.close()
        return {"memory": self.memory(), "time": self.time(), "device": self._memory.device()}

    def _mark(self, phase: str, step: int) -> None:
        if self._trace is not None:
            self._trace.mark(phase, step)

    def close(self) -> None:
        """End the sampling and write the last rows."""
        if self._trace is not None:
            self._trace.close()
        self._memory.close()

    def time(self) -> dict[str, Any]:
        """Return the record's `time`, in seconds, milliseconds and per second.

        `busy_beside`: the cores that other work kept busy during the training, on average; None without a training.
        """
        phases = {f"{name}_s": seconds for name, seconds in self.seconds.items() if name != TRAIN}
        return {**self.steps.summary(), "busy_beside": self._beside.cores, **phases}

    def memory(self) -> dict[str, Any]:
        """Return the record's `memory`: bytes by phase. `process_bytes` includes some 500 MB of imported libraries."""
        return self._memory.summary()

    def _part(self, name: str) -> str:
        """Return the part of a phase that runs now; it differs from the phase in training only."""
        return name if name != TRAIN else STEADY if self.steps.seconds else FIRST

    def _read(self, name: str) -> None:
        """Assign the memory since the last reading to the phase and, in training, to its part."""
        part = name
        if name == TRAIN and self._unread:
            part = FIRST if len(self.steps.seconds) == self._unread == 1 else STEADY
        self._unread = 0
        self._memory.end(part, *({name} - {part}))

    def _add(self, name: str, start: float) -> None:
        self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - start

    def _explain(self, error: Exception, name: str) -> None:
        """Attach the measurements so far to an error. The device may be lost, so unknown figures are left out."""
        part = self._part(name)
        with contextlib.suppress(Exception):
            self._memory.end(part, *({name} - {part}))
        with contextlib.suppress(Exception):
            error.measured = self.summary()  # type: ignore[attr-defined]
        with contextlib.suppress(Exception):  # another class may forbid new attributes
            if not hasattr(error, "phase"):
                error.phase, error.part = name, part  # type: ignore[attr-defined]

    def _wait(self) -> None:
        """Wait for the device's queued work."""
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
