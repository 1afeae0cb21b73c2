"""Several processes drain one store: each cell once, whoever comes first."""

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.config.schema import Cell
from harness.execution import sweep
from harness.store import identity, lease
from harness.store.store import Store

SCRIPT = """
import random, sys
from harness.processes import forkserver
from harness.config.launchers import Launcher
from harness.execution import sweep
from harness.execution.sweep_plan import SweepOptions
from harness.config.schema import Runtime
from harness.store.store import Store
forkserver.preload = lambda families: ("stubs",)
store = Store(sys.argv[1])
many = sorted((store.cell(key) for key in store.keys()), key=lambda cell: (cell.method.name, cell.seed))
if sys.argv[2] != "0":
    random.Random(sys.argv[2]).shuffle(many)
runtime = Runtime(store=sys.argv[1])
options = SweepOptions(runtime, Launcher("basic"), entry="stubs:run", check="stubs:fine", name="all")
sys.exit(sweep.run_cells(many, options))
"""


def _drain(store: Store, count: int, environment: dict[str, str]) -> list[tuple[int, str]]:
    """(exit code, what it said) of so many processes that begin at once, half of them in the same order."""
    command = [sys.executable, "-c", SCRIPT, str(store.path)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    started = [
        subprocess.Popen([*command, str(place * (place % 2))], env=environment, **pipes)  # type: ignore[call-overload]
        for place in range(count)
    ]
    told = [process.communicate(timeout=1500)[0] for process in started]
    return [(process.returncode, text) for process, text in zip(started, told, strict=True)]


def _once_each(
    store: Store, cell: Callable[..., Cell], runs: Callable[[], list[str]], env: dict[str, str], size: int, count: int
) -> None:
    many = [cell("good", seed) for seed in range(size)]
    for one in many:
        store.register(one)
    for code, told in _drain(store, count, env):
        assert code == 0, told
        assert "Traceback" not in told
    assert Counter(runs()) == {f"good-{seed}": 1 for seed in range(size)}
    assert [list(store.attempts(identity.key(one))) for one in many] == [[(1, "done")]] * size
    assert not lease.keys(store.leases)
    assert list(store.path.rglob(".*")) == []
    assert store.quarantined == []


def test_three_processes_share_a_store(
    store: Store, cell: Callable[..., Cell], runs: Callable[[], list[str]], environment: dict[str, str]
) -> None:
    _once_each(store, cell, runs, environment, size=9, count=3)


@pytest.mark.slow
def test_eight_processes_drain_two_hundred_cells(
    store: Store, cell: Callable[..., Cell], runs: Callable[[], list[str]], environment: dict[str, str]
) -> None:
    _once_each(store, cell, runs, environment, size=200, count=8)


def test_a_result_whose_process_still_holds_the_cell_is_waited_for(
    store: Store, cell: Callable[..., Cell], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the record and the end of the lease another driver may come to its exit code."""
    answers = iter([True, True, False])
    monkeypatch.setattr(Store, "is_running", lambda *_: next(answers))
    sweep._let_go(store, [identity.key(cell("good"))])
    assert next(answers, None) is None


HOSTILE = """
import os, random, regex, runpy, selectors, socket, sys, tempfile
from harness.processes import forkserver
from harness.config.launchers import Launcher
from harness.execution import sweep
from harness.execution.sweep_plan import SweepOptions
os.chdir(sys.argv[2])
assert "" in sys.path
from harness.config.schema import Runtime
from harness.store.store import Store
forkserver.preload = lambda families: ()
store = Store(sys.argv[1])
runtime = Runtime(store=sys.argv[1])
options = SweepOptions(runtime, Launcher("joblib"), 2, entry="stubs:run", check="stubs:fine")
sys.exit(sweep.run_cells([store.cell(key) for key in store.keys()], options))
"""


def test_no_process_of_ours_runs_code_of_the_current_folder(
    store: Store, cell: Callable[..., Cell], environment: dict[str, str], tmp_path: Path
) -> None:
    """Neither the forkserver (`python -c`) nor a launcher's workers (`python -m`), nor where a notebook has "" on its
    path: another checkout that happens to be the current folder would train its cells, not ours."""
    folder, marker = tmp_path / "current", tmp_path / "ran.txt"
    folder.mkdir()
    for name in ("selectors", "socket", "tempfile", "random", "stubs", "regex", "runpy", "harness"):
        (folder / f"{name}.py").write_text(f"open({str(marker)!r}, 'a').write(__name__)\nraise ImportError(__name__)\n")
    for seed in range(2):
        store.register(cell("good", seed))
    command = [sys.executable, "-c", HOSTILE, str(store.path), str(folder)]
    named = {**environment, "PYTHONPATH": environment["PYTHONPATH"].strip(os.pathsep)}  # none of them empty
    done = subprocess.run(command, env=named, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert not marker.exists(), marker.read_text()
    assert set(map(store.status, store.keys())) == {"done"}
