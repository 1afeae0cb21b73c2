"""Bytes by phase from each counter, and NVML's figures of the device; null where a figure is unknown, with the reason.

process_bytes: resident memory of this process on the host, at the end of the phase, after the process has given back
what it freed. torch_*: peaks of torch's allocator. nvml_device_bytes: peak in use on the device by all processes.
nvml_above_idle_bytes: that peak less the bytes in use before this run. nvml_process_bytes: NVML's figure for this
process.
"""

from typing import Any

import psutil
import torch

from harness.measurement import cuda_devices, freed_memory, nvml
from harness.measurement.memory_sampler import Sampler, Samples, most
from harness.store.attempt_folder import AttemptFolder

SAMPLE_MS = 10.0
FIGURES = ("uuid", "driver", "idle_bytes", "others", "utilisation", "power_w", "energy_j", "energy_from", "sampling")
"""Figures of a device besides its name."""
Reading = dict[str, int | None]


class Memory:
    """The memory of one run on one device; until this object is made, the device counts as idle."""

    def __init__(self, device: torch.device, folder: AttemptFolder | None, sample_ms: float) -> None:
        self._torch = device if device.type == "cuda" else None
        self._name = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
        self._process = psutil.Process()
        self._samples = Samples(folder)
        self.peaks: dict[str, Reading] = {}
        opened, why = open_device(device)
        self.why_null = {"nvml": why} if why else {}
        if self._torch is None:
            self.why_null["torch"] = f"torch counts memory on GPUs only; this ran on {device.type}"
        self._sampler = Sampler(opened, sample_ms / 1000, self._samples.keep) if opened else None
        if self._sampler is not None:
            self._sampler.start()

    def begin(self, part: str) -> None:
        """Assign the memory used from now on to `part`."""
        if self._torch is not None:
            torch.cuda.reset_peak_memory_stats(self._torch)
        if self._sampler is not None:
            self._sampler.enter(part)

    def end(self, part: str, *wholes: str) -> None:
        """Record the peaks since `begin` for the part, and for the phases that it belongs to."""
        if self._sampler is not None:
            self._sampler.enter("")
        freed_memory.give_back()
        reading = self._read(part)
        for name in (part, *wholes):
            peak = self.peaks.setdefault(name, {})
            for figure, value in reading.items():
                peak[figure] = most(peak.get(figure), value)
        self._samples.keep({"phase": part, **reading})

    def close(self) -> None:
        """Stop sampling and write the last rows."""
        if self._sampler is not None:
            self._sampler.stop()
        self._samples.close()

    def summary(self) -> dict[str, Any]:
        """Return bytes by phase, and why null figures are null."""
        lacking = self._why("device_bytes", "process_bytes")
        return {**self.peaks, "why_null": {**self.why_null, **lacking}}

    def device(self) -> dict[str, Any]:
        """Return the device, the largest number of other processes on it, and by phase its utilisation, watts and
        joules.
        """
        sampler = self._sampler
        if sampler is None:
            return {"name": self._name, **dict.fromkeys(FIGURES), "why_null": {"nvml": self.why_null["nvml"]}}
        phases = sampler.phases.items()
        return {
            **sampler.device.about(),
            "idle_bytes": sampler.device.idle_bytes,
            "others": sampler.others,
            "utilisation": {name: phase.utilisation for name, phase in phases},
            "power_w": {name: phase.power_w for name, phase in phases},
            "energy_j": {**{name: phase.energy_j for name, phase in phases}, "run": sampler.energy_j},
            "energy_from": sampler.energy_from,
            "sampling": sampler.cost,
            "why_null": self._why(*sampler.device.why),
        }

    def _read(self, part: str) -> Reading:
        """Return the figures of a part now, in bytes."""
        cuda = self._torch
        seen = self._sampler.phases.get(part) if self._sampler is not None else None
        idle = self._sampler.device.idle_bytes if self._sampler is not None else None
        used = seen.device_bytes if seen is not None else None
        return {
            "process_bytes": self._process.memory_info().rss,
            "torch_allocated_bytes": torch.cuda.max_memory_allocated(cuda) if cuda is not None else None,
            "torch_reserved_bytes": torch.cuda.max_memory_reserved(cuda) if cuda is not None else None,
            "nvml_device_bytes": used,
            "nvml_above_idle_bytes": None if used is None or idle is None else max(used - idle, 0),
            "nvml_process_bytes": seen.process_bytes if seen is not None else None,
        }

    def _why(self, *figures: str) -> dict[str, str]:
        """Return why these figures are unknown."""
        known = self._sampler.device.why if self._sampler is not None else {}
        return {f"nvml_{figure}": known[figure] for figure in figures if figure in known}


def open_device(device: torch.device) -> tuple[nvml.Device | None, str]:
    """Return (the device as NVML knows it, or None; why it is None)."""
    if device.type != "cuda":
        return None, f"NVML knows NVIDIA GPUs only; this ran on {device.type}"
    if torch.version.hip:
        return None, "NVML knows NVIDIA GPUs only; this torch is built for ROCm"
    library, why = nvml.library()
    if library is None:
        return None, f"NVML is not available: {why}"
    try:
        uuid = str(torch.cuda.get_device_properties(device).uuid)
    except Exception:  # an older torch has no UUID; the numbers may suffice
        uuid = None
    handle, why = cuda_devices.find(library, device.index or 0, uuid)
    return (None, f"NVML is not available: {why}") if handle is None else (nvml.Device(library, handle), "")
