"""Cells whose run is a stub: `cell("die")` is a cell whose process is killed."""

import json
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from harness.config.schema import Cell, MethodConfig, ModelConfig, RecipeConfig, Runtime, TaskConfig
from harness.execution.worker import Setup
from harness.processes import forkserver
from harness.store import fingerprint, results_version
from harness.store.store import Store
from tests.conftest import LOADED

OtherRows = Callable[[dict[str, list[str] | None]], None]
HERE = str(Path(__file__).parent)
ROOT = str(Path(__file__).parents[2])


@pytest.fixture
def stubbed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Children find the stubs by the parent's import path; their families have no module that could be loaded."""
    monkeypatch.setattr(sys, "path", [HERE, ROOT, *sys.path])
    monkeypatch.setattr(forkserver, "preload", lambda families: LOADED)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


@pytest.fixture
def cell(tmp_path: Path) -> Callable[..., Cell]:
    def make(method: str = "good", seed: int = 0) -> Cell:
        return Cell(
            method=MethodConfig(method, {"rank": 4, "targets": ("q", "v")}),
            model=ModelConfig(name="stub", family="stub", revision="r1"),
            task=TaskConfig("stub", digest="d1", data_dir=str(tmp_path)),
            objective="seq2seq",
            recipe=RecipeConfig(name="stub"),
            seed=seed,
        )

    return make


@pytest.fixture
def setup(store: Store, stubbed: None) -> Callable[..., Setup]:
    def make(**runtime: float) -> Setup:
        return Setup(Runtime(store=str(store.path), **runtime), modules=LOADED, entry="stubs:run")

    return make


@pytest.fixture
def runs(tmp_path: Path) -> Callable[[], list[str]]:
    """What the stubs were asked to run, in order."""

    def read() -> list[str]:
        path = tmp_path / "runs.txt"
        return path.read_text().split() if path.exists() else []

    return read


@pytest.fixture
def environment() -> dict[str, str]:
    """For subprocesses: the checkout and the stubs are importable."""
    return variables()


def variables() -> dict[str, str]:
    path = os.pathsep.join([HERE, ROOT, os.environ.get("PYTHONPATH", "")])
    return {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}


@pytest.fixture
def other_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[OtherRows]:
    """A function that puts a golden file with other rows in place of ours; None leaves a row out."""
    caches = (
        results_version.golden, results_version._groups, results_version._sets, fingerprint.parts,
        fingerprint.fingerprint, fingerprint._foreign,
    )  # fmt: skip
    rows = {name: list(digits) for name, digits in results_version.golden().items()}

    def put(changed: dict[str, list[str] | None]) -> None:
        path = tmp_path / "golden.json"
        path.write_text(json.dumps({name: row for name, row in {**rows, **changed}.items() if row is not None}))
        monkeypatch.setattr(results_version, "FILE", path)
        for one in caches:
            one.cache_clear()

    yield put
    monkeypatch.undo()
    for one in caches:
        one.cache_clear()
