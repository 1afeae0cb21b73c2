"""A tracker gets every row of every attempt, and nothing that happens to it reaches a cell."""

import sys
import types
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from harness.cli import dispatch
from harness.config.launchers import Launcher
from harness.config.schema import Cell, Runtime
from harness.execution import sweep
from harness.execution.sweep_plan import SweepOptions
from harness.execution.trackers import follower
from harness.store import identity
from harness.store.store import Store

Make = Callable[..., Cell]


class Memory:
    """A tracker that keeps what it is given."""

    def __init__(self, fails: bool = False) -> None:
        self.fails = fails
        self.runs: dict[str, dict[str, Any]] = {}

    def begin(self, folder: Path) -> Callable[..., Any]:
        def start(name: str, about: Mapping[str, Any]) -> Any:
            held = self.runs[name] = {"about": about, "rows": [], "status": None, "folder": folder}

            def log(step: int, figures: Mapping[str, float]) -> None:
                if self.fails:
                    raise ConnectionError("the server is gone")
                held["rows"].append((step, dict(figures)))

            return types.SimpleNamespace(log=log, end=lambda status: held.update(status=status))

        return start


@pytest.fixture
def memory(monkeypatch: pytest.MonkeyPatch) -> Memory:
    """In the place of TensorBoard."""
    kept = Memory()
    monkeypatch.setitem(sys.modules, "harness.execution.trackers.tensorboard", kept)
    monkeypatch.setattr(follower, "installed", lambda name: True)
    monkeypatch.setattr(follower, "POLL_S", 0.05)
    return kept


def _options(runtime: Runtime) -> SweepOptions:
    return SweepOptions(runtime, Launcher("basic"), entry="stubs:run", check="stubs:fine")


def _drain(many: list[Cell], store: Store) -> int:
    runtime = Runtime(store=str(store.path), tracker="tensorboard", retry=0)
    return sweep.run_cells(many, _options(runtime))


def test_every_row_of_every_attempt_arrives_once(memory: Memory, store: Store, cell: Make, stubbed: None) -> None:
    many = [cell("good"), cell("nap"), cell("error")]
    assert _drain(many, store) == 1
    assert len(memory.runs) == 3
    for one in many:
        run = next(run for run in memory.runs.values() if run["about"]["key"] == identity.key(one))
        assert run["rows"] == [(0, {"scores/validation": 0.5})], "null is left out, and no row comes twice"
        assert run["status"] == store.status(identity.key(one))
        assert (run["about"]["method"], run["about"]["method.rank"]) == (one.method.name, 4)
        assert run["folder"].is_relative_to(store.path)
    assert _drain(many, store) == 1
    assert len(memory.runs) == 4, "the failed cell was tried again, the others not"


def test_a_fault_of_the_tracker_is_told_once_and_costs_nothing(
    memory: Memory, store: Store, cell: Make, stubbed: None, capsys: pytest.CaptureFixture[str]
) -> None:
    memory.fails = True
    assert _drain([cell("good"), cell("nap")], store) == 0
    assert capsys.readouterr().err.count("the server is gone") == 1


def test_trackers_are_those_of_the_setting() -> None:
    rule = Runtime.__dataclass_fields__["tracker"].metadata["known"]
    assert {*rule} == {"none", *follower.NAMES}


@pytest.mark.parametrize("tracker", follower.NAMES)
def test_a_missing_package_is_named_with_its_command(
    tracker: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(follower, "find_spec", lambda name: None)
    words = ["run", "method=lora", "task=micro/sentiment", f"tracker={tracker}", f"store={tmp_path}/none"]
    assert dispatch.main(words) == 2
    assert f"pip install {tracker}" in capsys.readouterr().err
    assert not (tmp_path / "none").exists()


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("tracker", follower.NAMES)
def test_the_real_ones(
    tracker: str, tmp_path: Path, cell: Make, store: Store, stubbed: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip(tracker)
    for name in ("WANDB_MODE", "MLFLOW_TRACKING_URI", "WANDB_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    runtime = Runtime(store=str(store.path), tracker=tracker)
    assert sweep.run_cells([cell("good")], _options(runtime)) == 0
    kept = [path for path in (store.path / "tracking" / tracker).rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in kept) > 100
    if tracker == "tensorboard":
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

        read = EventAccumulator(str(kept[0].parent)).Reload()
        assert [event.value for event in read.Scalars("scores/validation")] == [0.5]
    if tracker == "mlflow":
        from mlflow.tracking import MlflowClient

        client = MlflowClient(f"sqlite:///{(store.path / 'tracking' / tracker / 'mlflow.db').resolve()}")
        run = client.search_runs([one.experiment_id for one in client.search_experiments()])[0]
        assert run.data.metrics == {"scores/validation": 0.5}
