"""What a run costs: seconds by phase, time per step, memory by phase. What cannot be known is null, with the reason."""

import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psutil
import torch

WARM_UP_STEPS = 5  # not in the time per step: allocators and caches fill
Reading = dict[str, int | None]


class Meter:
    """Of one run on one device. Phases do not nest; a phase entered again adds to itself."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._process = psutil.Process()
        self._nvml, why = _nvml(device)
        self.why_null = {"nvml": why} if why else {}
        if device.type != "cuda":
            self.why_null["torch"] = f"torch counts memory on GPUs only; this ran on {device.type}"
        self.seconds: dict[str, float] = {}
        self.peaks: dict[str, Reading] = {}
        self._steps: list[float] = []
        self._examples = self._tokens = 0

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Time and memory of what happens inside count for `name`."""
        if self._device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self._device)
        self._wait()
        start = time.perf_counter()
        try:
            yield
        finally:
            self._wait()
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - start
            peak = self.peaks.setdefault(name, {})
            for figure, value in self._read().items():
                known = peak.get(figure)
                peak[figure] = value if known is None or value is None else max(known, value)

    @contextmanager
    def step(self, examples: int, tokens: int) -> Iterator[None]:
        """One optimiser step."""
        start = time.perf_counter()
        yield
        self._wait()
        self._steps.append(time.perf_counter() - start)
        self._examples += examples
        self._tokens += tokens

    @property
    def train_s(self) -> float:
        """Seconds of training so far: steps only, without evaluation and data preparation."""
        return sum(self._steps)

    @property
    def tokens(self) -> int:
        """Tokens trained on so far, padding not counted."""
        return self._tokens

    def time(self) -> dict[str, Any]:
        """The record's `time`, in seconds, milliseconds and per second."""
        steady = sorted(self._steps[WARM_UP_STEPS:] or self._steps)
        total = self.train_s
        return {
            "train_s": total,
            **{f"{name}_s": seconds for name, seconds in self.seconds.items() if name != "train"},
            "steps": len(self._steps),
            "warm_up_steps": min(WARM_UP_STEPS, max(len(self._steps) - 1, 0)),
            "step_ms": {"median": _ms(statistics.median(steady)), "p95": _ms(_percentile(steady, 0.95))}
            if steady
            else None,
            "examples_per_s": self._examples / total if total else None,
            "tokens_per_s": self._tokens / total if total else None,
        }

    def memory(self) -> dict[str, Any]:
        """The record's `memory`: bytes by phase. `process_bytes` includes some 500 MB of imported libraries."""
        return {**self.peaks, "why_null": self.why_null}

    def _read(self) -> Reading:
        cuda = self._device.type == "cuda"
        return {
            "process_bytes": self._process.memory_info().rss,
            "torch_allocated_bytes": torch.cuda.max_memory_allocated(self._device) if cuda else None,
            "torch_reserved_bytes": torch.cuda.max_memory_reserved(self._device) if cuda else None,
            "nvml_device_bytes": self._nvml_bytes(),
        }

    def _nvml_bytes(self) -> int | None:
        if self._nvml is None:
            return None
        import pynvml

        try:
            return int(pynvml.nvmlDeviceGetMemoryInfo(self._nvml).used)
        except pynvml.NVMLError as error:
            self.why_null["nvml"] = f"NVML stopped answering: {error}"
            return None

    def _wait(self) -> None:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)


def _nvml(device: torch.device) -> tuple[Any, str]:
    """(the device's NVML handle or None, why it is None)."""
    if device.type != "cuda":
        return None, f"NVML knows NVIDIA GPUs only; this ran on {device.type}"
    try:
        import pynvml

        pynvml.nvmlInit()
        uuid = str(torch.cuda.get_device_properties(device).uuid)
        return pynvml.nvmlDeviceGetHandleByUUID(uuid if uuid.startswith(("GPU-", "MIG-")) else f"GPU-{uuid}"), ""
    except Exception as error:  # absent, broken and partly supported libraries each raise their own kind
        return None, f"NVML is not available: {type(error).__name__}: {error}"


def _percentile(ordered: list[float], share: float) -> float:
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def _ms(seconds: float) -> float:
    return round(1000 * seconds, 3)
