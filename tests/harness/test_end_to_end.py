"""Real cells of the smallest backbone, from the command line to the record."""

import json
import math
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from harness.cli import dispatch
from harness.store import identity
from harness.store.record import REPEATED, VARYING
from harness.store.store import Store
from tests.harness.conftest import variables

WORDS = [
    "recipe.steps=4",
    "recipe.evaluate_every=2",
    "task.train_size=64",
    "task.validation_size=32",
    "task.test_size=32",
]

Call = Callable[..., subprocess.CompletedProcess[str]]
Here = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("end to end, with spaces = and signs")


@pytest.fixture(scope="module")
def call(folder: Path) -> Call:
    def call(*words: str, **more: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "harness.cli", *words]
        return subprocess.run(
            command, cwd=folder, env={**variables(), **more}, capture_output=True, text=True, timeout=300
        )

    return call


@pytest.fixture(scope="module")
def swept(call: Call, folder: Path) -> Store:
    """The store of a sweep in a process of its own."""
    done = call("sweep", "method=none,lora", *WORDS, "launcher=basic")
    assert done.returncode == 0, done.stderr
    return Store(folder / "results" / "store")


@pytest.fixture
def here(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Here:
    """As `call`, in this process: its cells come from a server that has torch already."""
    monkeypatch.chdir(folder)

    def here(*words: str) -> tuple[int, str, str]:
        capsys.readouterr()
        code = dispatch.main(words)
        return code, *capsys.readouterr()

    return here


def _numbers(value: Any) -> list[float]:
    if isinstance(value, Mapping):
        return [number for item in value.values() for number in _numbers(item)]
    return [value] if isinstance(value, float) else []


def test_a_sweep_leaves_complete_records(swept: Store) -> None:
    store = swept
    records = {record["cell"]["method"]["name"]: record for record in store.records()}
    assert set(records) == {"none", "lora"}
    for name, record in records.items():
        assert identity.key(identity.from_json(record["cell"])) == record["key"]
        for point in ("best", "last"):
            assert {"validation", "test"} == set(record["scores"][point]["sets"])
        assert all(math.isfinite(number) for number in _numbers(record["scores"]))
        assert (record["parameters"]["delta"] > 0) == (name == "lora")
        assert record["time"]["cells_beside"] == 0
        assert record["time"]["wall_s"] >= record["time"]["train_s"]
        assert record["provenance"]["fingerprint"]
        files = {path.name for path in store.attempt(record["key"], 1).path.iterdir()}
        assert {"record.json", "curve.jsonl", "predictions.jsonl.gz"} <= files
        assert ("delta-best.safetensors" in files) == (name == "lora")
    assert [row["step"] for row in store.curve(records["lora"]["key"])] == [0, 2, 4]


def test_the_same_command_is_the_resume(swept: Store, here: Here) -> None:
    code, out, _ = here("sweep", "method=none,lora", *WORDS)
    assert code == 0
    assert out.startswith("nothing left to do")
    assert "Test score (points of 100) by method and task" in out


def test_a_cell_gives_the_same_numbers_again(swept: Store, here: Here) -> None:
    """On one machine with one thread, in another process: a second attempt differs in nothing but its clock."""
    code, _, told = here("run", "method=lora", *WORDS, "rerun=done")
    assert code == 0, told
    store = Store(swept.path)
    [key] = [record["key"] for record in store.records() if record["cell"]["method"]["name"] == "lora"]
    first, second = (json.loads((store.attempt(key, n).path / "record.json").read_text()) for n in (1, 2))
    assert set(first) <= {*REPEATED, *VARYING}
    assert [name for name in REPEATED if first[name] != second[name]] == []
    rows = [
        [{name: value for name, value in json.loads(line).items() if name != "seconds"} for line in text.splitlines()]
        for text in ((store.attempt(key, n).path / "curve.jsonl").read_text() for n in (1, 2))
    ]
    assert rows[0] == rows[1]


def test_a_bad_target_costs_no_training(here: Here, folder: Path) -> None:
    code, _, told = here("run", "method=lora", "method.targets=[qq]", "store=elsewhere")
    assert code == 2
    assert "qq" in told
    assert "Traceback" not in told
    assert not (folder / "elsewhere").exists()


PLUGIN = '''
"""A method of somebody else's package."""

from dataclasses import dataclass
from typing import ClassVar

from torch import nn

from methods.base import Method


@dataclass(frozen=True)
class Mine(Method):
    """Trains one vector."""

    name: ClassVar[str] = "mine"
    fail: bool = False

    def attach(self, model: nn.Module) -> None:
        if self.fail and not any(parameter.is_meta for parameter in model.parameters()):
            raise RuntimeError("as asked")
        next(p for p in model.parameters() if p.ndim == 1).requires_grad_(True)
'''


def test_a_method_of_another_package(call: Call, folder: Path, tmp_path: Path, environment: dict[str, str]) -> None:
    """Through the entry point alone: no YAML, no change here; its failure is a record of its cell only."""
    (tmp_path / "their_method.py").write_text(PLUGIN)
    package = tmp_path / "theirs-1.0.dist-info"
    package.mkdir()
    (package / "METADATA").write_text("Metadata-Version: 2.1\nName: theirs\nVersion: 1.0\n")
    (package / "entry_points.txt").write_text("[deltabench.methods]\nmine = their_method\n")
    path = f"{tmp_path}:{environment['PYTHONPATH']}"
    done = call(
        "sweep", "method=mine", "method.fail=false,true", *WORDS, "store=theirs", "launcher=basic", PYTHONPATH=path
    )
    assert done.returncode == 1, done.stderr
    records = {record["cell"]["method"]["fail"]: record for record in Store(folder / "theirs").records()}
    assert records[False]["status"] == "done"
    assert records[False]["parameters"]["delta"] > 0
    assert (records[True]["status"], records[True]["error"]["message"]) == ("failed", "as asked")
    listed = call("list", "methods", "--json", PYTHONPATH=path)
    assert "mine" in {row["name"] for row in json.loads(listed.stdout)}
