"""Whatever becomes of an attempt's process, a record says so."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from harness import cell as cells
from harness import child, isolate, lease, worker
from harness.config import Cell
from harness.errors import UsageError
from harness.store import STATUSES, Store
from harness.worker import Setup

Make = Callable[..., Cell]


def _record(store: Store, cell: Cell) -> dict[str, object]:
    record = store.read(cells.key(cell))
    assert record is not None
    return record


@pytest.mark.parametrize(
    ("method", "status", "told"),
    [
        ("error", "failed", {"type": "ValueError", "message": "a fault of the cell"}),
        ("diverge", "diverged", {"type": "Diverging", "step": 7, "rule": "a rule"}),
        ("memory", "oom", {"type": "MemoryError"}),
        ("die", "failed", {"signal": "SIGKILL"}),
        ("crash", "failed", {"signal": "SIGSEGV"}),
        ("leave", "failed", {"exit_code": 3}),
        ("unwritable", "failed", {"type": "TypeError"}),
        ("unpicklable", "failed", {"type": "Unpicklable"}),
    ],
)
def test_every_end_is_a_record(
    store: Store, cell: Make, setup: Callable[..., Setup], method: str, status: str, told: dict[str, object]
) -> None:
    assert worker.attempt(store, cell(method), setup()) == status
    record = _record(store, cell(method))
    assert record["status"] == status
    error = record["error"]
    assert isinstance(error, dict)
    assert {name: error.get(name) for name in told} == told
    assert "a word before the end" in error["log"]
    assert set(error) >= {"message", "step", "peak_bytes"}
    assert not lease.keys(store.leases)


def test_a_good_one(store: Store, cell: Make, setup: Callable[..., Setup]) -> None:
    assert worker.attempt(store, cell(), setup(threads=1)) == "done"
    record = _record(store, cell())
    assert record["error"] is None
    assert record["scores"]["best"]["sets"]["test"]["accuracy"] == 0.5  # type: ignore[index]
    assert record["time"]["cells_beside"] == 0  # type: ignore[index]
    assert 0 < record["time"]["wall_s"] < 60  # type: ignore[index,operator]
    assert cells.from_json(record["cell"]) == cell()  # type: ignore[arg-type]
    provenance = record["provenance"]
    assert isinstance(provenance, dict)
    assert provenance["threads"] == 1
    assert provenance["packages"]["torch"]
    folder = store.attempt(cells.key(cell()), 1).path
    assert sorted(path.name for path in folder.iterdir()) == ["curve.jsonl", "log.txt", "record.json"]


def test_the_time_limit(store: Store, cell: Make, setup: Callable[..., Setup]) -> None:
    started = time.monotonic()
    assert worker.attempt(store, cell("hang"), setup(timeout=0.5)) == "timeout"
    assert time.monotonic() - started < 30
    assert "timeout=0.5" in _record(store, cell("hang"))["error"]["message"]  # type: ignore[index]


def test_a_cell_runs_once_for_each_attempt_seen(
    store: Store, cell: Make, setup: Callable[..., Setup], runs: Callable[[], list[str]]
) -> None:
    for _ in range(3):
        assert worker.attempt(store, cell(), setup()) == "done"
    assert len(runs()) == 1
    assert worker.attempt(store, cell(), setup(), seen=1) == "done"
    assert worker.attempt(store, cell(), setup(), seen=1) == "done"
    assert len(runs()) == 2
    assert worker.tried(store, cells.key(cell())) == 2


def test_somebody_elses_cell_is_left_alone(
    store: Store, cell: Make, setup: Callable[..., Setup], runs: Callable[[], list[str]]
) -> None:
    held = lease.acquire(store.leases, cells.key(cell()))
    assert held is not None
    assert worker.attempt(store, cell(), setup()) == "running"
    assert store.status(cells.key(cell())) == "running"
    held.release()
    assert runs() == []


def test_an_attempt_without_a_record_is_closed_and_tried_again(
    store: Store, cell: Make, setup: Callable[..., Setup]
) -> None:
    store.begin(cell())
    assert store.status(cells.key(cell())) == "interrupted"
    assert worker.attempt(store, cell(), setup()) == "done"
    assert [status for _, status in store.attempts(cells.key(cell()))] == ["interrupted", "done"]


def test_a_lost_lease_leaves_no_record(
    store: Store, cell: Make, setup: Callable[..., Setup], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one who took over writes it."""
    monkeypatch.setattr(lease.Lease, "beat", lambda self: False)
    worker.attempt(store, cell("hang"), setup())
    assert store.read(cells.key(cell("hang"))) is None


def test_statuses_are_those_of_the_store() -> None:
    errors: list[Exception] = [ValueError(), MemoryError(), RuntimeError("CUDA out of memory. Tried"), OSError()]
    assert [child.classify(error) for error in errors] == ["failed", "oom", "oom", "failed"]
    assert {child.classify(error) for error in errors} <= set(STATUSES)


SCRIPT = """
import sys
from pathlib import Path
from harness import cell as cells, worker
from harness.errors import UsageError
from harness.config import Runtime
from harness.store import Store
store = Store(sys.argv[1])
cell = store.cell(next(store.keys()))
worker.attempt(store, cell, worker.Setup(Runtime(store=sys.argv[1]), modules=(), entry="stubs:run"))
"""


def _start(
    store: Store, cell: Cell, environment: dict[str, str], runs: Callable[[], list[str]]
) -> subprocess.Popen[str]:
    store.register(cell)
    command = [sys.executable, "-c", SCRIPT, str(store.path)]
    process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
    _until(lambda: bool(runs()))
    return process


def _until(condition: Callable[[], bool], patience: float = 60) -> None:
    deadline = time.monotonic() + patience
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


def _children(pid: int) -> list[int]:
    import psutil

    return [process.pid for process in psutil.Process(pid).children(recursive=True)]


def test_ctrl_c_leaves_an_interrupted_record(
    store: Store, cell: Make, environment: dict[str, str], runs: Callable[[], list[str]]
) -> None:
    process = _start(store, cell("hang"), environment, runs)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode != 0
    assert _record(store, cell("hang"))["status"] == "interrupted"
    assert not lease.keys(store.leases)


def test_a_killed_worker_leaves_no_child_and_can_be_resumed(
    store: Store, cell: Make, setup: Callable[..., Setup], environment: dict[str, str], runs: Callable[[], list[str]]
) -> None:
    process = _start(store, cell("hang"), environment, runs)
    children = _children(process.pid)
    process.kill()
    process.communicate(timeout=60)
    _until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in children))
    assert store.status(cells.key(cell("hang"))) == "interrupted"
    assert worker.attempt(store, cell("hang"), setup(timeout=0.3)) == "timeout"
    assert [status for _, status in store.attempts(cells.key(cell("hang")))] == ["interrupted", "timeout"]


def test_a_killed_server_costs_its_cell_and_is_started_again(
    store: Store, cell: Make, environment: dict[str, str], runs: Callable[[], list[str]], setup: Callable[..., Setup]
) -> None:
    process = _start(store, cell("hang"), environment, runs)
    for pid in _children(process.pid):
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
        if b"forkserver" in command:
            os.kill(pid, signal.SIGKILL)
    process.communicate(timeout=60)
    assert _record(store, cell("hang"))["status"] == "failed"
    assert process.returncode == 0


def test_the_server_has_one_thread_when_it_forks(environment: dict[str, str]) -> None:
    """With everything that it really preloads, torch included: a lock held by another thread would never open."""
    script = (
        "import json; from harness import isolate\n"
        "print(json.dumps(isolate.call('stubs:threads', (), isolate.preload(['t5', 'bert', 'llama']))))"
    )
    environment = {name: value for name, value in environment.items() if name != "OMP_NUM_THREADS"}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == 1


def test_the_environment_is_as_before(store: Store, cell: Make, setup: Callable[..., Setup]) -> None:
    before = dict(os.environ), signal.getsignal(signal.SIGINT), sys.modules["__main__"]
    worker.attempt(store, cell(), replace(setup(), modules=("json",)))
    assert (dict(os.environ), signal.getsignal(signal.SIGINT), sys.modules["__main__"]) == before


def test_preload_takes_names_of_families_only() -> None:
    for name in ("os; x", "../t5", "T5.x", ""):
        with pytest.raises(UsageError, match="model_type of transformers"):
            isolate.preload([name])
