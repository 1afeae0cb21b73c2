"""The step of a forecast on a real GPU, with random weights, measured by torch's allocator."""

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

from harness import failure
from harness.config.step_load import Load
from harness.forecast import synthetic_step
from harness.forecast.prepared_cell import prepare
from harness.store import identity

BACKENDS = {
    "math": [SDPBackend.MATH],
    "flash": [SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH],
    "memory_efficient": [SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH],
}
"""Kernel -> what torch may take, in the order in which a forecast falls back."""


def measure(
    cell: Mapping[str, Any], load: Mapping[str, Any], batch_size: int, device_name: str = "cuda"
) -> dict[str, Any]:
    """Return the bytes at the peak of one step on the GPU, with the optimiser's state, and the device's versions.

    Call it in a child process. A step that fails has its status ("oom" for out of memory) and its error instead of
    `allocated_bytes` and `reserved_bytes`. On the CPU, which has no such allocator, `allocated_bytes` are those of the
    storages that live at once.
    """
    setup, device = Load(**load), torch.device(device_name)
    if device.type == "cpu":
        return _counted(cell, setup, batch_size)
    about = {"device": torch.cuda.get_device_name(device), "torch": torch.__version__, "cuda": torch.version.cuda}
    try:
        with _kernel(setup.kernel):
            subject = prepare(identity.from_json(cell), setup, device)
            optimizer = synthetic_step.ready(subject, lambda _: None)
            torch.cuda.synchronize(device)
            torch.cuda.reset_peak_memory_stats(device)
            synthetic_step.step(subject, optimizer, -(-batch_size // setup.accumulation))
            torch.cuda.synchronize(device)
    except Exception as error:  # of whatever kind: what became of it is the answer
        status = failure.STATUS.get(failure.kind(error), "failed")
        return {**about, "status": status, "error": failure.message(error)}
    peaks = {
        "allocated_bytes": torch.cuda.max_memory_allocated(device),
        "reserved_bytes": torch.cuda.max_memory_reserved(device),
    }
    return {**about, "status": "done", **peaks}


def _counted(cell: Mapping[str, Any], setup: Load, batch_size: int) -> dict[str, Any]:
    """Return the bytes of the storages that live at the peak of the same step on the CPU."""
    subject = prepare(identity.from_json(cell), setup, torch.device("cpu"))
    peak = synthetic_step.follow(subject, -(-batch_size // setup.accumulation)).most()
    return {"device": "cpu", "torch": torch.__version__, "cuda": None, "status": "done", "allocated_bytes": peak,
            "reserved_bytes": None}  # fmt: skip


def _kernel(name: str) -> AbstractContextManager[None]:
    return sdpa_kernel(BACKENDS[name], set_priority=True) if name in BACKENDS else nullcontext()
