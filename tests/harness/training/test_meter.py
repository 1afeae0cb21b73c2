"""The meter against known truth: sleeps of known length, and NVML that answers, fails or is absent."""

import sys
import time
from types import ModuleType, SimpleNamespace

import pytest
import torch

from harness import meter
from harness.meter import WARM_UP_STEPS, Meter

CPU = torch.device("cpu")


def test_seconds_go_to_their_phase_and_add_up() -> None:
    clock = Meter(CPU)
    for _ in range(2):
        with clock.phase("load"):
            time.sleep(0.02)
    with clock.phase("evaluate"):
        pass
    assert 0.04 <= clock.seconds["load"] < 0.2
    assert clock.seconds["evaluate"] < 0.02


def test_steps_count_rows_and_tokens_and_leave_the_warm_up_out() -> None:
    clock = Meter(CPU)
    for i in range(WARM_UP_STEPS + 6):
        with clock.step(examples=4, tokens=10):
            time.sleep(0.05 if i < WARM_UP_STEPS else 0.002)
    told = clock.time()
    assert clock.tokens == 10 * (WARM_UP_STEPS + 6)
    assert told["train_s"] >= 0.05 * WARM_UP_STEPS
    assert 2 <= told["step_ms"]["median"] < 40
    assert told["tokens_per_s"] == pytest.approx(clock.tokens / told["train_s"])
    assert told["examples_per_s"] == pytest.approx(4 / 10 * told["tokens_per_s"])


def test_a_phase_that_fails_is_still_measured() -> None:
    clock = Meter(CPU)
    with pytest.raises(RuntimeError), clock.phase("load"):
        raise RuntimeError
    assert clock.memory()["load"]["process_bytes"] > 0


def test_memory_grows_by_what_is_held() -> None:
    clock = Meter(CPU)
    with clock.phase("before"):
        pass
    with clock.phase("after"):
        held = torch.ones(25_000_000)  # 100 MB, written to
    grown = clock.peaks["after"]["process_bytes"] - clock.peaks["before"]["process_bytes"]  # type: ignore[operator]
    assert held.nbytes * 0.8 < grown < held.nbytes * 1.5


def test_what_is_not_there_is_null_with_a_reason_and_never_zero() -> None:
    clock = Meter(CPU)
    with clock.phase("load"):
        pass
    told = clock.memory()
    assert told["load"]["nvml_device_bytes"] is None
    assert told["load"]["torch_allocated_bytes"] is None
    assert all(len(reason) > 10 for reason in told["why_null"].values())


def library(monkeypatch: pytest.MonkeyPatch, broken: str = "") -> type[Exception]:
    """A pynvml that answers 7 bytes, or fails in the function named."""
    fake = ModuleType("pynvml")

    class NVMLError(Exception):
        pass

    def answer(name: str, value: object) -> object:
        def call(*_: object) -> object:
            if name == broken:
                raise NVMLError("Driver Not Loaded")
            return value

        return call

    fake.NVMLError = NVMLError  # type: ignore[attr-defined]
    answers = {
        "nvmlInit": None, "nvmlDeviceGetHandleByUUID": "handle", "nvmlDeviceGetMemoryInfo": SimpleNamespace(used=7)
    }  # fmt: skip
    for name, value in answers.items():
        setattr(fake, name, answer(name, value))
    monkeypatch.setitem(sys.modules, "pynvml", fake)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: SimpleNamespace(uuid="abc"))
    return NVMLError


@pytest.mark.parametrize("broken", ["", "nvmlInit", "nvmlDeviceGetHandleByUUID"])
def test_nvml_is_used_where_it_answers_and_excused_where_it_does_not(
    monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    library(monkeypatch, broken)
    handle, why = meter._nvml(torch.device("cuda"))
    assert (handle is None) == bool(broken)
    assert ("Driver Not Loaded" in why) == bool(broken)


def test_nvml_that_stops_answering_ends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    library(monkeypatch)
    clock = Meter(CPU)
    clock._nvml = "handle"
    with clock.phase("load"):
        pass
    assert clock.peaks["load"]["nvml_device_bytes"] == 7
    library(monkeypatch, "nvmlDeviceGetMemoryInfo")
    with clock.phase("train"):
        pass
    assert clock.peaks["train"]["nvml_device_bytes"] is None
    assert "stopped answering" in clock.why_null["nvml"]
