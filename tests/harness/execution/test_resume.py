"""A real cell whose process is killed goes on in its next attempt, and its record is that of a cell left in peace."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from harness.config.schema import Runtime
from harness.execution import worker
from harness.experiments.grids import grid
from harness.processes import forkserver
from harness.store import identity
from harness.store.attempt_folder import CHECKPOINT, RESUMED, TRACE
from harness.store.record import REPEATED, VARYING
from harness.store.store import Store

BLOCK = {
    "method": "lora", "model": "micro-t5-nano", "task": "micro/sentiment", "recipe.steps": 8,
    "recipe.evaluate_every": 3, "task.train_size": 64, "task.validation_size": 16, "task.test_size": 16,
}  # fmt: skip


@pytest.fixture
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Children find the stubs by this process's import path."""
    here = Path(__file__).parents[1]
    monkeypatch.setattr(sys, "path", [str(here), str(here.parents[1]), *sys.path])
    monkeypatch.setattr(worker, "PAUSE_S", 0.0)


def test_a_killed_cell_ends_as_one_that_was_left_in_peace(importable: None, tmp_path: Path) -> None:
    [cell] = grid.expand([BLOCK])
    key, modules = identity.key(cell), forkserver.preload([cell.model.family])
    calm, cut = Store(tmp_path / "calm"), Store(tmp_path / "cut")
    plain = Runtime(store=str(calm.path), device="cpu")
    assert worker.attempt(calm, cell, worker.Setup(plain, modules)) == "done"
    often = Runtime(store=str(cut.path), device="cpu", checkpoint_steps=2)
    assert worker.attempt(cut, cell, worker.Setup(often, modules, entry="stubs:cut_off")) == "done"

    first = json.loads((cut.attempt(key, 1).path / "record.json").read_text())
    assert {name: first["error"][name] for name in ("kind", "signal", "phase", "step")} == {
        "kind": "died", "signal": "SIGKILL", "phase": "train", "step": 6,
    }  # fmt: skip
    one, other = calm.read(key), cut.read(key)
    assert one is not None
    assert other is not None
    assert (other["attempt"], other["resumed_from"]) == (2, [4])
    assert [name for name in REPEATED if one[name] != other[name]] == []
    assert {*one, *other} <= {*REPEATED, *VARYING}
    assert _curve(calm, key) == _curve(cut, key)
    for name in ("predictions.jsonl.gz", "delta-best.safetensors", "delta-last.safetensors"):
        assert calm.counting_file(key, name).read_bytes() == cut.counting_file(key, name).read_bytes()
    left = {path.name for path in cut.path.rglob("*")}
    assert not left & {CHECKPOINT, RESUMED, TRACE}


def _curve(store: Store, key: str) -> list[dict[str, Any]]:
    return [{name: value for name, value in row.items() if name != "seconds"} for row in store.curve(key)]


def test_a_question_whose_process_is_killed_is_asked_once_more(importable: None, tmp_path: Path) -> None:
    assert forkserver.call("stubs:once", (str(tmp_path / "mark"),), ()) == 7
    with pytest.raises(ChildProcessError, match="SIGKILL"):
        forkserver.call("stubs:never", (), ())
