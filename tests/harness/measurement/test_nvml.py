"""NVML that answers, fails, or lacks a figure: a number or a reason, never a traceback or a 0 for unknown."""

import inspect
import os
import sys
from collections.abc import Callable

import pynvml
import pytest

from harness.measurement import cuda_devices, nvml
from tests.harness.measurement.fake_nvml import GIB, UUID, FakeNvml, Gpu

ME = os.getpid()
Install = Callable[..., FakeNvml]


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch) -> Install:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.delenv("CUDA_DEVICE_ORDER", raising=False)

    def do(*gpus: Gpu, **settings: object) -> FakeNvml:
        fake = FakeNvml(list(gpus) or [Gpu()], **settings)  # type: ignore[arg-type]
        monkeypatch.setitem(sys.modules, "pynvml", fake)  # type: ignore[arg-type]
        return fake

    return do


def test_the_fake_has_the_signatures_of_the_real_one() -> None:
    names = [name for name in vars(FakeNvml) if name.startswith("nvml")]
    assert len(names) > 10
    for name in names:
        mine, real = (inspect.signature(getattr(place, name)).parameters for place in (FakeNvml(), pynvml))
        required = [one for one in real.values() if one.default is one.empty]
        assert len(mine) == len(required), name


def test_figures_are_those_of_the_device() -> None:
    device = nvml.Device(FakeNvml(), Gpu(used=3 * GIB, processes={ME: 2 * GIB, 7: GIB}, watts=250.0, busy=80))
    assert device.read() == nvml.Reading(3 * GIB, 2 * GIB, 1, 80, 250.0)
    assert device.idle_bytes == 3 * GIB
    assert device.about() == {"name": "NVIDIA H100 80GB HBM3", "uuid": UUID, "driver": "999.10"}
    assert device.why == {}


FIGURES = {
    "nvmlDeviceGetMemoryInfo": "device_bytes",
    "nvmlDeviceGetComputeRunningProcesses": "others",
    "nvmlDeviceGetUtilizationRates": "utilisation",
    "nvmlDeviceGetPowerUsage": "power_w",
}


@pytest.mark.parametrize("function", FIGURES)
@pytest.mark.parametrize("code", [1, 3, 4, 10, 13, 15, 17, 999])
def test_what_fails_is_null_with_a_reason_and_the_rest_stays(function: str, code: int) -> None:
    device = nvml.Device(FakeNvml(fails={function: code}), Gpu(processes={ME: 5}))
    null = {figure for figure, value in vars(device.read()).items() if value is None}
    assert FIGURES[function] in null
    assert {figure.removesuffix("_w") for figure in null} <= set(device.why)
    assert all(len(reason) > 15 for reason in device.why.values())
    assert device.lost == (code == 15)
    assert device.lost or null <= {FIGURES[function], "process_bytes"}


def test_what_is_refused_for_good_is_not_asked_again_and_what_timed_out_is() -> None:
    for code, calls in ((pynvml.NVML_ERROR_NOT_SUPPORTED, 1), (pynvml.NVML_ERROR_TIMEOUT, 5)):
        fake = FakeNvml(fails={"nvmlDeviceGetPowerUsage": code})
        device = nvml.Device(fake, Gpu())
        for _ in range(5):
            device.read()
        assert fake.calls["nvmlDeviceGetPowerUsage"] == calls


def test_a_figure_that_comes_back_has_no_reason_any_more() -> None:
    fake = FakeNvml(fails={"nvmlDeviceGetPowerUsage": pynvml.NVML_ERROR_TIMEOUT})
    device = nvml.Device(fake, Gpu(processes={ME: 5}))
    assert device.read().power_w is None
    fake.fails.clear()
    assert device.read().power_w == 100.0
    assert device.why == {}


def test_a_device_that_is_lost_in_the_middle_is_asked_nothing_more() -> None:
    fake = FakeNvml(fails={"*": pynvml.NVML_ERROR_GPU_IS_LOST}, after=3)
    device = nvml.Device(fake, Gpu(processes={ME: 5}))
    readings = [device.read() for _ in range(6)]
    assert readings[0].device_bytes == GIB
    assert readings[-1] == nvml.Reading()
    assert device.lost
    assert "lost" in device.why["device_bytes"]
    assert sum(fake.calls.values()) < 20


@pytest.mark.parametrize(
    ("processes", "told", "others"),
    [
        ({}, "container", None),  # nothing is listed, not even this process
        ({4_000_001: 5}, "ids of another namespace", 0),  # one is listed by a number of another namespace: it is us
        ({4_000_001: 5, 4_000_002: 5}, "ids of another namespace", 1),
        ({ME: None}, "without its memory", 0),
        ({ME: 0}, "without its memory", 0),
        ({ME: None, 7: None}, "without its memory", 1),
    ],
)
def test_memory_of_a_process_that_cannot_be_told_is_null(processes: dict, told: str, others: int | None) -> None:
    gpu = Gpu()
    device = nvml.Device(FakeNvml(), gpu)
    gpu.processes.update(processes)
    reading = device.read()
    assert reading.process_bytes is None
    assert told in device.why["process_bytes"]
    assert reading.others == others
    assert ("others" in device.why) == (others is None)


def test_another_process_that_was_there_first_counts_though_numbers_are_foreign() -> None:
    device = nvml.Device(FakeNvml(), Gpu(processes={4_000_001: 5}))
    assert device.read().others == 1


@pytest.mark.parametrize("code", sorted(nvml.WORDS))
def test_a_library_that_cannot_start_is_told_in_words(install: Install, code: int) -> None:
    install(fails={"nvmlInit": code})
    found, why = nvml.library()
    assert found is None
    assert nvml.WORDS[code] in why


def test_a_missing_or_broken_module_is_told_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert "not installed" in nvml.library()[1]
    monkeypatch.setitem(sys.modules, "pynvml", object())  # type: ignore[arg-type]
    assert "nvmlInit" in nvml.library()[1]


TWO = (Gpu("NVIDIA A10", "GPU-aaaa-1"), Gpu("NVIDIA H100 PCIe", "GPU-bbbb-2"))
PARTS = [Gpu("NVIDIA H100 MIG 1g.10gb", "MIG-cccc-1"), Gpu("NVIDIA H100 MIG 1g.10gb", "MIG-cccc-2")]


@pytest.mark.parametrize(
    ("shown", "order", "index", "uuid", "found"),
    [
        (None, None, 1, "bbbb-2", "GPU-bbbb-2"),  # torch tells the UUID without its kind
        (None, None, 0, "bbbb-2", "GPU-bbbb-2"),  # CUDA puts the faster device first
        ("1,0", None, 0, "bbbb-2", "GPU-bbbb-2"),
        ("GPU-bbbb-2,GPU-aaaa-1", None, 1, None, "GPU-aaaa-1"),
        ("GPU-bb", None, 0, None, "GPU-bbbb-2"),  # CUDA takes the start of a UUID
        ("1", "PCI_BUS_ID", 0, None, "GPU-bbbb-2"),
        ("MIG-cccc-2", None, 0, None, "MIG-cccc-2"),
        (None, None, 0, "cccc-1", "MIG-cccc-1"),
        ("1", None, 0, None, "CUDA_DEVICE_ORDER"),  # two kinds: which is CUDA's number 1?
        ("0", None, 1, None, "shows no device 1"),
        ("", None, 0, None, "shows no device 0"),
        ("-1", None, 0, None, "shows no device 0"),
        ("0,x,1", None, 1, "aaaa-1", "shows no device 1"),  # the first wrong entry ends the list
        ("GPU-zz", None, 0, None, "lists no devices"),
        ("9", "PCI_BUS_ID", 0, None, "none of them"),
        (None, None, 0, "zzzz", "knows no such device"),
    ],
)
def test_cuda_numbers_become_devices(
    install: Install, monkeypatch: pytest.MonkeyPatch, shown: str, order: str, index: int, uuid: str, found: str
) -> None:
    fake = install(*TWO, Gpu("NVIDIA H100", "GPU-cccc-0", parts=PARTS))
    for name, value in (("CUDA_VISIBLE_DEVICES", shown), ("CUDA_DEVICE_ORDER", order)):
        if value is not None:
            monkeypatch.setenv(name, value)
    handle, why = cuda_devices.find(fake, index, uuid)
    assert found in (why if handle is None else handle.uuid)


def test_a_device_cut_into_instances_is_not_taken_for_one_of_them(install: Install) -> None:
    fake = install(Gpu("NVIDIA H100", "GPU-cccc-0", parts=PARTS))
    assert "MIG" in cuda_devices.find(fake, 0, "cccc-0")[1]
    fake.gpus[0].parts = PARTS[:1]
    assert cuda_devices.find(fake, 0, "cccc-0")[0] is PARTS[0]


def test_finding_a_device_survives_a_library_that_fails(install: Install) -> None:
    for function in ("nvmlDeviceGetCount", "nvmlDeviceGetHandleByUUID", "nvmlDeviceGetMigMode"):
        fake = install(fails={function: pynvml.NVML_ERROR_UNKNOWN})
        for uuid in (None, UUID.removeprefix("GPU-")):
            handle, why = cuda_devices.find(fake, 0, uuid)
            assert (handle is None) == bool(why)
