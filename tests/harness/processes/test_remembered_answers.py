"""Checks that passed are not repeated by the next command, and whatever they depend on makes them new ones."""

import json
import shutil
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
from harness.forecast import compute
from harness.paths import CACHE
from harness.processes import forkserver, remembered_answers

LASTS = remembered_answers.lasts
"""The function itself: a fixture of all tests replaces it."""
GRID = {"method": ["lora", "bitfit"], "model": "micro-t5-nano", "task": "micro/sentiment"}


@pytest.fixture(autouse=True)
def _answers_are_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As outside tests, in an empty cache."""
    monkeypatch.setattr(remembered_answers, "lasts", LASTS)
    monkeypatch.setenv(CACHE, str(tmp_path / "cache"))


@pytest.fixture
def checked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """Return a list to which every check is added that a child would make."""
    made: list[tuple[Any, ...]] = []

    def call(target: str, arguments: tuple[Any, ...], modules: Any) -> list[str | None]:
        checks, device = arguments
        made.extend(checks)
        return preflight.preflight(checks, device)

    monkeypatch.setattr(forkserver, "call", call)
    return made


@pytest.fixture
def t5_folder(tmp_path: Path) -> Path:
    """Return the path of a copy of an embedded backbone with its tokenizer."""
    world, place = assets.root() / "tasks" / "microworld", tmp_path / "backbone"
    shutil.copytree(world / "weights" / "micro-t5-nano", place)
    for file in (world / "tokenizer").iterdir():
        shutil.copy(file, place)
    return place


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
    remembered_answers._surroundings.cache_clear()
    if changed == "sources":
        monkeypatch.setattr(user_cache, "sources", lambda *packages: "other")
    elif changed == "library":
        monkeypatch.setattr(remembered_answers, "installed", lambda name: "another version")
    code = _plan(tmp_path, "method=lora", *(["device=gpu"] if changed == "device" else []))
    assert (code, bool(checked)) == ((2, False) if changed == "device" else (0, True))
    remembered_answers._surroundings.cache_clear()


def test_only_what_follows_from_its_text_is_remembered() -> None:
    [cell, _] = grid.expand([GRID])
    coded = replace(cell, model=replace(cell.model, trust_remote_code=True))
    theirs = replace(cell, method=MethodConfig("theirs", {}))
    from_hub = replace(cell, model=replace(cell.model, source="hub"))
    [declared] = grid.expand([{**GRID, "method": "lora", "model": "t5-base", "model.weights": "random"}])
    for files in (True, False):
        assert remembered_answers.lasts(cell, files)
        assert not any(remembered_answers.lasts(other, files) for other in (coded, theirs, from_hub))
    assert remembered_answers.lasts(declared, files=False)


def test_a_model_whose_files_changed_is_checked_again(checked: list[Any], tmp_path: Path, t5_folder: Path) -> None:
    words = ("method=lora", f"model.path={t5_folder}")
    assert _plan(tmp_path, *words) == 0
    checked.clear()
    assert _plan(tmp_path, *words) == 0
    assert checked == []
    config = t5_folder / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"dropout_rate": 0.3}))
    assert _plan(tmp_path, *words) == 0
    assert checked != []


def test_a_forecast_is_the_same_the_second_time(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[Any] = []

    def call(target: str, items: list[Any], modules: Any) -> list[Any]:
        asked.extend(items)
        return list(compute.answers(items))

    monkeypatch.setattr(forkserver, "call_in_parts", call)
    words = ("forecast", "model=t5-base,micro-t5-nano", "method=lora,none", "--input-tokens", "12", "--json")
    answers = []
    for more in ((), (), ("--accumulation", "2")):
        assert dispatch.main([*words, *more]) == 0
        answers.append((len(asked), json.loads(capsys.readouterr().out)))
    (first, one), (second, other), (third, parts) = answers
    assert first == second > 0
    assert one == other
    assert third == 2 * first
    assert parts != one
