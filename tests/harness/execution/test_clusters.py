"""Every launcher for real, on this machine: each cell once, killed workers made good, nothing left behind.

Launchers whose package is not installed are skipped (`pip install "deltabench[launchers]"`).
"""

import itertools
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.config import launchers
from harness.config.schema import Cell
from harness.experiments.grids import options
from harness.store import identity, lease
from harness.store.store import Store
from tests.harness.execution import fake_slurm

Make = Callable[..., Cell]
Runs = Callable[[], list[str]]

SLOW = [pytest.mark.slow, pytest.mark.filterwarnings("default")]
LOCAL = [name for name in options.names("launcher") if name not in ("basic", "slurm")]
PARALLEL = [pytest.param(name, marks=[] if name == "joblib" else SLOW) for name in LOCAL]

SCRIPT = """
import json, sys
from harness.processes import gpu_leases
from harness.processes import forkserver
from harness.execution import launch
from harness.execution import sweep
from harness.execution.sweep_plan import SweepOptions
from harness.config.schema import Runtime
from harness.config.launchers import Launcher
from harness.store.store import Store
forkserver.preload = lambda families: ("stubs",)
launch.pause = lambda losses: None
said = json.loads(sys.argv[2])
gpu_leases.usable = lambda: tuple(said["devices"])
store = Store(sys.argv[1])
many = sorted((store.cell(key) for key in store.keys()), key=lambda cell: cell.method.name)
launcher = Launcher(said["launcher"], said["fields"])
options = SweepOptions(Runtime(store=sys.argv[1]), launcher, entry="stubs:run", check="stubs:fine")
sys.exit(sweep.run_cells(many, options))
"""


@pytest.fixture
def slurm(environment: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cluster of one machine; the folder with what it was handed."""
    fake_slurm.install(tmp_path / "bin")
    path = f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}"
    monkeypatch.setenv("PATH", path)
    environment |= {"PATH": path, "FAKE_SLURM": str(tmp_path / "slurm")}
    (tmp_path / "slurm").mkdir()
    return tmp_path / "slurm"


@pytest.fixture
def drive(
    store: Store, environment: dict[str, str], tmp_path: Path, request: pytest.FixtureRequest
) -> Callable[..., subprocess.Popen[str]]:
    """A driver in a process of its own, over cells that the store has already."""

    def drive(launcher: str, devices: tuple[str, ...] = (), **fields: str) -> subprocess.Popen[str]:
        if reason := launchers.missing(launcher):
            pytest.skip(reason)
        said = json.dumps({"launcher": launcher, "devices": devices, "fields": {"jobs": "2", **fields}})
        driver = subprocess.Popen(
            [sys.executable, "-c", SCRIPT, str(store.path), said],
            env={**environment, "HOME": str(tmp_path), "TMPDIR": "/tmp"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        request.addfinalizer(driver.kill)
        return driver

    return drive


@pytest.mark.parametrize("launcher", [pytest.param(name, marks=SLOW) for name in LOCAL])
def test_each_cell_once(
    drive: Callable[..., subprocess.Popen[str]], launcher: str, cell: Make, runs: Runs, store: Store
) -> None:
    many = [cell(method, seed) for seed in range(3) for method in ("nap", "error")]
    for one in many:
        store.register(one)
    driver = drive(launcher)
    told = driver.communicate(timeout=300)
    assert driver.returncode == 1, told
    assert sorted(runs()) == sorted(f"{one.method.name}-{one.seed}" for one in many)
    assert {store.status(identity.key(one)) for one in many} == {"done", "failed"}
    assert not lease.keys(store.leases)


@pytest.mark.parametrize("launcher", PARALLEL)
def test_a_killed_worker_is_made_good_by_the_sweep_itself(
    drive: Callable[..., subprocess.Popen[str]], launcher: str, cell: Make, runs: Runs, store: Store
) -> None:
    many = [cell("murder"), *(cell("nap", seed) for seed in range(3))]
    for one in many:
        store.register(one)
    driver = drive(launcher)
    told = driver.communicate(timeout=300)
    assert driver.returncode == 0, told
    assert {store.status(identity.key(one)) for one in many} == {"done"}
    assert runs().count("murder-0") == 2
    assert all(runs().count(f"nap-{seed}") <= 2 for seed in range(3))
    assert not lease.keys(store.leases)


@pytest.mark.slow
def test_a_cell_that_always_kills_its_worker_ends_the_sweep(
    drive: Callable[..., subprocess.Popen[str]], cell: Make, runs: Runs, store: Store
) -> None:
    for one in (cell("cursed"), cell("nap"), cell("nap", 1)):
        store.register(one)
    driver = drive("joblib")
    out, told = driver.communicate(timeout=300)
    assert driver.returncode == 1, (out, told)
    assert "ended unexpectedly" in told
    assert 3 <= runs().count("cursed-0") <= 5
    assert store.status(identity.key(cell("nap"))) == store.status(identity.key(cell("nap", 1))) == "done"


@pytest.mark.parametrize("launcher", [name for name in PARALLEL if "joblib" in str(name)])
def test_a_device_each(
    drive: Callable[..., subprocess.Popen[str]], launcher: str, cell: Make, store: Store, tmp_path: Path
) -> None:
    """Four at once and two devices to lease: never two cells on one at a time."""
    cards = (f"GPU-{tmp_path.name}-a", f"GPU-{tmp_path.name}-b")
    for seed in range(6):
        store.register(cell("device", seed))
    driver = drive(launcher, cards, jobs="3")
    told = driver.communicate(timeout=300)
    assert driver.returncode == 0, told
    lines = [line.split() for line in (tmp_path / "devices.txt").read_text().splitlines()]
    assert {name for name, _, _ in lines} == {*cards}
    for card in cards:
        times = sorted((float(start), float(end)) for name, start, end in lines if name == card)
        assert all(before[1] <= after[0] for before, after in itertools.pairwise(times)), times


@pytest.mark.parametrize("launcher", [name for name in PARALLEL if "joblib" not in str(name)])
def test_an_interruption_leaves_no_process(
    drive: Callable[..., subprocess.Popen[str]], launcher: str, cell: Make, runs: Runs, store: Store
) -> None:
    from tests.harness.execution.test_sweep import _members, _until  # the laws of the other launchers are there

    many = [cell("good"), cell("hang"), cell("hang", 1)]
    for one in many:
        store.register(one)
    driver = drive(launcher)
    _until(lambda: len(runs()) == 3 and store.status(identity.key(many[0])) == "done", 90)
    driver.send_signal(signal.SIGINT)
    _, told = driver.communicate(timeout=100)
    assert driver.returncode == 130, told
    assert "Traceback" not in told
    _until(lambda: _members(driver.pid) == [])
    _until(lambda: not any(store.is_running(identity.key(one)) for one in many))
    assert [store.status(identity.key(one)) for one in many] == ["done", "interrupted", "interrupted"]


@pytest.mark.slow
def test_a_running_cluster_of_ray(
    drive: Callable[..., subprocess.Popen[str]],
    cell: Make,
    runs: Runs,
    store: Store,
    tmp_path: Path,
    environment: dict[str, str],
) -> None:
    if reason := launchers.missing("ray"):
        pytest.skip(reason)
    ray = Path(sys.executable).with_name("ray")
    words = ["start", "--head", "--port=0", "--num-cpus=2", "--include-dashboard=false", "--block"]
    head = subprocess.Popen(
        [ray, *words], env={**environment, "HOME": str(tmp_path), "RAY_worker_niceness": "0"}, start_new_session=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    try:
        assert head.stdout is not None
        address = next(found[1] for line in head.stdout if (found := re.search(r"address='([\d.]+:\d+)'", line)))
        many = [cell("nap", seed) for seed in range(3)]
        for one in many:
            store.register(one)
        driver = drive("ray", address=address, gpus="0")
        told = driver.communicate(timeout=300)
        assert driver.returncode == 0, told
        assert sorted(runs()) == ["nap-0", "nap-1", "nap-2"]
    finally:
        os.killpg(head.pid, signal.SIGKILL)
        head.communicate()


@pytest.mark.slow
def test_half_a_device_of_ray(
    drive: Callable[..., subprocess.Popen[str]], cell: Make, store: Store, tmp_path: Path
) -> None:
    """Ray gives what it counts: without a GPU, a cell that wants none is told of none."""
    store.register(cell("device"))
    driver = drive("ray", gpus="0")
    told = driver.communicate(timeout=300)
    assert driver.returncode == 0, told
    assert (tmp_path / "devices.txt").read_text().split()[0] in ("all", "")
    assert os.environ.get("CUDA_VISIBLE_DEVICES", "all") is not None


@pytest.mark.slow
def test_slurm_is_handed_one_array_and_starts_a_preempted_job_again(
    slurm: Path, drive: Callable[..., subprocess.Popen[str]], cell: Make, runs: Runs, store: Store
) -> None:
    many = [cell("preempted"), *(cell("good", seed) for seed in range(3))]
    for one in many:
        store.register(one)
    driver = drive("slurm", partition="gpu", account="lab", time="1-02:00:00", cells="2", gpus="1", memory_gb="24")
    told = driver.communicate(timeout=400)
    assert driver.returncode == 0, told
    assert {store.status(identity.key(one)) for one in many} == {"done"}
    (script,) = slurm.glob("script-*")
    text = script.read_text()
    for flag in ("partition=gpu", "account=lab", "time=1560", "gpus-per-node=1", "mem=24GB", "array=0-1%2", "requeue"):
        assert f"#SBATCH --{flag}\n" in text, text
    assert [status for _, status in store.attempts(identity.key(many[0]))] == ["interrupted", "done"]
    assert sorted(runs()) == ["good-0", "good-1", "good-2", "preempted-0", "preempted-0"]
    assert not lease.keys(store.leases)


@pytest.mark.slow
def test_what_sbatch_refuses_is_a_sentence(
    slurm: Path, drive: Callable[..., subprocess.Popen[str]], cell: Make, store: Store
) -> None:
    store.register(cell("good"))
    (slurm.parent / "bin" / "sbatch").write_text("#!/bin/sh\necho sbatch: error: invalid partition >&2\nexit 1\n")
    driver = drive("slurm", partition="nowhere")
    _, told = driver.communicate(timeout=300)
    assert driver.returncode == 1, "the script below the command line does not turn errors into exit codes"
    assert "UsageError: the launcher starts no cell" in told
    assert "invalid partition" in told
