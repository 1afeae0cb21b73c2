"""Draining cells: each once, in order of seeds, resumed by the same call, the exit code from the store."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness.config import compose
from harness.config.launchers import Launcher
from harness.config.schema import Cell, Runtime
from harness.errors import UsageError
from harness.execution import launch, sweep, time_limit
from harness.execution.expected_times import Estimate
from harness.execution.sweep_plan import SweepOptions
from harness.processes import forkserver
from harness.store import identity, lease, requested_grids
from harness.store.store import Store

Make = Callable[..., Cell]
Runs = Callable[[], list[str]]


@pytest.fixture
def drain(store: Store, stubbed: None) -> Callable[..., int]:
    """`sweep.run_cells` on stub cells, without torch."""

    def drain(many: Sequence[Cell], beside: Sequence[Cell] = (), check: str = "stubs:fine", **options: object) -> int:
        given: dict[str, Any] = {"launcher": Launcher("basic"), **options}
        runtime = Runtime(store=str(store.path))
        return sweep.run_cells(many, SweepOptions(runtime, entry="stubs:run", check=check, **given), beside=beside)

    return drain


def test_seed_by_seed(drain: Callable[..., int], cell: Make, runs: Runs) -> None:
    many = [cell(method, seed) for method in ("good", "nap") for seed in (1, 0)]
    assert drain(many) == 0
    assert runs() == ["good-1", "nap-1", "good-0", "nap-0"]


def test_the_same_call_resumes(
    drain: Callable[..., int], cell: Make, runs: Runs, capsys: pytest.CaptureFixture[str], store: Store
) -> None:
    many = [cell(seed=seed) for seed in range(3)]
    assert drain(many[:2]) == 0
    assert drain(many) == 0
    assert len(runs()) == 3
    capsys.readouterr()
    assert drain(many) == 0
    assert "nothing left to do" in capsys.readouterr().out
    assert len(runs()) == 3
    assert not lease.keys(store.leases)


def test_no_seed_need_be_left_out_of_the_probes(drain: Callable[..., int], cell: Make, runs: Runs) -> None:
    """As further seeds of an exhibit run whose trials are probed, too."""
    many = [cell(seed=seed) for seed in range(2)]
    assert drain(many, unprobed=None) == 0
    assert drain(many, unprobed=None) == 0, "with nothing left to do, too"
    assert len(runs()) == 2


def test_cells_that_ran_before_are_of_the_grid_and_tell_names_apart(
    drain: Callable[..., int], cell: Make, runs: Runs, capsys: pytest.CaptureFixture[str], store: Store
) -> None:
    now = cell()
    before = replace(now, recipe=replace(now.recipe, learning_rate=0.5), seed=9)
    assert drain([now], beside=[before], name="a grid") == 0
    assert len(runs()) == 1
    assert "good learning_rate=" in capsys.readouterr().err
    [noted] = requested_grids.noted(store)
    assert {place.key for place in noted.places} == {identity.key(now), identity.key(before)}


def test_records_have_the_seconds_in_which_no_cell_ran(drain: Callable[..., int], cell: Make, store: Store) -> None:
    many = [cell(seed=seed) for seed in range(3)]
    begun = time.time()
    assert drain(many) == 0
    whole = time.time() - begun
    clocks = [(store.read(identity.key(one)) or {})["time"] for one in many]
    assert [sorted({"start_s", "between_s"} & set(clock)) for clock in clocks] == [["start_s"], *[["between_s"]] * 2]
    idle = [clock.get("start_s", clock.get("between_s")) for clock in clocks]
    assert all(seconds > 0 for seconds in idle)
    assert sum(idle) + sum(clock["wall_s"] for clock in clocks) < whole


def test_no_cell_is_prepared_when_the_time_is_over(
    drain: Callable[..., int], cell: Make, runs: Runs, store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    many = [cell(seed=seed) for seed in range(5)]
    assert drain(many, deadline_s=1e-6, name="seed=0,1,2,3,4") == 130
    assert not runs()
    assert len(list(store.keys())) == 1
    assert [len(grid.places) for grid in requested_grids.noted(store)] == [5]
    assert "5 cells have not begun" in capsys.readouterr().out
    assert drain(many) == 0
    assert len(runs()) == 5


@pytest.mark.parametrize(
    ("methods", "code"),
    [
        (["good", "memory"], 0),
        (["good", "error"], 1),
        (["diverge"], 1),
        (["die", "good"], 1),
    ],
)
def test_exit_codes(drain: Callable[..., int], cell: Make, methods: list[str], code: int) -> None:
    assert drain([cell(method) for method in methods]) == code


def test_results_are_final_and_failures_are_tried_again(drain: Callable[..., int], cell: Make, runs: Runs) -> None:
    many = [cell(method) for method in ("good", "memory", "diverge", "error")]
    assert drain(many) == 1
    assert drain(many) == 1
    assert sorted(runs()) == ["diverge-0", "error-0", "error-0", "good-0", "memory-0"]
    drain(many, rerun=["oom"])
    assert runs().count("memory-0") == 2
    with pytest.raises(UsageError, match="stale"):
        drain(many, rerun=["everything"])


def test_stale_counts_as_done_until_asked(
    drain: Callable[..., int], cell: Make, runs: Runs, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    drain([cell()])
    assert not sweep.is_stale(store, identity.key(cell()))
    monkeypatch.setattr("harness.store.fingerprint.fingerprint", lambda *names: "another")
    monkeypatch.setattr("harness.store.fingerprint.parts", lambda *names: {"torch": "9.9"})
    assert sweep.is_stale(store, identity.key(cell()))
    assert drain([cell()]) == 0
    assert len(runs()) == 1
    assert drain([cell()], rerun=["stale"]) == 0
    assert len(runs()) == 2
    assert store.summary(identity.key(cell()))["attempt"] == 2  # type: ignore[index]


@pytest.mark.parametrize("check", ["stubs:wrong", "stubs:refuse"])
def test_a_failed_preflight_touches_nothing(drain: Callable[..., int], cell: Make, store: Store, check: str) -> None:
    with pytest.raises(UsageError, match=r"matches nothing|a sentence"):
        drain([cell()], check=check)
    assert not store.path.exists()


def test_a_store_that_cannot_be_written_is_a_usage_error(
    cell: Make, drain: Callable[..., int], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("harness.files.atomic_files.write_json", full)
    with pytest.raises(UsageError, match="No space left"):
        drain([cell()])


def test_no_cell_begins_that_would_end_too_late_nor_one_of_a_later_seed(
    drain: Callable[..., int], cell: Make, runs: Runs, capsys: pytest.CaptureFixture[str]
) -> None:
    many = [cell(method, seed) for seed in range(3) for method in ("good", "nap")]

    def seconds(cells: Sequence[Cell], plan: launch.Plan) -> dict[str, Estimate]:
        return {identity.key(one): Estimate(59.9) for one in cells if one.method.name == "nap" and one.seed == 1}

    begun = time.monotonic()
    assert drain(many, deadline_s=60.0, seconds=seconds) == 130
    assert runs() == ["good-0", "nap-0", "good-1"]  # nap-1 came too late, so no cell of seed 2 begins
    assert time.monotonic() - begun < 50.0
    assert "3 cells have not begun, since they would have ended too late" in capsys.readouterr().out


def test_the_deadline_stops_between_cells(
    drain: Callable[..., int],
    cell: Make,
    runs: Runs,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # The time is over once two cells have run: how long they take depends on what else the machine does.
    monkeypatch.setattr(time_limit.TimeLimit, "over", lambda _: len(runs()) >= 2)
    assert drain([cell("good", seed) for seed in range(5)], deadline_s=600.0) == 130
    assert len(runs()) == 2
    assert "The same command resumes" in capsys.readouterr().out


def test_joblib_runs_each_cell_once(
    drain: Callable[..., int], cell: Make, runs: Runs, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forkserver, "preload", lambda families: ("stubs",))  # each worker starts a server of its own
    many = [cell(method, seed) for seed in range(3) for method in ("nap", "error")]
    lent = (*compose.SAFE_PATH, *compose.RAY)
    before = [os.environ.get(name) for name in lent]
    assert drain(many, launcher=Launcher("joblib"), jobs=2) == 1
    assert [os.environ.get(name) for name in lent] == before, "what the workers inherit is lent to them"
    assert sorted(runs()) == sorted(f"{one.method.name}-{one.seed}" for one in many)
    beside = [record["time"]["cells_beside"] for record in store.records()]
    assert set(beside) <= {0, 1}
    assert 1 in beside


SCRIPT = """
import sys
from harness.processes import forkserver
from harness.execution import launch, sweep
from harness.execution.expected_times import Estimate
from harness.config.schema import Runtime
from harness.config.launchers import Launcher
from harness.execution.sweep_plan import SweepOptions
from harness.store.store import Store
forkserver.preload = lambda families: ("stubs",)
store, launcher = Store(sys.argv[1]), sys.argv[2]
many = sorted((store.cell(key) for key in store.keys()), key=lambda cell: cell.method.name)
options = SweepOptions(Runtime(store=sys.argv[1]), Launcher(launcher), 2, entry="stubs:run", check="stubs:fine")
sys.exit(sweep.run_cells(many, options))
"""


def _start(store: Store, launcher: str, environment: dict[str, str]) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", SCRIPT, str(store.path), launcher]
    return subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )


def _until(condition: Callable[[], bool], patience: float = 90) -> None:
    deadline = time.monotonic() + patience
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


@pytest.mark.slow  # three processes share a store in test_many_processes.py
def test_several_processes_drain_one_store(store: Store, cell: Make, runs: Runs, environment: dict[str, str]) -> None:
    many = [cell("nap", seed) for seed in range(12)]
    for one in many:
        store.register(one)
    drivers = [_start(store, "basic", environment) for _ in range(3)]
    outcomes = [driver.communicate(timeout=120) for driver in drivers]
    assert [driver.returncode for driver in drivers] == [0, 0, 0], outcomes
    assert sorted(runs()) == sorted(f"nap-{seed}" for seed in range(12))
    assert all(list(store.attempts(identity.key(one))) == [(1, "done")] for one in many)
    assert not lease.keys(store.leases)


@pytest.mark.parametrize(
    ("launcher", "how", "number", "who"),
    [
        ("basic", "driver", signal.SIGINT, "the user"),
        ("basic", "terminal", signal.SIGINT, "the user"),
        ("joblib", "terminal", signal.SIGINT, "the user"),
        ("joblib", "terminal", signal.SIGHUP, "SIGHUP"),
        pytest.param("joblib", "driver", signal.SIGINT, "the user", marks=pytest.mark.slow),
        pytest.param("joblib", "driver", signal.SIGHUP, "SIGHUP", marks=pytest.mark.slow),
        pytest.param("basic", "terminal", signal.SIGHUP, "SIGHUP", marks=pytest.mark.slow),
    ],
)
def test_ctrl_c_and_the_end_of_a_terminal(
    store: Store,
    cell: Make,
    runs: Runs,
    environment: dict[str, str],
    launcher: str,
    how: str,
    number: int,
    who: str,
    request: pytest.FixtureRequest,
) -> None:
    """To the driver alone, or, as a terminal does it, to everybody: finished cells stay finished, the running ones are
    interrupted, exit 130, and no process is left."""
    many = [cell("good"), cell("hang"), cell("hang", 1)]
    for one in many:
        store.register(one)
    driver = _start(store, launcher, environment)
    request.addfinalizer(driver.kill)
    wanted = 3 if launcher == "joblib" else 2
    _until(lambda: len(runs()) == wanted and store.status(identity.key(many[0])) == "done")
    if how == "driver":
        driver.send_signal(number)
    else:
        os.killpg(driver.pid, number)
    _, told = driver.communicate(timeout=60)
    assert driver.returncode == 130, told
    assert "Traceback" not in told
    assert "resource_tracker" not in told
    statuses = [store.status(identity.key(one)) for one in many]
    assert statuses == ["done", "interrupted", "interrupted" if wanted == 3 else "missing"]
    errors = [record["error"] for record in store.records() if record["status"] == "interrupted"]
    assert {error["message"] for error in errors} == {f"interrupted by {who}; the same command resumes"}
    assert not lease.keys(store.leases)
    _until(lambda: _members(driver.pid) == [])


@pytest.mark.parametrize("launcher", ["basic", "joblib"])
def test_a_killed_driver_leaves_no_process(
    store: Store, cell: Make, runs: Runs, environment: dict[str, str], launcher: str
) -> None:
    many = [cell("hang"), cell("hang", 1)]
    for one in many:
        store.register(one)
    driver = _start(store, launcher, environment)
    _until(lambda: len(runs()) == (2 if launcher == "joblib" else 1))
    driver.kill()
    driver.communicate(timeout=60)  # ends when nobody holds its output any more
    _until(lambda: _members(driver.pid) == [])


def test_a_worker_that_never_had_a_cell_ends_with_its_driver() -> None:
    """As one does whose driver is killed while it hands the first job over."""
    script = (
        "import os, signal; from harness.processes import forkserver; from harness.execution import launch; "
        "from joblib import Parallel, delayed; launch.leash(forkserver.Driver.here());"
        "Parallel(n_jobs=2, backend='loky')(delayed(abs)(i) for i in range(2)); os.kill(os.getpid(), signal.SIGKILL)"
    )
    driver = subprocess.Popen([sys.executable, "-c", script], start_new_session=True)
    assert driver.wait(60) == -signal.SIGKILL
    assert _members(driver.pid)
    _until(lambda: _members(driver.pid) == [])


def _members(group: int) -> list[int]:
    """Processes of a process group (Linux), the ended ones left out."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, member_of = path.read_text().rpartition(")")[2].split()[:3]
        except OSError:
            continue
        if int(member_of) == group and state != "Z":
            found.append(int(path.parent.name))
    return found
