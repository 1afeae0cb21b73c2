"""The step on a GPU: what runs out of memory is a result, and the allocator agrees with the forecast."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from harness.config.schema import Cell
from harness.config.step_load import KERNELS, PLAIN, Load
from harness.forecast import gpu_measurement
from harness.forecast.compute import answers
from harness.store import identity


@pytest.mark.parametrize(
    ("error", "status"),
    [(torch.OutOfMemoryError("CUDA out of memory"), "oom"), (RuntimeError("a kernel is missing"), "failed")],
)
def test_what_became_of_it_is_the_answer(
    cell: Callable[..., Cell], monkeypatch: pytest.MonkeyPatch, error: Exception, status: str
) -> None:
    def fail(*_: Any) -> None:
        raise error

    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: "GPU")
    monkeypatch.setattr(gpu_measurement, "prepare", fail)
    told = gpu_measurement.measure(identity.to_json(cell()), vars(Load()), 8)
    assert (told["status"], told["device"]) == (status, "GPU")
    assert str(error) in told["error"]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no NVIDIA device")
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("kernel", [name for name in KERNELS if name != PLAIN])
@pytest.mark.parametrize("method", ["full", "lora", "prefix"])
def test_the_allocator_agrees(cell: Callable[..., Cell], method: str, kernel: str, precision: str) -> None:
    made = identity.to_json(cell(method, "t5-base", recipe__precision=precision))
    load = vars(Load(128, 8, kernel))
    ((figures,),) = answers([(made, load, [8], None)])
    assert isinstance(figures, dict)
    told = gpu_measurement.measure(made, load, 8)
    assert told["status"] == "done", told
    assert figures["peak_bytes"] == pytest.approx(told["allocated_bytes"], rel=0.05)
