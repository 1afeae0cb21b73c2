"""The meter against known truth: sleeps, tensors of known bytes, a device that answers, fails or goes."""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pynvml
import pytest
import torch

from harness import assets, failure
from harness.measurement import memory_sampler
from harness.measurement.meter import WARM_UP_STEPS, Meter
from harness.processes import child
from harness.store.attempt_folder import AttemptFolder
from tests.harness.measurement.fake_nvml import GIB, UUID, FakeNvml, Gpu

CPU = torch.device("cpu")
NULL = ("torch_allocated_bytes", "torch_reserved_bytes", "nvml_device_bytes", "nvml_above_idle_bytes")


def test_seconds_go_to_their_phase_and_add_up() -> None:
    clock = Meter(CPU)
    for _ in range(2):
        with clock.phase("load"):
            time.sleep(0.02)
    with clock.phase("evaluate"):
        pass
    assert 0.04 <= clock.seconds["load"] < 0.2
    assert clock.seconds["evaluate"] < 0.02
    assert clock.time()["load_s"] == clock.seconds["load"]


def test_steps_count_rows_and_tokens_and_leave_the_warm_up_out() -> None:
    clock = Meter(CPU)
    for i in range(WARM_UP_STEPS + 6):
        with clock.step(examples=4, tokens=10):
            time.sleep(0.05 if i < WARM_UP_STEPS else 0.002)
    told = clock.time()
    assert clock.tokens == 10 * (WARM_UP_STEPS + 6)
    assert told["warm_up_steps"] == WARM_UP_STEPS
    assert told["train_s"] >= 0.05 * WARM_UP_STEPS
    ranks = [told["step_ms"][name] for name in ("p5", "p25", "median", "p75", "p95")]
    assert ranks[0] >= 2
    assert ranks == sorted(ranks)
    assert ranks[2] < 40
    assert told["tokens_per_s"] == pytest.approx(clock.tokens / told["train_s"])
    assert told["examples_per_s"] == pytest.approx(4 / 10 * told["tokens_per_s"])
    assert told["steady_tokens_per_s"] > 1.5 * told["tokens_per_s"]
    assert told["steady_examples_per_s"] == pytest.approx(4 / 10 * told["steady_tokens_per_s"])


def test_the_time_of_batches_is_told_apart_and_is_part_of_the_step() -> None:
    clock = Meter(CPU)
    with clock.step(1, 1):
        with clock.data():
            time.sleep(0.03)
        time.sleep(0.01)
    told = clock.time()
    assert 0.03 <= told["data_s"] < told["train_s"]


def test_nothing_is_divided_by_no_steps() -> None:
    told = Meter(CPU).time()
    assert told["step_ms"] is None
    assert told["tokens_per_s"] is None
    assert told["steady_tokens_per_s"] is None


def test_a_phase_that_fails_is_still_measured_and_the_error_knows_it() -> None:
    clock = Meter(CPU)

    def fail() -> None:
        with clock.phase("load"):
            time.sleep(0.01)
            raise RuntimeError("as asked")

    with pytest.raises(RuntimeError) as caught:
        fail()
    assert clock.memory()["load"]["process_bytes"] > 0
    assert failure.describe(caught.value)["phase"] == "load"
    assert caught.value.measured["time"]["load_s"] >= 0.01  # type: ignore[attr-defined]


HOLDING = """
import torch
from harness.measurement.meter import Meter
clock = Meter(torch.device("cpu"))
with clock.phase("before"):
    pass
with clock.phase("after"):
    held = torch.ones(25_000_000)  # 100 MB, written to
print(clock.peaks["after"]["process_bytes"] - clock.peaks["before"]["process_bytes"], held.nbytes)
"""


def test_memory_grows_by_what_is_held() -> None:
    """A process of its own: here, what other tests have left is freed meanwhile, and hides some of the growth."""
    words = [sys.executable, "-c", HOLDING]
    done = subprocess.run(words, cwd=assets.root(), capture_output=True, text=True, check=True)
    grown, held = map(int, done.stdout.split())
    assert held * 0.8 < grown < held * 1.5


def test_what_is_not_there_is_null_with_a_reason_and_never_zero() -> None:
    clock = Meter(CPU)
    with clock.phase("load"):
        pass
    told = clock.summary()
    assert all(told["memory"]["load"][figure] is None for figure in NULL)
    assert all(len(reason) > 10 for reason in told["memory"]["why_null"].values())
    assert told["device"]["name"] == "cpu"
    assert told["device"]["energy_j"] is None
    assert "NVML" in told["device"]["why_null"]["nvml"]


def test_training_is_told_as_first_step_and_steady() -> None:
    clock = Meter(CPU)
    for steps in (3, 2):
        with clock.phase("train"):
            for _ in range(steps):
                with clock.step(1, 1):
                    pass
        with clock.phase("evaluate"):
            pass
    assert set(clock.peaks) == {"train", "first_step", "steady", "evaluate"}
    lone = Meter(CPU)
    with lone.phase("train"), lone.step(1, 1):
        pass
    assert set(lone.peaks) == {"train", "first_step"}


class Allocator:
    """What torch would tell of a GPU: bytes held now, and their peak since it was forgotten."""

    def __init__(self, gpu: Gpu) -> None:
        self.held = self.peak = 0
        gpu.used = lambda: GIB + self.held

    def hold(self, size: int) -> None:
        self.held = size
        self.peak = max(self.peak, size)

    def forget(self, *_: object) -> None:
        self.peak = self.held


Make = Callable[..., tuple[Meter, Gpu, Allocator]]


@pytest.fixture
def make(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Make]:
    """A meter on a made-up GPU, with the NVML library and the allocator behind it. Every reading reads everything."""
    made: list[Meter] = []
    monkeypatch.setattr(memory_sampler, "SLOW_EVERY", 1)
    monkeypatch.setattr(memory_sampler, "SHARE", 1.0)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)

    def do(sample_ms: float = 1.0, **settings: Any) -> tuple[Meter, Gpu, Allocator]:
        fake = FakeNvml(**settings)
        gpu = fake.gpus[0]
        memory = Allocator(gpu)
        monkeypatch.setitem(sys.modules, "pynvml", fake)  # type: ignore[arg-type]
        properties = SimpleNamespace(uuid=UUID.removeprefix("GPU-"))
        for name, answer in {
            "get_device_properties": lambda _: properties,
            "synchronize": lambda _: None,
            "reset_peak_memory_stats": memory.forget,
            "max_memory_allocated": lambda _: memory.peak,
            "max_memory_reserved": lambda _: memory.peak + 7,
            "get_device_name": lambda _: "made up",
        }.items():
            monkeypatch.setattr(torch.cuda, name, answer)
        made.append(Meter(torch.device("cuda"), AttemptFolder(tmp_path), sample_ms))
        return made[-1], gpu, memory

    yield do
    for meter in made:
        meter.close()
    assert not [thread for thread in threading.enumerate() if thread.name == "nvml"]


def test_peaks_between_the_ends_of_a_phase_are_seen(make: Make) -> None:
    clock, _, memory = make()
    with clock.phase("load"):
        memory.hold(3 * GIB)
        time.sleep(0.05)
        memory.hold(2 * GIB)
    with clock.phase("train"):
        for i in range(3):
            with clock.step(1, 1):
                memory.hold((9 if i == 0 else 5) * GIB)
                time.sleep(0.05)
                memory.hold(2 * GIB)
    told = clock.summary()["memory"]
    for phase, size in (("load", 3), ("first_step", 9), ("steady", 5), ("train", 9)):
        assert told[phase]["torch_allocated_bytes"] == size * GIB, phase
        assert told[phase]["torch_reserved_bytes"] == size * GIB + 7
        assert told[phase]["nvml_device_bytes"] == (1 + size) * GIB, phase
        assert told[phase]["nvml_above_idle_bytes"] == size * GIB


def test_energy_power_and_utilisation_are_those_of_the_phase(make: Make) -> None:
    clock, gpu, _ = make()
    gpu.processes[os.getpid()] = 5
    gpu.watts = 200.0
    with clock.phase("load"):
        time.sleep(0.2)
    gpu.busy = 90
    with clock.phase("train"):
        time.sleep(0.1)
    told = clock.summary()["device"]
    assert told["uuid"] == UUID
    assert told["energy_from"] == "counter"
    assert told["energy_j"]["load"] == pytest.approx(200 * clock.seconds["load"], rel=0.3)
    assert told["energy_j"]["load"] > told["energy_j"]["first_step"]
    assert told["energy_j"]["run"] >= told["energy_j"]["load"] + told["energy_j"]["first_step"] - 1e-6
    assert told["power_w"]["load"] == pytest.approx(200)
    assert told["utilisation"]["load"] == 50
    assert told["others"] == 0
    assert told["why_null"] == {}


def test_without_the_energy_counter_watts_over_time_stand_in(make: Make) -> None:
    clock, _, _ = make(fails={"nvmlDeviceGetTotalEnergyConsumption": pynvml.NVML_ERROR_NOT_SUPPORTED})
    with clock.phase("load"):
        time.sleep(0.2)
    told = clock.summary()["device"]
    assert told["energy_from"] == "watts over time"
    assert told["energy_j"]["load"] == pytest.approx(100 * clock.seconds["load"], rel=0.3)


def test_without_power_there_are_no_joules_and_a_reason(make: Make) -> None:
    lacking = ("nvmlDeviceGetTotalEnergyConsumption", "nvmlDeviceGetPowerUsage")
    clock, _, _ = make(fails=dict.fromkeys(lacking, pynvml.NVML_ERROR_NOT_SUPPORTED))
    with clock.phase("load"):
        pass
    told = clock.summary()["device"]
    assert told["energy_j"] == {"load": None, "run": None}
    assert told["energy_from"] is None
    assert {"nvml_energy", "nvml_power"} <= set(told["why_null"])


def test_another_process_is_flagged_even_when_it_is_gone_by_the_end(make: Make) -> None:
    clock, gpu, _ = make()
    with clock.phase("load"):
        gpu.processes.update({os.getpid(): 5, 7: 5})
        time.sleep(0.1)
        del gpu.processes[7]
    assert clock.summary()["device"]["others"] == 1


def test_what_a_container_hides_is_null_with_a_reason(make: Make) -> None:
    clock, _, _ = make()
    with clock.phase("load"):
        time.sleep(0.03)
    told = clock.summary()
    assert told["memory"]["load"]["nvml_process_bytes"] is None
    assert "container" in told["memory"]["why_null"]["nvml_process_bytes"]
    assert told["device"]["others"] is None
    assert "container" in told["device"]["why_null"]["nvml_others"]


def test_without_nvml_a_device_that_vanishes_still_leaves_what_was_known(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, _, memory = make(fails={"nvmlInit": pynvml.NVML_ERROR_LIBRARY_NOT_FOUND})

    def gone(_: object) -> None:
        raise RuntimeError("CUDA error: device is lost")

    def train() -> None:
        with clock.phase("load"):
            memory.hold(3 * GIB)
        with clock.phase("train"):
            for name in ("synchronize", "reset_peak_memory_stats", "max_memory_allocated", "get_device_name"):
                monkeypatch.setattr(torch.cuda, name, gone)

    with pytest.raises(RuntimeError, match="device is lost") as caught:
        train()
    measured = child._outcome(caught.value)
    assert measured["error"]["phase"] == "train"
    assert measured["memory"]["load"]["torch_allocated_bytes"] == 3 * GIB
    assert measured["device"]["name"] == "made up"


@pytest.mark.parametrize("function", ["nvmlInit", "nvmlDeviceGetHandleByUUID", "nvmlDeviceGetMemoryInfo", "*"])
@pytest.mark.parametrize("code", [9, 12, 15, 18, 999])
def test_a_broken_library_costs_its_own_figures_only(make: Make, function: str, code: int) -> None:
    clock, _, memory = make(fails={function: code})
    with clock.phase("load"):
        memory.hold(GIB)
    told = clock.summary()
    assert told["memory"]["load"]["torch_allocated_bytes"] == GIB
    assert told["memory"]["load"]["nvml_device_bytes"] is None
    assert any("nvml" in figure for figure in told["memory"]["why_null"])
    assert json.loads(json.dumps(told, allow_nan=False)) == told


def test_an_older_torch_that_knows_no_uuid_is_no_obstacle(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    make()
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: SimpleNamespace())
    clock = Meter(torch.device("cuda"), sample_ms=0)
    with clock.phase("load"):
        pass
    assert clock.summary()["memory"]["load"]["nvml_device_bytes"] == GIB


def test_a_device_that_vanishes_in_a_step_leaves_its_phase_and_last_memory(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, _, memory = make(fails={"*": pynvml.NVML_ERROR_GPU_IS_LOST}, after=40)

    def gone(_: object) -> None:
        raise RuntimeError("CUDA error: unspecified launch failure")

    def train() -> None:
        with clock.phase("train"):
            with clock.step(1, 1):
                memory.hold(6 * GIB)
            with clock.step(1, 1):
                time.sleep(0.1)
                for name in ("synchronize", "reset_peak_memory_stats", "max_memory_allocated"):
                    monkeypatch.setattr(torch.cuda, name, gone)

    with pytest.raises(RuntimeError, match="launch failure") as caught:
        train()
    assert failure.kind(caught.value) == "exception"
    assert failure.describe(caught.value).items() >= {"phase": "train", "part": "steady"}.items()
    measured = child._outcome(caught.value)
    assert measured["status"] == "failed"
    assert measured["memory"]["first_step"]["torch_allocated_bytes"] == 6 * GIB
    assert measured["time"]["steps"] == 1
    assert "lost" in measured["device"]["why_null"]["nvml_device_bytes"]


def test_samples_are_rows_of_the_attempt(make: Make, tmp_path: Path) -> None:
    clock, _, memory = make()
    with clock.phase("load"):
        for size in (1, 3, 2):
            memory.hold(size * GIB)
            time.sleep(0.03)
    clock.close()
    rows = [json.loads(line) for line in (tmp_path / "memory.jsonl").read_text().splitlines()]
    sampled = [row["device_bytes"] // GIB for row in rows if row["phase"] == "load" and "device_bytes" in row]
    assert [size for size in sampled if size != 1] == [2, 4, 3]
    assert [row["seconds"] for row in rows] == sorted(row["seconds"] for row in rows)
    assert len(rows) < 10, "a row per change, not per sample"


def test_a_file_that_cannot_be_written_costs_the_rows_only(tmp_path: Path) -> None:
    (tmp_path / "memory.jsonl").mkdir()
    clock = Meter(CPU, AttemptFolder(tmp_path))
    with clock.phase("load"):
        pass
    assert clock.summary()["memory"]["load"]["process_bytes"] > 0


def test_the_cost_of_sampling_is_told(make: Make) -> None:
    clock, _, _ = make(sample_ms=5)
    with clock.phase("load"):
        time.sleep(0.3)
    cost = clock.summary()["device"]["sampling"]
    assert cost["interval_ms"] == 5
    assert 3 < cost["samples"] < 80
    assert 0 < cost["thread_share"] < 0.5


def test_readings_that_are_dear_are_made_less_often(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory_sampler, "SHARE", 1e-6)
    clock, _, _ = make()
    with clock.phase("load"):
        time.sleep(0.2)
    assert clock.summary()["device"]["sampling"]["samples"] < 8


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA device")
def test_on_a_device_a_tensor_counts_with_its_bytes() -> None:
    clock, size = Meter(torch.device("cuda")), 256 * 2**20
    torch.zeros(1, device="cuda")
    with clock.phase("before"):
        time.sleep(0.1)
    with clock.phase("after"):
        held = torch.ones(size // 4, device="cuda")
        time.sleep(0.1)
    told = clock.summary()["memory"]
    for figure in ("torch_allocated_bytes", "nvml_device_bytes"):
        grown = told["after"][figure] - told["before"][figure]
        assert size <= grown <= size + 4 * 2**20, figure
    assert held.numel() == size // 4
