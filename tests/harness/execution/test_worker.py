"""Whatever becomes of an attempt's process, a record says so."""

import importlib.util
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from transformers import CONFIG_MAPPING

from harness import failure
from harness.config.schema import Cell
from harness.errors import UsageError
from harness.execution import outcome as ending
from harness.execution import worker
from harness.execution.attempts import tried
from harness.execution.time_limit import TimeLimit
from harness.execution.worker import Setup
from harness.measurement import freed_memory
from harness.processes import child, forkserver
from harness.store import fingerprint, identity, lease
from harness.store.attempt_folder import CHECKPOINT, OUTCOME, RESUMED, AttemptFolder
from harness.store.store import Store

Make = Callable[..., Cell]


def _record(store: Store, cell: Cell) -> dict[str, object]:
    record = store.read(identity.key(cell))
    assert record is not None
    return record


@pytest.mark.parametrize(
    ("method", "status", "told"),
    [
        ("error", "failed", {"kind": "exception", "type": "ValueError", "message": "a fault of the cell"}),
        ("diverge", "diverged", {"kind": "diverged", "type": "Diverging", "step": 7, "rule": "a rule"}),
        ("memory", "oom", {"kind": "memory", "type": "MemoryError"}),
        ("card", "oom", {"kind": "memory", "type": "ValueError"}),
        ("die", "failed", {"kind": "died", "signal": "SIGKILL"}),
        ("crash", "failed", {"kind": "died", "signal": "SIGSEGV"}),
        ("odd_signal", "failed", {"kind": "died", "signal": f"signal {signal.SIGRTMIN + 1}"}),
        ("leave", "failed", {"kind": "died", "exit_code": 3}),
        ("unwritable", "failed", {"kind": "exception", "type": "TypeError"}),
        ("unpicklable", "failed", {"kind": "exception", "type": "Unpicklable"}),
        (
            "mute",
            "failed",
            {"kind": "exception", "type": "Mute", "message": "(its message cannot be read: ValueError)"},
        ),
        ("quit", "failed", {"kind": "exception", "type": "SystemExit", "message": "3"}),
        ("interrupt", "failed", {"kind": "exception", "type": "KeyboardInterrupt"}),
        ("disk", "failed", {"kind": "io", "type": "OSError"}),
        ("absent", "failed", {"kind": "exception", "type": "FileNotFoundError"}),
        ("wrong_value", "failed", {"kind": "configuration", "type": "UsageError"}),
    ],
)
def test_every_end_is_a_record(
    store: Store, cell: Make, setup: Callable[..., Setup], method: str, status: str, told: dict[str, object]
) -> None:
    assert worker.attempt(store, cell(method), setup(retry=0)) == status
    record = _record(store, cell(method))
    assert record["status"] == status
    error = record["error"]
    assert isinstance(error, dict)
    assert {name: error.get(name) for name in told} == told
    assert "a word before the end" in error["log"]
    assert set(error) >= {"message", "step", "peak_bytes"}
    assert (error["phase"], record["attempt"]) == ("start", 1)
    assert error["kind"] in failure.__doc__
    assert not lease.keys(store.leases)


def test_a_good_one(store: Store, cell: Make, setup: Callable[..., Setup]) -> None:
    assert worker.attempt(store, cell(), setup(threads=1)) == "done"
    record = _record(store, cell())
    assert record["error"] is None
    assert record["scores"]["best"]["sets"]["test"]["accuracy"] == 0.5  # type: ignore[index]
    assert record["time"]["cells_beside"] == 0  # type: ignore[index]
    assert 0 < record["time"]["wall_s"] < 60  # type: ignore[index,operator]
    assert identity.from_json(record["cell"]) == cell()  # type: ignore[arg-type]
    provenance = record["provenance"]
    assert isinstance(provenance, dict)
    assert provenance["threads"] == 1
    assert provenance["keeps_freed_memory"] is (freed_memory._library() is not None)
    assert provenance["packages"]["torch"]
    folder = store.attempt(identity.key(cell()), 1).path
    assert sorted(path.name for path in folder.iterdir()) == ["curve.jsonl", "log.txt", "record.json"]


def test_the_time_limit(store: Store, cell: Make, setup: Callable[..., Setup]) -> None:
    started = time.monotonic()
    assert worker.attempt(store, cell("hang"), setup(timeout=3)) == "timeout"
    assert time.monotonic() - started < 30
    error = _record(store, cell("hang"))["error"]
    assert isinstance(error, dict)
    assert (error["kind"], error["type"]) == ("time", "Killed")
    assert "timeout=3" in error["message"]
    assert any("stubs.py" in line and "in hang" in line for line in error["log"]), "where it hung"


def test_what_a_cell_leaves_after_its_time_does_not_count(
    store: Store, cell: Make, setup: Callable[..., Setup], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A child that is asked where it hangs goes on meanwhile, and may come to its end."""
    key = identity.key(cell("hang"))
    monkeypatch.setattr(
        worker, "_ask_where", lambda process: store.attempt(key, 1).write(OUTCOME, {"status": "done", "scores": {}})
    )
    assert worker.attempt(store, cell("hang"), setup(timeout=0.1)) == "timeout"
    assert _record(store, cell("hang"))["error"]["kind"] == "time"  # type: ignore[index]
    assert list(store.attempts(key)) == [(1, "timeout")]
    assert not (store.attempt(key, 1).path / OUTCOME).exists()


def test_what_a_cell_has_left_before_its_time_is_over_counts(
    store: Store, cell: Make, setup: Callable[..., Setup], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its process may live on for a while: a thread keeps this one."""
    outcome = store.attempt(identity.key(cell("thread")), 1).path / OUTCOME
    monkeypatch.setattr(ending.Watch, "wall_s", property(lambda watch: 9.0 if outcome.exists() else 0.0))
    assert worker.attempt(store, cell("thread"), setup(timeout=3)) == "done"
    assert _record(store, cell("thread"))["scores"]


def test_a_cell_runs_once_for_each_attempt_seen(
    store: Store, cell: Make, setup: Callable[..., Setup], runs: Callable[[], list[str]]
) -> None:
    for _ in range(3):
        assert worker.attempt(store, cell(), setup()) == "done"
    assert len(runs()) == 1
    assert worker.attempt(store, cell(), setup(), seen=1) == "done"
    assert worker.attempt(store, cell(), setup(), seen=1) == "done"
    assert len(runs()) == 2
    assert tried(store, identity.key(cell())) == 2


def test_somebody_elses_cell_is_left_alone(
    store: Store, cell: Make, setup: Callable[..., Setup], runs: Callable[[], list[str]]
) -> None:
    held = lease.acquire(store.leases, identity.key(cell()))
    assert held is not None
    assert worker.attempt(store, cell(), setup()) == "running"
    assert store.status(identity.key(cell())) == "running"
    held.release()
    assert runs() == []


def test_an_attempt_without_a_record_is_closed_and_tried_again(
    store: Store, cell: Make, setup: Callable[..., Setup]
) -> None:
    store.begin(cell())
    assert store.status(identity.key(cell())) == "interrupted"
    assert worker.attempt(store, cell(), setup()) == "done"
    assert [status for _, status in store.attempts(identity.key(cell()))] == ["interrupted", "done"]


def test_a_lost_lease_leaves_no_record(
    store: Store, cell: Make, setup: Callable[..., Setup], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one who took over writes it."""
    monkeypatch.setattr(lease.Lease, "beat", lambda self: False)
    worker.attempt(store, cell("hang"), setup())
    assert store.read(identity.key(cell("hang"))) is None


@pytest.mark.parametrize(
    ("method", "settings", "attempts"),
    [
        ("die", {}, 2), ("disk", {}, 2), ("hang", {"timeout": 0.3}, 1), ("error", {}, 1),
        ("die", {"retry": 2}, 3), ("disk", {"retry": 0}, 1), ("hang", {"timeout": 0.3, "retry": 1}, 2),
        ("error", {"retry": 2}, 1), ("memory", {"retry": 2}, 1), ("diverge", {"retry": 2}, 1),
        ("quit", {"retry": 2}, 1), ("wrong_value", {"retry": 2}, 1), ("second", {}, 2), ("good", {"retry": 3}, 1),
    ],
)  # fmt: skip
def test_what_may_help_is_tried_again(
    store: Store, cell: Make, setup: Callable[..., Setup], method: str, settings: dict[str, float], attempts: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(worker, "PAUSE_S", 0.01)
    last = worker.attempt(store, cell(method), setup(**settings))
    statuses = [status for _, status in store.attempts(identity.key(cell(method)))]
    assert len(statuses) == attempts
    assert statuses[-1] == last
    assert statuses == (["failed", "done"] if method == "second" else [last] * attempts)


def test_nothing_is_tried_again_after_the_deadline(store: Store, cell: Make, setup: Callable[..., Setup]) -> None:
    late = replace(setup(retry=5), limit=TimeLimit(time.time() - 1, time.time() + 60))
    worker.attempt(store, cell("die"), late)
    assert tried(store, identity.key(cell("die"))) == 1


def test_a_cell_that_does_not_stop_in_time_is_interrupted_and_no_try_counts(
    store: Store, cell: Make, setup: Callable[..., Setup]
) -> None:
    soon = replace(setup(), limit=TimeLimit(time.time(), time.time() + 0.5))
    assert worker.attempt(store, cell("hang"), soon) == "interrupted"
    key = identity.key(cell("hang"))
    assert (tried(store, key), store.read(key)["error"]["kind"]) == (0, "interrupted")  # type: ignore[index]


def test_a_kill_by_the_kernel_is_out_of_memory(
    store: Store, cell: Make, setup: Callable[..., Setup], monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = replace_kills(monkeypatch, [3])
    look = ending.Watch.look

    def at(watch: ending.Watch, pid: int | None) -> None:
        look(watch, pid)
        gone[0] = 4  # after the last look at a process that lived

    monkeypatch.setattr(ending.Watch, "look", at)
    monkeypatch.setattr(ending, "peak_bytes", lambda pid: None)
    assert worker.attempt(store, cell("die"), setup()) == "oom"
    assert _record(store, cell("die"))["error"]["kind"] == "memory"  # type: ignore[index]


def test_a_kill_of_some_other_process_is_not(
    store: Store, cell: Make, setup: Callable[..., Setup], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel killed something while the cell ran well; later somebody ended the cell."""
    kills = replace_kills(monkeypatch, [3])
    watch = ending.Watch()
    kills[0] = 4
    for _ in range(3):
        watch.look(os.getpid())
    assert watch.peak_bytes
    assert not watch.kernel_killed()
    kills[0] = 5
    assert watch.kernel_killed()


def replace_kills(monkeypatch: pytest.MonkeyPatch, count: list[int]) -> list[int]:
    monkeypatch.setattr(ending, "kernel_kills", lambda: count[0])
    return count


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's counter")
def test_the_kernels_counter_is_read() -> None:
    assert "oom_kill " in ending._counter().read_text()
    assert ending.kernel_kills() >= 0


def _taken(store: Store, key: str) -> None:
    """Another machine takes over what is held now: every lease goes, as after a takeover that has ended."""
    for path in store.leases.glob(f"{key}.*"):
        path.unlink()


def test_who_wakes_too_late_replaces_no_record(
    store: Store, cell: Make, setup: Callable[..., Setup], monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    """The driver is frozen while its cell ends; another one closes the attempt with what the cell left."""
    key = identity.key(cell())
    follow = worker._follow

    def frozen(*arguments: object) -> None:
        follow(*arguments)  # type: ignore[arg-type]
        _taken(store, key)
        other = Store(store.path)
        worker.close_unfinished(other, key, cell())
        assert other.status(key) == "done"

    monkeypatch.setattr(worker, "_follow", frozen)
    assert worker.attempt(store, cell(), setup()) == "done"
    assert list(store.attempts(key)) == [(1, "done")]
    assert _record(store, cell())["scores"]
    assert "another worker took it over" in capsys.readouterr().err


@pytest.mark.parametrize("method", ["die", "error", "good"])
def test_a_lost_attempt_is_neither_recorded_nor_tried_again(
    store: Store, cell: Make, setup: Callable[..., Setup], runs: Callable[[], list[str]], method: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """Closed as interrupted by another one, which runs the cell now; nothing of the first counts any more."""
    monkeypatch.setattr(worker, "PAUSE_S", 0.01)
    key = identity.key(cell(method))
    left = ending.left

    def taken(folder: AttemptFolder) -> dict[str, object] | None:
        """At the last moment before the record."""
        monkeypatch.setattr(ending, "left", left)
        found = left(folder)
        _taken(store, key)
        error = {"kind": "interrupted", "type": "Killed", "message": "gone"}
        told = ending.record(key, cell(method), folder, {"status": "interrupted", "error": error})
        assert ending.finish(Store(store.path), key, folder, told)
        return found

    monkeypatch.setattr(ending, "left", taken)
    assert worker.attempt(store, cell(method), setup(retry=3)) == "interrupted"
    assert list(store.attempts(key)) == [(1, "interrupted")]
    assert len(runs()) == 1


def test_one_that_lost_its_lease_before_it_began_runs_nothing(
    store: Store, cell: Make, setup: Callable[..., Setup], runs: Callable[[], list[str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    key = identity.key(cell())
    begin = Store.begin

    def late(self: Store, one: Cell) -> AttemptFolder:
        _taken(store, key)
        return begin(self, one)

    monkeypatch.setattr(Store, "begin", late)
    assert worker.attempt(store, cell(), setup()) == "interrupted"
    assert runs() == []
    assert list(store.attempts(key)) == [(1, "interrupted")], "and what it began is closed"


def test_a_thread_that_stays_does_not_keep_the_process(store: Store, cell: Make, setup: Callable[..., Setup]) -> None:
    started = time.monotonic()
    assert worker.attempt(store, cell("thread"), setup()) == "done"
    assert time.monotonic() - started < child.LINGER_S + 30


def test_what_the_child_had_left_when_its_worker_died_is_the_record(
    store: Store, cell: Make, runs: Callable[[], list[str]], setup: Callable[..., Setup]
) -> None:
    """Else a cell that was trained to its end would be trained again."""
    folder = store.begin(cell())
    folder.write(OUTCOME, {"status": "done", "scores": {}, "time": {"train_s": 0.5}})
    folder.write(RESUMED, {"resumed_from": [3], "status": "failed"})
    assert worker.attempt(store, cell(), setup()) == "done"
    record = _record(store, cell())
    assert (record["attempt"], record["resumed_from"], runs()) == (1, [3], [])
    assert not {OUTCOME, RESUMED} & {path.name for path in folder.path.iterdir()}


def test_a_record_is_of_the_code_that_its_process_ran(
    store: Store, cell: Make, setup: Callable[..., Setup], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not of what this process reads when the cell has ended, be it its own driver or one that takes over."""
    now = dict(fingerprint.parts(fingerprint.Subject.of_cell(cell())))
    learnt = fingerprint.learnt(cell())
    monkeypatch.setattr(fingerprint, "learnt", lambda *_: learnt)
    monkeypatch.setattr(fingerprint, "parts", lambda *_: {"harness.training.fit": "edited"})
    assert worker.attempt(store, cell(), setup()) == "done"
    record = _record(store, cell())
    assert record["provenance"]["fingerprint_parts"] == now  # type: ignore[index]
    assert "code" not in record
    folder = store.begin(cell())
    folder.write(OUTCOME, {"status": "done", "scores": {}, "code": {"harness.training.fit": "older"}})
    worker.close_unfinished(store, identity.key(cell()), cell())
    provenance = _record(store, cell())["provenance"]
    assert provenance["fingerprint"] == fingerprint.joined({"harness.training.fit": "older"})  # type: ignore[index]


def test_a_checkpoint_is_handed_on_until_the_cell_has_ended(
    store: Store, cell: Make, setup: Callable[..., Setup]
) -> None:
    for method, left in (("good", []), ("memory", []), ("error", []), ("die", [2]), ("disk", [2]), ("hang", [2])):
        what, key = cell(method), identity.key(cell(method))
        (store.begin(what).path / CHECKPOINT).write_bytes(b"x")
        worker.attempt(store, what, setup(retry=0, timeout=0.3 if method == "hang" else 0))
        held = [number for number, _ in store.attempts(key) if (store.attempt(key, number).path / CHECKPOINT).exists()]
        assert held == left, method


def test_a_checkpoint_that_a_finished_attempt_left_is_of_no_use(
    store: Store, cell: Make, setup: Callable[..., Setup]
) -> None:
    worker.attempt(store, cell(), setup())
    (store.attempt(identity.key(cell()), 1).path / CHECKPOINT).write_bytes(b"x")
    ending.hand_on(store, identity.key(cell()), store.begin(cell()))
    assert not list(store.path.rglob(CHECKPOINT))


def test_the_last_trace_of_a_run_is_read(tmp_path: Path) -> None:
    folder = AttemptFolder(tmp_path)
    assert folder.traced() == {"phase": "start", "step": None}
    trace = folder.trace()
    for phase, step in (("evaluate", 1000), ("train", 7)):
        trace.mark(phase, step)
        assert folder.traced() == {"phase": phase, "step": step}
    trace.close()
    trace.mark("late", 8)
    assert folder.traced()["step"] == 7


SCRIPT = """
import sys
from pathlib import Path
from harness.store import identity as cells
from harness.execution import worker
from harness.execution.time_limit import TimeLimit
from harness.errors import UsageError
from harness.config.schema import Runtime
from harness.store.store import Store
store = Store(sys.argv[1])
cell = store.cell(next(store.keys()))
worker.attempt(store, cell, worker.Setup(Runtime(store=sys.argv[1], retry=0), modules=(), entry="stubs:run"))
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


@pytest.mark.parametrize("method", ["hang", "stuck"])
def test_a_killed_worker_leaves_no_child_and_can_be_resumed(
    store: Store, cell: Make, setup: Callable[..., Setup], environment: dict[str, str], runs: Callable[[], list[str]],
    method: str,
) -> None:  # fmt: skip
    process = _start(store, cell(method), environment, runs)
    children = _children(process.pid)
    process.kill()
    process.communicate(timeout=60)
    _until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in children))
    assert store.status(identity.key(cell(method))) == "interrupted"
    assert worker.attempt(store, cell(method), setup(timeout=0.3)) == "timeout"
    assert [status for _, status in store.attempts(identity.key(cell(method)))] == ["interrupted", "timeout"]


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


def test_the_server_has_one_thread_when_it_forks(stubbed: None) -> None:
    """With everything that it really preloads, torch included: a lock held by another thread would never open."""
    assert forkserver.call_each("stubs:threads", [(), ()], forkserver.preload(())) == [1, 1]
    assert forkserver.call("stubs:frozen", (), forkserver.preload(())) > 100_000, (
        "the collector reads them in each child"
    )


def test_the_environment_is_as_before(store: Store, cell: Make, setup: Callable[..., Setup]) -> None:
    before = dict(os.environ), signal.getsignal(signal.SIGINT), sys.modules["__main__"]
    worker.attempt(store, cell(), replace(setup(), modules=("json",)))
    assert (dict(os.environ), signal.getsignal(signal.SIGINT), sys.modules["__main__"]) == before


def test_preload_takes_names_of_families_only() -> None:
    for name in ("os; x", "../t5", "t5/x", ".t5", "t5 ", ""):
        with pytest.raises(UsageError, match="model_type of transformers"):
            forkserver.preload([name])


def test_preload_takes_every_model_type_of_transformers() -> None:
    """Some have a hyphen, a dot or a capital; their modules have an underscore in the place of the first two."""
    types = list(CONFIG_MAPPING)
    assert "xlm-roberta" in types
    for name in types:
        *_, module = forkserver.preload([name])
        assert module.count(".") == 3
    assert importlib.util.find_spec(forkserver.preload(["xlm-roberta"])[-1]) is not None


@pytest.fixture
def own_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The test may break its server; the server of all tests takes over again afterwards."""
    server = forkserver.forkserver._forkserver
    others = {
        name: getattr(server, name) for name in ("_forkserver_pid", "_forkserver_address", "_forkserver_alive_fd")
    }
    vars(server).update(dict.fromkeys(others))
    monkeypatch.setattr(forkserver, "start", forkserver.start.__wrapped__)  # with the test's modules alone
    yield
    forkserver._forget_server()
    vars(server).update(others)


def test_a_server_that_dies_at_its_start_is_started_once_more(
    stubbed: None, own_server: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The preflight of a sweep meets it first; and one that always dies is a sentence, no traceback."""
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    died = tmp_path / "died"
    once = f"path = pathlib.Path({str(died)!r})\nif not path.exists():\n    path.touch()\n    os._exit(1)\n"
    (tmp_path / "dying.py").write_text("import os, pathlib\n" + once)
    assert forkserver.call("stubs:fine", ((), "cpu"), ("dying",)) == [None]
    assert died.exists()
    forkserver._forget_server()
    (tmp_path / "dying.py").write_text("import os\nos._exit(1)\n")
    with pytest.raises(ChildProcessError, match="ended as soon as it was started"):
        forkserver.call("stubs:fine", ((), "cpu"), ("dying",))


def test_a_server_whose_socket_was_cleaned_away_is_replaced(stubbed: None, own_server: None) -> None:
    assert forkserver.call("stubs:fine", ((), "cpu"), ()) == [None]
    os.unlink(forkserver.forkserver._forkserver._forkserver_address)
    assert forkserver.call("stubs:fine", ((), "cpu"), ()) == [None]


def test_a_job_leaves_what_another_has_begun_to_the_driver(
    store: Store, cell: Make, setup: Callable[..., Setup], runs: Callable[[], list[str]]
) -> None:
    """The cell of a lost worker is free again, and would cost this job its process too."""
    many = [cell("good", seed) for seed in range(4)]
    keys = [store.register(one) for one in many]
    waiting = [worker.Pending(key, 0, begun=0) for key in keys]
    worker.attempt(store, many[0], setup())  # another job has run it
    store.next_attempt(keys[1])  # and has lost its process over this one
    assert worker.job(None, setup(), waiting) == ["done", "done"]
    assert runs() == ["good-0", "good-2", "good-3"]
    assert worker.job(None, setup(), [worker.Pending(keys[1], 0, begun=1)]) == ["done"]
