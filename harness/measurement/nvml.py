"""One NVIDIA device through NVML: each figure is a number, or None with the reason in `why`. Torch is not imported.

A library that is absent, broken, or lacks a figure never raises here: code that does not need it goes on.
"""

import importlib
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

T = TypeVar("T")

WORDS = {
    3: "the device does not report it",
    4: "this user may not read it",
    6: "NVML knows no such device",
    9: "the NVIDIA driver is not loaded",
    10: "NVML timed out",
    12: "there is no NVIDIA driver: its library libnvidia-ml was not found",
    13: "the driver is too old to report it",
    15: "the device is lost: it fell off the bus or was reset",
    16: "the device needs a reset",
    17: "the operating system or a container blocks the device",
    18: "the driver's library and its kernel module have different versions: restart the machine or reload the module",
    28: "the device is not there any more",
}
"""NVML's return codes (nvml.h, enum nvmlReturn_t) in words."""
LOST = (15, 16, 28)
FOR_GOOD = (1, 3, 4, 6, 9, 12, 13, 17, 18, *LOST)
"""Codes that a repeated call does not change."""


@dataclass(frozen=True)
class Reading:
    """The figures of one moment; None: see `Device.why`.

    - device_bytes: in use by all processes. process_bytes: by this process. others: the number of other processes.
    - utilisation: the percentage of the time in which a kernel ran (over NVML's own last period).
    """

    device_bytes: int | None = None
    process_bytes: int | None = None
    others: int | None = None
    utilisation: int | None = None
    power_w: float | None = None


@dataclass
class Device:
    """A device, or one MIG instance of it. at_start: the number of processes that used it before this one."""

    library: Any
    handle: Any
    pid: int = field(default_factory=os.getpid)
    why: dict[str, str] = field(default_factory=dict)
    lost: bool = False
    gone: str = ""
    _mute: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.idle_bytes = self.device_bytes()
        running = self._ask("others", lambda: self.library.nvmlDeviceGetComputeRunningProcesses(self.handle))
        self.at_start = None if running is None else sum(process.pid != self.pid for process in running)

    def read(self, slow: bool = True) -> Reading:
        """Return all figures that change; without `slow` only the bytes in use."""
        if not slow:
            return Reading(self.device_bytes())
        return Reading(self.device_bytes(), *self._processes(), self._utilisation(), self._power())

    def device_bytes(self) -> int | None:
        """Return the bytes in use on the device, the driver's own included."""
        return self._ask("device_bytes", lambda: int(self.library.nvmlDeviceGetMemoryInfo(self.handle).used))

    def energy_j(self) -> float | None:
        """Return the joules since the driver was loaded."""
        return self._ask("energy", lambda: self.library.nvmlDeviceGetTotalEnergyConsumption(self.handle) / 1000)

    def about(self) -> Mapping[str, str | None]:
        """Return the device's name, its UUID and the driver's version."""
        return {
            "name": self._ask("name", lambda: text(self.library.nvmlDeviceGetName(self.handle))),
            "uuid": self._ask("uuid", lambda: text(self.library.nvmlDeviceGetUUID(self.handle))),
            "driver": self._ask("driver", lambda: text(self.library.nvmlSystemGetDriverVersion())),
        }

    def _power(self) -> float | None:
        return self._ask("power", lambda: self.library.nvmlDeviceGetPowerUsage(self.handle) / 1000)

    def _utilisation(self) -> int | None:
        return self._ask("utilisation", lambda: int(self.library.nvmlDeviceGetUtilizationRates(self.handle).gpu))

    def _processes(self) -> tuple[int | None, int | None]:
        """Return (bytes of this process, number of other processes)."""
        running = self._ask("others", lambda: self.library.nvmlDeviceGetComputeRunningProcesses(self.handle))
        if running is None:
            self.why["process_bytes"] = self.why["others"]
            return None, None
        mine = [process for process in running if process.pid == self.pid]
        others = len({process.pid for process in running} - {self.pid})
        if not mine:
            self.why["process_bytes"] = "NVML lists processes, if any, by ids of another namespace, as in a container"
            if not running:
                self.why["others"] = "NVML lists no process, not even this one, as in a container"
                return None, None
            return None, max(self.at_start or 0, others - 1)
        if not mine[0].usedGpuMemory:
            self.why["process_bytes"] = "NVML lists this process without its memory, as in a container or on MIG"
            return None, others
        self.why.pop("process_bytes", None)
        return int(mine[0].usedGpuMemory), others

    def _ask(self, figure: str, question: Callable[[], T]) -> T | None:
        """Return the answer to a call of NVML, or None with the reason in `why`."""
        if self.lost:
            self.why[figure] = self.gone
        if self.lost or figure in self._mute:
            return None
        try:
            answer = question()
        except Exception as error:  # NVML's own kind, or an error of ctypes with a foreign or broken library
            self.why[figure] = self.gone = words(error)
            code = getattr(error, "value", None)
            self.lost = code in LOST
            if code is None or code in FOR_GOOD:
                self._mute.add(figure)
            return None
        self.why.pop(figure, None)
        return answer


def library() -> tuple[Any, str]:
    """Return (pynvml, initialised, or None; why it is None)."""
    try:
        pynvml: Any = importlib.import_module("pynvml")
        pynvml.nvmlInit()
    except Exception as error:  # absent, broken and mismatched libraries raise different kinds
        return None, words(error)
    return pynvml, ""


def words(error: Exception) -> str:
    """Return an NVML error in words; any other error by its own text."""
    code = getattr(error, "value", None)
    if isinstance(error, ImportError):
        return "pynvml is not installed (pip install nvidia-ml-py)"
    own = " ".join(f"{error}".split()) or type(error).__name__
    meaning = WORDS.get(code) if isinstance(code, int) else None
    return f"{meaning} (NVML: {own})" if meaning else f"NVML failed: {own}"


def text(value: str | bytes) -> str:
    """Return a text that older bindings return as bytes."""
    return value.decode(errors="replace") if isinstance(value, bytes) else value
