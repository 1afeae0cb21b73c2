"""What can be said of a launcher: names, fields, values, and packages that are not there."""

import importlib.metadata
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness.cli import dispatch
from harness.config import compose, conf_files, launchers
from harness.config.launchers import Fields, Launcher
from harness.config.schema import Runtime
from harness.errors import UsageError
from harness.execution import launch, worker
from harness.execution.time_limit import TimeLimit
from harness.experiments.grids import options
from harness.processes import gpu_leases

NAMES = options.names("launcher")
HERE = [name for name in NAMES if launchers.missing(name) is None]


def test_every_launcher_says_what_it_is_and_has_fields_with_a_rule() -> None:
    assert {"basic", "joblib", "slurm", "ray"} <= {*NAMES}
    ours = set(Fields.__dataclass_fields__)
    for name in NAMES:
        assert conf_files.header(conf_files.files("launcher")[name])
        fields = launchers.declared(name)
        assert set(fields) <= ours, name
        launchers.settle(Launcher(name), fields)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"launcher": "slrum"}, "slurm"),
        ({"launcher": "job*"}, "there is no launcher"),
        ({"launcher.partition": "gpu"}, "launcher.partition needs a launcher"),
        ({"launcher": "joblib", "jobs": "2", "launcher.jobs": "2"}, "one setting"),
    ],
)
def test_wrong_words(settings: Mapping[str, str], told: str) -> None:
    with pytest.raises(UsageError, match=told):
        launchers.choose(settings)


@pytest.mark.parametrize(
    ("name", "fields", "told"),
    [
        ("joblib", {"jbos": "2"}, "launcher.jobs"),
        ("joblib", {"jobs": "0"}, "at least 1"),
        ("joblib", {"jobs": "two"}, "launcher.jobs"),
        ("joblib", {"partition": "gpu"}, "no field"),
        ("joblib", {"devices": "given"}, "no field"),
        ("basic", {"jobs": "4"}, "no field"),
        ("slurm", {"time": "soon"}, "1-12:00:00"),
        ("slurm", {"partition": "gpu\n#SBATCH --wrap=ls"}, "letters"),
        ("slurm", {"memory_gb": "-1"}, "above 0"),
        ("ray", {"gpus": "-0.5"}, "at least 0"),
        ("ray", {"needs": "x"}, "no field"),
    ],
)
def test_wrong_fields(name: str, fields: Mapping[str, str], told: str) -> None:
    with pytest.raises(UsageError, match=told):
        launchers.settle(Launcher(name, fields), launchers.declared(name))


def test_fields_have_their_types() -> None:
    said = {"time": "1-12:00:00", "gpus": "2.0", "memory_gb": "32", "partition": "7", "jobs": "8"}
    settled = launchers.settle(Launcher("slurm", said), launchers.declared("slurm"))
    assert settled | {"time": 36 * 60, "gpus": 2, "memory_gb": 32, "partition": "7", "jobs": 8} == settled
    assert all(isinstance(settled[name], int) for name in ("time", "gpus", "memory_gb", "jobs"))


@pytest.mark.parametrize(
    ("text", "minutes"), [("90", 90), ("90m", 90), ("1.5h", 90), ("1d", 1440), ("30s", 1), ("04:00:01", 241)]
)
def test_times(text: str, minutes: int) -> None:
    assert launchers.minutes(text) == minutes


def test_a_missing_package_is_named_with_its_command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def gone(name: str) -> None:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "distribution", gone)
    for name in NAMES:
        needs = launchers.declared(name).get("needs")
        if needs:
            assert f"pip install {needs}" in str(launchers.missing(name))
            assert dispatch.main(["sweep", f"launcher={name}", f"store={tmp_path}/none"]) == 2
            assert "pip install" in capsys.readouterr().err
    assert not (tmp_path / "none").exists()
    assert dispatch.main(["list", "launchers"]) == 0
    assert "pip install hydra-ray-launcher" in capsys.readouterr().out


def test_a_missing_program_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda name: None)
    monkeypatch.setattr(importlib.metadata, "distribution", lambda name: name)
    assert "sbatch" in str(launchers.missing("slurm"))


def test_a_launcher_of_one_s_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conf_files, "_added", [])
    (tmp_path / "launcher").mkdir()
    (tmp_path / "launcher" / "mine.yaml").write_text(
        "# @package _global_\ndefaults:\n  - joblib\n  - _self_\nlauncher: {jobs: 7}\n", encoding="utf-8"
    )
    conf_files.use(str(tmp_path))
    assert launch.plan(Launcher("mine"), None, Runtime(), 20).at_once == 7


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Any:
    def make(cores: int, cards: int) -> None:
        monkeypatch.setattr(launch, "_cores", lambda: cores)
        monkeypatch.setattr(gpu_leases, "usable", lambda: tuple(f"GPU-{i}" for i in range(cards)))

    return make


@pytest.mark.parametrize(
    ("cores", "cards", "said", "device", "at_once", "leased"),
    [
        (8, 0, {}, "auto", 8, 0),
        (8, 0, {"jobs": "3"}, "auto", 3, 0),
        (8, 2, {}, "auto", 2, 2),
        (8, 2, {"gpus": "0.5"}, "auto", 4, 2),
        (8, 2, {"gpus": "2"}, "cuda", 1, 2),
        (8, 2, {"gpus": "0"}, "auto", 8, 2),
        (8, 2, {}, "cpu", 8, 0),
        (8, 2, {"jobs": "2"}, "cuda:1", 2, 0),
    ],
)
def test_how_many_at_once(
    machine: Any, cores: int, cards: int, said: Mapping[str, str], device: str, at_once: int, leased: int
) -> None:
    machine(cores, cards)
    plan = launch.plan(Launcher("joblib", said), None, Runtime(device=device), 100)
    assert (plan.at_once, len(plan.leased)) == (at_once, leased)


def test_a_cell_over_devices_gets_them_all_or_as_many_as_it_has_processes(machine: Any) -> None:
    machine(8, 4)
    plan = launch.plan(Launcher("basic"), None, Runtime(), 3, parallel=True)
    assert (plan.at_once, plan.gpus, len(plan.leased)) == (1, 4, 4)
    plan = launch.plan(Launcher("joblib"), None, Runtime(processes=2), 3, parallel=True)
    assert (plan.at_once, plan.gpus) == (2, 2)
    machine(8, 0)
    assert launch.plan(Launcher("joblib"), None, Runtime(processes=4), 3, parallel=True).at_once == 2


def test_threads_never_exceed_the_cores(machine: Any, capsys: pytest.CaptureFixture[str]) -> None:
    machine(8, 0)
    assert launch.plan(Launcher("joblib", {"jobs": "4"}), None, Runtime(threads=4), 100).runtime.threads == 2
    assert "threads=4: 2 for each cell" in capsys.readouterr().out
    assert launch.plan(Launcher("joblib", {"jobs": "4"}), None, Runtime(threads=4), 2).runtime.threads == 4
    assert launch.plan(None, None, Runtime(threads=3), 100).at_once == 2
    assert capsys.readouterr().out == ""


def test_a_launcher_of_this_machine_takes_as_many_jobs_as_run_at_once(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Its work for a job, in time and memory of the driver, must not grow with the cells."""
    batches: list[list[list[str]]] = []
    tasks: list[Any] = []

    def take(name: str, settled: Any, jobs: list[list[str]], task: Any) -> list[Exception]:
        batches.append(jobs)
        tasks.append(task)
        return []

    monkeypatch.setattr(compose, "launch", take)
    setup = worker.Setup(Runtime(store=str(tmp_path)), modules=())
    pending = [(f"{number:064x}", 0) for number in range(100)]
    for at_once in (1, 3):
        launch.hand_over(pending, setup, launch.Plan(None, {}, at_once, setup.runtime))
    assert batches == [[[]], [[], [], []]]
    waiting = [worker.Pending(key, seen, begun=0) for key, seen in pending]
    assert all(task.keywords["pending"] == waiting for task in tasks)


def test_a_cluster_takes_arrays_and_none_after_the_deadline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    arrays: list[int] = []
    monkeypatch.setattr(compose, "launch", lambda *given: arrays.append(len(given[2])) or [])  # type: ignore[func-returns-value]
    setup = worker.Setup(Runtime(store=str(tmp_path)), modules=())
    pending = [(f"{number:064x}", 0) for number in range(100)]
    cluster = launch.Plan("slurm", {"outlives": True}, 100, setup.runtime)
    launch.hand_over(pending, setup, cluster)
    assert arrays == [100]
    launch.hand_over(pending, setup, replace(cluster, fields={"outlives": True, "batch": 30, "cells": 2}))
    assert arrays[1:] == [30, 20]
    late = replace(setup, limit=TimeLimit(0.0, 0.0))
    launch.hand_over(pending, late, cluster)
    assert len(arrays) == 3
