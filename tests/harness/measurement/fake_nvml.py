"""An NVML that answers like the real one, fails like it, and lacks what it can lack. Its errors are pynvml's own."""

import time
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pynvml

GIB = 2**30
UUID = "GPU-0f1e2d3c-0000-1111-2222-333344445555"


@dataclass
class Gpu:
    """One device. memory: bytes in use, or a function of nothing. processes: pid -> bytes, None where untold."""

    name: str = "NVIDIA H100 80GB HBM3"
    uuid: str = UUID
    used: Any = GIB
    processes: dict[int, int | None] = field(default_factory=dict)
    watts: float = 100.0
    busy: int = 50
    parts: list["Gpu"] = field(default_factory=list)


@dataclass
class FakeNvml:
    """The module `pynvml`. fails: function -> code it raises, from its `after`-th call on. slow_s: of every call."""

    gpus: list[Gpu] = field(default_factory=lambda: [Gpu()])
    fails: dict[str, int] = field(default_factory=dict)
    after: int = 0
    slow_s: float = 0.0
    calls: dict[str, int] = field(default_factory=dict)
    born: float = field(default_factory=time.monotonic)

    def _called(self, name: str) -> None:
        self.calls[name] = self.calls.get(name, 0) + 1
        if self.slow_s:
            time.sleep(self.slow_s)
        code = self.fails.get(name, self.fails.get("*", 0))
        if code and self.calls[name] > self.after:
            raise pynvml.NVMLError(code)

    def nvmlInit(self) -> None:
        self._called("nvmlInit")

    def nvmlShutdown(self) -> None:
        self._called("nvmlShutdown")

    def nvmlSystemGetDriverVersion(self) -> str:
        self._called("nvmlSystemGetDriverVersion")
        return "999.10"

    def nvmlDeviceGetCount(self) -> int:
        self._called("nvmlDeviceGetCount")
        return len(self.gpus)

    def nvmlDeviceGetHandleByIndex(self, index: int) -> Gpu:
        self._called("nvmlDeviceGetHandleByIndex")
        if index >= len(self.gpus):
            raise pynvml.NVMLError(pynvml.NVML_ERROR_INVALID_ARGUMENT)
        return self.gpus[index]

    def nvmlDeviceGetHandleByUUID(self, uuid: str) -> Gpu:
        self._called("nvmlDeviceGetHandleByUUID")
        for gpu in self.gpus:
            for one in (gpu, *gpu.parts):
                if one.uuid == uuid:
                    return one
        raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_FOUND)

    def nvmlDeviceGetName(self, handle: Gpu) -> str:
        self._called("nvmlDeviceGetName")
        return handle.name

    def nvmlDeviceGetUUID(self, handle: Gpu) -> bytes:
        self._called("nvmlDeviceGetUUID")
        return handle.uuid.encode()  # as older bindings do

    def nvmlDeviceGetMemoryInfo(self, handle: Gpu) -> SimpleNamespace:
        self._called("nvmlDeviceGetMemoryInfo")
        used = handle.used() if callable(handle.used) else handle.used
        return SimpleNamespace(total=80 * GIB, free=80 * GIB - used, used=used)

    def nvmlDeviceGetComputeRunningProcesses(self, handle: Gpu) -> list[SimpleNamespace]:
        self._called("nvmlDeviceGetComputeRunningProcesses")
        return [SimpleNamespace(pid=pid, usedGpuMemory=used) for pid, used in handle.processes.items()]

    def nvmlDeviceGetUtilizationRates(self, handle: Gpu) -> SimpleNamespace:
        self._called("nvmlDeviceGetUtilizationRates")
        return SimpleNamespace(gpu=handle.busy, memory=10)

    def nvmlDeviceGetPowerUsage(self, handle: Gpu) -> int:
        self._called("nvmlDeviceGetPowerUsage")
        return round(1000 * handle.watts)

    def nvmlDeviceGetTotalEnergyConsumption(self, handle: Gpu) -> int:
        self._called("nvmlDeviceGetTotalEnergyConsumption")
        return round(1000 * handle.watts * (time.monotonic() - self.born))

    def nvmlDeviceGetMigMode(self, device: Gpu) -> list[int]:
        self._called("nvmlDeviceGetMigMode")
        if not device.parts and "A10" in device.name:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED)
        return [int(bool(device.parts))] * 2

    def nvmlDeviceGetMaxMigDeviceCount(self, device: Gpu) -> int:
        self._called("nvmlDeviceGetMaxMigDeviceCount")
        return 7

    def nvmlDeviceGetMigDeviceHandleByIndex(self, device: Gpu, index: int) -> Gpu:
        self._called("nvmlDeviceGetMigDeviceHandleByIndex")
        if index >= len(device.parts):
            raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_FOUND)
        return device.parts[index]
