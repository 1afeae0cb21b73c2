"""What the doctor says of NVML: words for every state, and never a traceback."""

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pynvml
import pytest

from harness.cli import dispatch
from harness.cli.commands import doctor
from harness.measurement import cpu_features, nvml
from tests.harness.measurement.fake_nvml import GIB, FakeNvml, Gpu

Told = Callable[..., dict[str, tuple[str, str]]]


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Told:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)

    def do(*gpus: Gpu, **settings: object) -> dict[str, tuple[str, str]]:
        fake = FakeNvml(list(gpus), **settings)  # type: ignore[arg-type]
        monkeypatch.setitem(sys.modules, "pynvml", fake)  # type: ignore[arg-type]
        return {what: (state, words) for what, state, words in doctor.rows()}

    return do


def test_every_device_and_instance_has_a_line(told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    busy = Gpu("NVIDIA H100", "GPU-a", used=3 * GIB, processes={1: 5, 2: 5}, parts=[Gpu("H100 MIG 1g", "MIG-b")])
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "MIG-b")
    lines = told(busy, Gpu("NVIDIA A10", "GPU-c"))
    assert set(lines) == {"nvml", "gpu 0", "gpu 0.0", "gpu 1"}
    for part in ("NVIDIA H100 (GPU-a), driver 999.10", "1 MIG instances", "3.0 GiB in use", "2 processes on it now"):
        assert part in lines["gpu 0"][1]
    assert "MIG-b" in lines["gpu 0.0"][1]
    assert "no " not in lines["gpu 1"][1]


def test_the_variable_that_hides_devices_is_named(told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert "shows none of them" in told(Gpu())["nvml"][1]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    assert "shows 1 of them" in told(Gpu())["nvml"][1]


def test_what_a_device_does_not_report_is_said_once_with_its_reason(told: Told) -> None:
    lacking = ("nvmlDeviceGetPowerUsage", "nvmlDeviceGetTotalEnergyConsumption")
    state, words = told(Gpu(), fails=dict.fromkeys(lacking, pynvml.NVML_ERROR_NOT_SUPPORTED))["gpu 0"]
    assert state == "ok"
    assert words.count(nvml.WORDS[3]) == 1
    assert "energy and power" in words


@pytest.mark.parametrize("function", [name for name in vars(FakeNvml) if name.startswith("nvml")])
@pytest.mark.parametrize("code", [3, 9, 15, 18, 999])
def test_no_failure_is_a_traceback(told: Told, function: str, code: int) -> None:
    lines = told(Gpu(parts=[Gpu()]), fails={function: code})
    assert lines["nvml"][0] in ("ok", "no")
    assert all(len(words) > 5 for _, words in lines.values())
    if (function, code) == ("nvmlDeviceGetMemoryInfo", 15):
        assert lines["gpu 0"][0] == "no"


def test_a_machine_without_driver_or_module_can_be_told_so(told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "no NVIDIA driver" in told(fails={"nvmlInit": pynvml.NVML_ERROR_LIBRARY_NOT_FOUND})["nvml"][1]
    assert told()["nvml"] == ("no", "no devices")
    monkeypatch.setitem(sys.modules, "pynvml", None)
    (row,) = doctor.rows()
    assert "not installed" in row[2]


def test_the_doctor_fits_one_screen_and_json_has_every_row(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(doctor, "_isolation", lambda: ("isolation", "ok", "children start"))
    monkeypatch.setattr(doctor, "rows", lambda: iter([("nvml", "no", "there is no NVIDIA driver")]))
    monkeypatch.setenv("COLUMNS", "80")
    assert dispatch.main(["doctor"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) <= 24
    assert all(len(line) <= 80 for line in lines)
    assert sum(" models " in line for line in lines) == 1
    assert dispatch.main(["doctor", "--json"]) == 0
    names = [row["what"] for row in json.loads(capsys.readouterr().out)]
    assert {"torch", "micro-t5-nano", "t5-base", "launcher joblib", "tracker mlflow"} <= set(names)


@pytest.mark.parametrize(
    ("content", "state", "text"),
    [
        ("model name\t: A\nflags\t\t: fpu avx512_bf16 amx_bf16 amx_tile\n", "ok", "avx512_bf16 amx_bf16: recipe"),
        ("flags\t\t: fpu avx2 avx512f\n", "no", "no instructions"),
        ("Features\t: fp asimd svebf16 bf16\n", "ok", "bf16 svebf16"),
        ("nothing of the kind\n", "no", "does not list"),
        (None, "no", "does not list"),
    ],
)
def test_the_instructions_for_bf16_are_those_that_the_kernel_lists(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: str | None, state: str, text: str
) -> None:
    file = tmp_path / "cpuinfo"
    if content is not None:
        file.write_text(content, encoding="utf-8")
    monkeypatch.setattr(cpu_features, "CPUINFO", file)
    assert doctor._bf16()[:2] == ("bf16", state)
    assert text in doctor._bf16()[2]


def test_what_is_not_in_order_keeps_its_reason() -> None:
    rows = [("torch", "ok", "2.0"), ("numpy", "bad", "not installed")]
    assert doctor._summed("packages", rows) == [
        ("packages", "ok", "torch 2.0"),
        ("packages", "bad", "numpy: not installed"),
    ]
    away = [(f"tracker {name}", "no", f"pip install {name}") for name in ("mlflow", "wandb")]
    assert doctor._summed("trackers", away) == [("trackers", "no", "mlflow, wandb: pip install NAME")]
