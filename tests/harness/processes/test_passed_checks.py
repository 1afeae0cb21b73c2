"""Checks that passed are not repeated by the next command, and whatever they depend on makes them new ones."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness import assets
from harness.cli import dispatch
from harness.config import user_cache
from harness.config.schema import MethodConfig
from harness.execution import preflight
from harness.experiments.grids import grid
from harness.paths import CACHE
from harness.processes import forkserver, passed_checks

GRID = {"method": ["lora", "bitfit"], "model": "micro-t5-nano", "task": "micro/sentiment"}


@pytest.fixture
def checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """Return a list to which every check is added that a child would make, beside an empty cache."""
    made: list[tuple[Any, ...]] = []

    def call(target: str, arguments: tuple[Any, ...], modules: Any) -> list[str | None]:
        checks, device = arguments
        made.extend(checks)
        return preflight.preflight(checks, device)

    monkeypatch.setattr(forkserver, "call", call)
    monkeypatch.setenv(CACHE, str(tmp_path / "cache"))
    return made


@pytest.fixture
def t5_folder(tmp_path: Path) -> Callable[[], Path]:
    """Return the path of a copy of an embedded backbone with its tokenizer."""
    world, place = assets.root() / "tasks" / "microworld", tmp_path / "backbone"
    shutil.copytree(world / "weights" / "micro-t5-nano", place)
    for file in (world / "tokenizer").iterdir():
        shutil.copy(file, place)
    return lambda: place


def _plan(tmp_path: Path, *words: str) -> int:
    return dispatch.main(["plan", "model=micro-t5-nano", f"store={tmp_path}/store", "--json", *words])


def test_a_second_plan_checks_what_is_new_alone(checked: list[Any], tmp_path: Path) -> None:
    assert _plan(tmp_path, "method=lora") == 0
    first = len(checked)
    assert first > 0
    assert _plan(tmp_path, "method=lora", "seed=0,1", "recipe.steps=7") == 0
    assert len(checked) == first
    assert _plan(tmp_path, "method=lora,bitfit") == 0
    assert {check[0].name for check in checked[first:] if isinstance(check[0], MethodConfig)} == {"bitfit"}


def test_a_check_that_failed_is_repeated(
    checked: list[Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for _ in range(2):
        checked.clear()
        assert _plan(tmp_path, "method=lora", "method.targets=[qq]") == 2
        assert "qq" in capsys.readouterr().err
        assert len(checked) > 0


@pytest.mark.parametrize("changed", ["sources", "library", "device"])
def test_other_code_libraries_and_devices_are_checked_again(
    changed: str, checked: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert _plan(tmp_path, "method=lora") == 0
    checked.clear()
    passed_checks._surroundings.cache_clear()
    if changed == "sources":
        monkeypatch.setattr(user_cache, "sources", lambda *packages: "other")
    elif changed == "library":
        monkeypatch.setattr(passed_checks, "installed", lambda name: "another version")
    code = _plan(tmp_path, "method=lora", *(["device=gpu"] if changed == "device" else []))
    assert (code, bool(checked)) == ((2, False) if changed == "device" else (0, True))
    passed_checks._surroundings.cache_clear()


def test_only_what_follows_from_its_text_is_remembered() -> None:
    [cell, _] = grid.expand([GRID])
    assert passed_checks.can_be_remembered(cell)
    assert not passed_checks.can_be_remembered(replace(cell, model=replace(cell.model, source="hub")))
    assert not passed_checks.can_be_remembered(replace(cell, model=replace(cell.model, trust_remote_code=True)))
    assert not passed_checks.can_be_remembered(replace(cell, method=MethodConfig("theirs", {})))


def test_a_model_whose_files_changed_is_checked_again(
    checked: list[Any], tmp_path: Path, t5_folder: Callable[[], Path]
) -> None:
    words = ("method=lora", f"model.path={t5_folder()}")
    assert _plan(tmp_path, *words) == 0
    checked.clear()
    assert _plan(tmp_path, *words) == 0
    assert checked == []
    config = t5_folder() / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"dropout_rate": 0.3}))
    assert _plan(tmp_path, *words) == 0
    assert checked != []
