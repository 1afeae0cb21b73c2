"""Probes that look at weights: they measure what a cell kept, and whoever looks changes nothing."""

import importlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from harness import run
from harness.config.schema import Cell, MethodConfig, ModelConfig, RecipeConfig, Runtime, TaskConfig
from harness.execution import outcome, sweep_plan
from harness.models import weight_files
from harness.probes import _finished_cell, _snapshot_run, forgetting, intruders_down, spectrum, weight_decomposition
from harness.probes import registry as probes
from harness.processes import forkserver
from harness.store import attempt_folder, identity
from harness.store.store import SCHEMA, Store
from harness.training import fit
from methods import registry as methods
from tasks import registry as tasks
from tasks.microworld.pretraining import held_out

NAME = "weight_decomposition"
STEPS = 6
RECIPE = RecipeConfig(learning_rate=1e-2, steps=STEPS, evaluate_every=2, batch_size=8)
TASK = next(name for name, row in tasks.catalogue().items() if "generated" in row.source and row.answer == "label")
MERGEABLE = ("full", "lora", "dora")
Make = Callable[..., tuple[Store, str, Runtime]]


@pytest.fixture(autouse=True)
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Probes run in this process."""

    def call(target: str, arguments: tuple[Any, ...], modules: object) -> Any:
        module, name = target.split(":")
        return json.loads(json.dumps(getattr(importlib.import_module(module), name)(*arguments), allow_nan=False))

    monkeypatch.setattr(forkserver, "call", call)


def a_cell(method: str, steps: int = STEPS) -> Cell:
    model = weight_files.resolve(ModelConfig(name="micro-t5-nano", family="t5", weights="random"))
    data = tasks.resolve(TaskConfig(TASK, train_size=32, validation_size=10, test_size=12))
    return Cell(MethodConfig(method, methods.resolve(method, {})), model, data, "seq2seq", replace(RECIPE, steps=steps))


def finish(store: Store, cell: Cell, runtime: Runtime, entry: Callable[..., dict[str, Any]]) -> str:
    folder, key = store.begin(cell), identity.key(cell)
    rest = {"schema": SCHEMA, "key": key, "attempt": folder.number, "cell": identity.to_json(cell), "error": None}
    store.finish(key, folder, {**rest, **entry(cell, runtime, folder), "provenance": {}})
    return key


@pytest.fixture
def make(tmp_path: Path) -> Make:
    def do(
        method: str, steps: int = STEPS, entry: Any = _snapshot_run.run, **settings: Any
    ) -> tuple[Store, str, Runtime]:
        runtime = Runtime(store=str(tmp_path / "store"), device="cpu", probe=NAME, **settings)
        store = Store(runtime.store)
        return store, finish(store, a_cell(method, steps), runtime, entry), runtime

    return do


@pytest.fixture
def make_forgetting(tmp_path: Path) -> Make:
    """A finished cell with the snapshots that the probe `forgetting` needs."""

    def do(method: str) -> tuple[Store, str, Runtime]:
        runtime = Runtime(store=str(tmp_path / "store"), device="cpu", probe="forgetting")
        store = Store(runtime.store)
        return store, finish(store, a_cell(method), runtime, _snapshot_run.run), runtime

    return do


def test_checkpoints_are_equally_spaced_and_end_with_the_last_step() -> None:
    assert attempt_folder.steps(200, 4) == (50, 100, 150, 200)
    assert attempt_folder.steps(2, 4) == (1, 2)
    assert attempt_folder.steps(0, 4) == ()
    for total in range(1, 40):
        assert attempt_folder.steps(total, 4)[-1] == total


@pytest.mark.parametrize("method", [*MERGEABLE, "prefix"])
def test_who_looks_on_changes_nothing(make: Make, tmp_path: Path, method: str) -> None:
    store, key, runtime = make(method)
    other = replace(runtime, store=str(tmp_path / "other"), probe="")
    plain = Store(other.store)
    assert finish(plain, a_cell(method), other, run.run) == key
    curves = [[{k: v for k, v in row.items() if k != "seconds"} for row in curve] for curve in read(store, plain, key)]
    assert curves[0] == curves[1]
    assert curves[0]
    for name in ("delta-best.safetensors", "delta-last.safetensors", "predictions.jsonl.gz"):
        assert store.counting_file(key, name).read_bytes() == plain.counting_file(key, name).read_bytes()
    assert not list(plain.counting_file(key, "x").parent.glob(attempt_folder.PATTERN))


def read(store: Store, plain: Store, key: str) -> list[list[Any]]:
    return [list(curve) for one in (store, plain) for _, curve in one.runs([key])]


@pytest.mark.parametrize("method", MERGEABLE)
def test_the_probe_measures_each_checkpoint(make: Make, method: str) -> None:
    store, key, runtime = make(method)
    found = probes.take(store, key, NAME, runtime)
    assert found["status"] == "done", found
    assert found["steps"] == list(attempt_folder.steps(STEPS, weight_decomposition.SNAPSHOTS))
    assert {row["role"] for row in found["matrices"]} == {"q", "v"}
    assert {row["stack"] for row in found["matrices"]} == {"encoder", "decoder"}
    assert any(row["cross"] for row in found["matrices"])
    for row in found["matrices"]:
        assert len(row["magnitude"]) == len(row["direction"]) == len(found["steps"])
        assert all(value > 0 for value in row["direction"]), row
        assert len(set(row["magnitude"])) == len(found["steps"]), "one weight at several checkpoints"
    assert len(probes.descriptions(store.read(key) or {})[NAME]) == 2 * len(found["steps"])


@pytest.mark.parametrize("method", MERGEABLE)
def test_the_spectrum_is_that_of_what_trained(make: Make, method: str) -> None:
    store, key, runtime = make(method)
    found = probes.take(store, key, "spectrum", runtime)
    assert found["status"] == "done", found
    moved = {row["role"] for row in found["matrices"] if row["change"] > 0}
    everything = {row["role"] for row in found["matrices"]}
    assert moved == (everything if method == "full" else {"q", "v"})
    assert len(everything) > 4
    for row in found["matrices"]:
        assert all(0 < value <= 1 + 1e-9 for value in row["likeness"])
        assert row["change"] > 0 or row["likeness"] == pytest.approx([1.0] * len(row["likeness"]))
    assert probes.descriptions(store.read(key) or {})["spectrum"]


@pytest.mark.parametrize(("method", "reason"), [("adapter", "cannot be merged"), ("none", "nothing trained")])
def test_without_merged_weights_there_is_a_reason(make: Make, method: str, reason: str) -> None:
    store, key, runtime = make(method)
    found = probes.take(store, key, NAME, runtime)
    assert found["status"] == "done"
    assert found["matrices"] == []
    assert reason in found["why_null"]["matrices"]
    assert not probes.lacks_snapshots(store, key, store.cell(key), [NAME])


def test_a_finished_cell_that_kept_nothing_inside_gets_another_attempt(make: Make) -> None:
    store, key, runtime = make("lora", entry=run.run)
    found = probes.take(store, key, NAME, runtime)
    assert found["status"] == "failed"
    assert f"no stored delta of step {', '.join(map(str, attempt_folder.steps(STEPS, 4)[:-1]))}:" in found["error"]
    cell = store.cell(key)
    assert list(sweep_plan.to_run(store, [cell], (), ())) == []
    assert list(sweep_plan.to_run(store, [cell], (), ["latency", "spectrum"])) == []
    assert list(sweep_plan.to_run(store, [cell], (), [NAME])) == [key]
    assert finish(store, cell, runtime, _snapshot_run.run) == key
    assert list(sweep_plan.to_run(store, [cell], (), [NAME])) == []
    assert probes.take(store, key, NAME, runtime)["status"] == "done"


def test_nothing_is_kept_inside_where_no_weights_stay(make: Make) -> None:
    store, key, _ = make("lora", keep="none")
    assert not list(store.counting_file(key, "x").parent.glob("delta-*"))


def test_the_entry_is_another_only_where_a_probe_needs_it() -> None:
    assert probes.entry("usual", []) == probes.entry("usual", ["latency", "spectrum"]) == "usual"
    assert probes.entry("usual", [NAME]) == probes.INSIDE
    module, name = probes.INSIDE.split(":")
    assert callable(getattr(importlib.import_module(module), name))
    assert probes.snapshot_steps(["latency"], 100) == ()


def test_an_attempt_that_goes_on_has_what_the_one_before_kept(tmp_path: Path) -> None:
    store, cell = Store(str(tmp_path / "store")), a_cell("lora")
    first = store.begin(cell)
    for name in ("checkpoint.safetensors", attempt_folder.name(2), attempt_folder.name(3)):
        (first.path / name).write_bytes(b"x")
    second = store.begin(cell)
    outcome.hand_on(store, identity.key(cell), second)
    assert {path.name for path in second.path.iterdir()} >= {attempt_folder.name(2), attempt_folder.name(3)}
    assert not list(first.path.glob("delta-*"))


class Cut(Exception):
    pass


def test_training_that_was_cut_off_goes_on_to_the_same_deltas(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, key, runtime = make("lora")
    cut = replace(runtime, store=str(tmp_path / "cut"), checkpoint_steps=1)
    store, cell = Store(cut.store), a_cell("lora")
    take = fit.take

    def until(step: fit.Step) -> float:
        if step.number == 4:
            raise Cut
        return take(step)

    first = store.begin(cell)
    with monkeypatch.context() as patch:
        patch.setattr(fit, "take", until)
        with pytest.raises(Cut):
            _snapshot_run.run(cell, cut, first)
    assert list(first.path.glob(attempt_folder.PATTERN))

    def resume(cell: Cell, runtime: Runtime, folder: Any) -> dict[str, Any]:
        outcome.hand_on(store, key, folder)
        return _snapshot_run.run(cell, runtime, folder)

    assert finish(store, cell, cut, resume) == key
    names = sorted(path.name for path in whole.counting_file(key, "x").parent.glob("delta-*"))
    assert len(names) == 5
    for name in names:
        assert store.counting_file(key, name).read_bytes() == whole.counting_file(key, name).read_bytes(), name


def test_the_rank_of_a_change_is_that_of_its_strongest_parts() -> None:
    strong = torch.diag(torch.tensor([3.0, 3.0, 0.1, 0.0]))
    assert spectrum.rank_share(strong) == 0.5
    assert spectrum.rank_share(torch.eye(10)) == 0.9
    assert spectrum.rank_share(torch.zeros(3, 3)) == 0.0


def test_forgetting_is_measured_at_each_snapshot(make_forgetting: Make) -> None:
    store, key, runtime = make_forgetting("lora")
    found = probes.take(store, key, "forgetting", runtime)
    assert found["status"] == "done", found
    assert found["steps"] == [0, *attempt_folder.steps(STEPS, forgetting.SNAPSHOTS)]
    assert len(set(found["pretraining_loss"])) == len(found["steps"]), "one model at several steps"
    assert found["documents"] == held_out.COUNT
    for name, scores in found["others"].items():
        assert name != TASK
        assert 0 <= min(scores["before"], scores["after"]) <= max(scores["before"], scores["after"]) <= 1
    assert probes.descriptions(store.read(key) or {})["forgetting"]


def test_who_measures_forgetting_leaves_the_model_as_it_was(make_forgetting: Make) -> None:
    store, key, runtime = make_forgetting("full")
    device = torch.device("cpu")
    delta = store.counting_file(key, attempt_folder.FILE)
    cell = _finished_cell.assemble(store.cell(key), runtime, delta, device)
    before = {name: value.clone() for name, value in cell.model.state_dict().items()}
    forgetting.measure(cell, device)
    assert all(torch.equal(value, before[name]) for name, value in cell.model.state_dict().items())


def test_an_objective_without_text_has_no_loss_and_says_so(tmp_path: Path) -> None:
    runtime = Runtime(store=str(tmp_path / "store"), device="cpu", probe="forgetting")
    store = Store(runtime.store)
    key = finish(store, replace(a_cell("lora"), objective="classifier"), runtime, _snapshot_run.run)
    for name, field in (("forgetting", "pretraining_loss"), ("intruders_down", "factors")):
        found = probes.take(store, key, name, runtime)
        assert found["status"] == "done", found
        assert found[field] == []
        assert "objective classifier has no loss on running text" in found["why_null"][field]


def test_intruders_are_scaled_and_nothing_else() -> None:
    torch.manual_seed(0)
    before = torch.diag(torch.tensor([4.0, 3.0, 2.0, 1.0])).double()
    direction = torch.ones(4).double() / 2
    after = before + 20 * torch.outer(direction, direction)
    intruding, count = intruders_down.part(before, after, 0.6)
    assert count == 1
    u, s, v = torch.linalg.svd(after)
    assert torch.allclose(intruding, s[0] * torch.outer(u[:, 0], v[0]))
    assert intruders_down.part(before, before, 0.6)[1] == 0


@pytest.mark.parametrize("method", ["full", "lora", "prefix"])
def test_scaling_by_one_is_the_tuned_model(make: Make, method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spectrum, "EPSILON", 0.99)
    store, key, runtime = make(method)
    found = probes.take(store, key, "intruders_down", runtime)
    assert found["status"] == "done", found
    if method == "prefix":
        assert found["factors"] == []
        assert found["why_null"]["factors"]
        return
    assert found["factors"][0] == 1.0
    assert found["intruders"] > 0
    assert len(set(found["pretraining_loss"])) == len(found["factors"])
    record = store.read(key) or {}
    own = record["scores"]["best"]["sets"]["test"]
    assert found["score"][0] == pytest.approx(own[record["task_facts"]["metric"]], abs=0.1)
    assert probes.descriptions(record)["intruders_down"]
