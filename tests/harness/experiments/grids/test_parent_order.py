"""Cells that build on others: planned before them, blocked without them, keyed by them, given what they left."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from harness.cli import command_line
from harness.config.launchers import Launcher
from harness.config.schema import Cell, Runtime
from harness.errors import UsageError
from harness.execution import sweep
from harness.execution.sweep_plan import SweepOptions
from harness.experiments.grids import grid, parent_order
from harness.experiments.rerun_command import command
from harness.run import run
from harness.store import attempt_folder, identity
from harness.store.store import Store, obstacle
from harness.training import trained_tensors
from methods import registry as methods
from tests.turns import every_second

Make = Callable[..., Cell]
TWO = {"parents.one": {"task": "micro/sentiment"}, "parents.two": {"task": "micro/qa"}}
CHILD = {"method": "adapterfusion", "task": "micro/inference"}
BUILDING = sorted(name for name, entry in methods.catalogue().items() if entry.parents)


def kind_of(name: str) -> str:
    """The method of the parents in these tests."""
    return methods.find(name).parents.replace(parent_order.ANY, "layernorm")


def parents_of(name: str) -> dict[str, Any]:
    """Two parents, or one for a method that takes one alone."""
    given = {role: {**block, "method": kind_of(name)} for role, block in TWO.items()}
    return dict([*given.items()][:1]) if methods.find(name).single_parent else given


def child_of(cell: Make, *roles: tuple[str, Cell], method: str = "good", seed: int = 9) -> Cell:
    return replace(cell(method, seed), parents=tuple((role, identity.key(parent)) for role, parent in roles))


@pytest.mark.parametrize("name", BUILDING)
def test_parents_are_planned_before_their_children(name: str) -> None:
    parents = parents_of(name)
    found = grid.expand([{"method": name, "task": "micro/inference", "seed": [1, 0], "recipe.steps": 7, **parents}])
    kind, keys = kind_of(name), [identity.key(cell) for cell in found]
    by_seed = [[*[(kind, seed)] * len(parents), (name, seed)] for seed in (1, 0)]
    assert [(cell.method.name, cell.seed) for cell in found] == [*by_seed[0], *by_seed[1]]
    for cell in found:
        assert cell.recipe.steps == (0 if methods.find(cell.method.name).evaluation_only else 7)
        assert all(keys.index(key) < keys.index(identity.key(cell)) for _, key in cell.parents)
    children = [cell for cell in found if cell.method.name == name]
    assert [f"parents.{role}" for role, _ in children[0].parents] == list(parents)
    assert parent_order.without_children(found) == children
    for cell in children:
        assert identity.from_json(json.loads(json.dumps(identity.to_json(cell)))) == cell


def test_a_parent_of_another_seed_comes_first_all_the_same() -> None:
    block = {**CHILD, "seed": [0, 1], "parents.one": {"task": "micro/qa", "seed": 1}}
    found = grid.expand([{**CHILD, "method": "none"}, block])
    assert [(cell.method.name, cell.seed) for cell in found] == [
        ("none", 0), ("pfeiffer", 1), ("adapterfusion", 0), ("adapterfusion", 1),
    ]  # fmt: skip


def test_a_chain_is_planned_from_its_first_cell_on() -> None:
    """Three tasks in sequence: a parent that has a parent of its own."""
    first = {"method": "lora", "task": "micro/sentiment", "recipe.learning_rate": 1e-2}
    second = {"method": "continual", "task": "micro/qa", "parents.before": first}
    found = grid.expand([{**CHILD, "method": "continual", "seed": [1, 0], "parents.before": second}])
    tasks = ["micro/sentiment", "micro/qa", CHILD["task"]]
    assert [(cell.task.name, cell.seed) for cell in found] == [(task, seed) for seed in (1, 0) for task in tasks]
    for number, cell in enumerate(found):
        assert [key for _, key in cell.parents] == [identity.key(found[number - 1])] * (number % 3 > 0)


def test_the_key_contains_the_parents_and_the_command_names_them() -> None:
    *_, child = grid.expand([{**CHILD, **TWO}])
    assert identity.key(child) != identity.key(replace(child, parents=()))
    assert identity.key(child) != identity.key(
        replace(child, parents=tuple((role, "0" * 64) for role, _ in child.parents))
    )
    again = grid.expand([command_line.parse(command(child).split()[2:]).block])
    assert again == [child]


@pytest.mark.parametrize(
    ("block", "said"),
    [
        ({"method": "lora", **TWO}, "method lora builds on no other cells"),
        ({**CHILD, "parents.one": "micro/qa"}, "whole key"),
        ({**CHILD, "parents.a-b": {"task": "micro/qa"}}, "a role is a word"),
        ({**CHILD, "parents.one": {"method": "lora"}}, "needs one pfeiffer cell"),
        ({**CHILD, "parents.one": {"seed": [0, 1]}}, "needs one pfeiffer cell"),
        ({**CHILD, "parents.one": {"tusk": "micro/qa"}}, "task"),
        ({**CHILD, "parents.": {"task": "micro/qa"}}, "no choice"),
        ({"method": "soup", **TWO}, "name its method, as in"),
        (
            {"method": "soup", "parents.a": {"method": "lora", "seed": [0, 1]}},
            "needs one cell there; this is 2 of lora",
        ),
    ],
)
def test_what_is_no_parent_is_one_sentence(block: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        grid.expand([block])


def test_a_method_that_builds_on_others_needs_them_and_they_must_be_kept() -> None:
    with pytest.raises(UsageError, match="name them"):
        parent_order.check(grid.expand([CHILD]), "delta")
    with pytest.raises(UsageError, match="keep=none"):
        parent_order.check(grid.expand([{**CHILD, **TWO}]), "none")


def _drain(many: list[Cell], store: Store, launcher: str = "basic") -> int:
    runtime = Runtime(store=str(store.path))
    options = SweepOptions(runtime, Launcher(launcher), 2, entry="stubs:run", check="stubs:fine")
    return sweep.run_cells(many, options)


def _keep(store: Store, cell: Cell) -> None:
    save_file({"x": torch.zeros(1)}, store.counting_file(identity.key(cell), attempt_folder.FILE))


@pytest.mark.parametrize("launcher", ["basic", "joblib"])
def test_a_failed_parent_blocks_its_children(store: Store, stubbed: None, cell: Make, launcher: str) -> None:
    bad = cell("error")
    child = child_of(cell, ("a", bad))
    grandchild = child_of(cell, ("b", child), seed=10)
    many = [grandchild, child, bad]
    assert _drain(many, store, launcher) == 1
    assert [store.status(identity.key(one)) for one in many] == ["blocked", "blocked", "failed"]
    record = store.read(identity.key(child))
    assert record is not None
    assert record["error"]["message"] == f"parent a ({identity.key(bad)[:12]}) is failed"


def test_blocked_is_tried_again_once_its_parents_are_done(
    store: Store, stubbed: None, cell: Make, runs: Callable[[], list[str]]
) -> None:
    parent = cell()
    child = child_of(cell, ("a", parent), method="nap")
    assert _drain([child], store) == 1
    assert "is missing" in (store.read(identity.key(child)) or {})["error"]["message"]
    assert _drain([parent], store) == 0
    with pytest.raises(UsageError, match="has no stored"):
        _drain([child], store)
    _keep(store, parent)
    assert _drain([child, parent], store) == 0
    assert runs() == ["good-0", "nap-9"]


def test_a_parent_file_that_is_no_safetensors_is_refused(store: Store, stubbed: None, cell: Make) -> None:
    parent = cell()
    _drain([parent], store)
    store.counting_file(identity.key(parent), attempt_folder.FILE).write_bytes(b"\x80\x04pickled")
    with pytest.raises(UsageError, match=r"parent a: delta-best\.safetensors"):
        trained_tensors.load(store, child_of(cell, ("a", parent)))


SMALL = {"recipe.steps": 4, "recipe.evaluate_every": 2, "task.train_size": 64, "task.validation_size": 32}


@pytest.mark.parametrize("name", every_second(BUILDING))
def test_end_to_end_on_two_tiny_cells(tmp_path: Path, name: str) -> None:
    """Real parents, then a child that starts from what they left and leaves what it trained."""
    parents = parents_of(name)
    store, runtime = Store(tmp_path / "store"), Runtime(store=str(tmp_path / "store"), device="cpu")
    block = {"method": name, "task": "micro/inference", "task.test_size": 32, **SMALL, **parents}
    *made, child = grid.expand([block])
    for cell in (*made, child):
        assert obstacle(store, cell) is None
        folder = store.begin(cell)
        result = run(cell, runtime, folder)
        names = {"status": "done", "cell": identity.to_json(cell), "attempt": folder.number, "key": identity.key(cell)}
        store.finish(identity.key(cell), folder, {"schema": 1, **names, **result})
    assert len(made) == len(parents)
    trains = not methods.find(name).evaluation_only
    assert bool(result["parameters"]["delta"]) == trains
    assert store.counting_file(identity.key(child), attempt_folder.FILE).is_file() == trains
    assert result["best_step"] == 0 or trains
    held = trained_tensors.load(store, child)
    assert {f"parents.{role}": parent.method.name for role, parent in held.items()} == dict.fromkeys(
        parents, kind_of(name)
    )
    one, other = held[min(held)].state, held[max(held)].state
    assert len(parents) == 1 or any(not torch.equal(one[tensor], other[tensor]) for tensor in one)
    elsewhere = replace(child, model=replace(child.model, revision="0" * 16))
    with pytest.raises(UsageError, match=r"parent one: cell .* is on another backbone"):
        trained_tensors.load(store, elsewhere)
