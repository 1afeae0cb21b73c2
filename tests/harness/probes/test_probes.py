"""Probes start from what a finished cell kept, change none of its results, and leave a failure as a result."""

import importlib
import json
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import GenerationMixin

from harness.config.schema import Cell, MethodConfig, ModelConfig, RecipeConfig, Runtime, TaskConfig
from harness.errors import UsageError
from harness.models import weight_files
from harness.probes import _finished_cell, _runner, latency, likelihood, train_sample
from harness.probes import registry as probes
from harness.processes import forkserver
from harness.run import run
from harness.store import attempt_folder, identity, lease
from harness.store.store import SCHEMA, Store
from harness.training.score import score
from methods import registry as methods
from tasks import registry as tasks
from tasks.base import Example
from tasks.metrics import row_figures

RECIPE = RecipeConfig(learning_rate=1e-2, steps=2, evaluate_every=2, batch_size=8)
TASKS = sorted({row.answer: name for name, row in tasks.catalogue().items() if "generated" in row.source}.values())
Done = Callable[..., tuple[Store, str, Runtime]]


@pytest.fixture
def done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Done:
    """A finished cell of the smallest backbone with random weights; probes of it run in this process, in a hurry."""

    def call(target: str, arguments: tuple[Any, ...], modules: object) -> Any:
        module, name = target.split(":")
        return json.loads(json.dumps(getattr(importlib.import_module(module), name)(*arguments), allow_nan=False))

    monkeypatch.setattr(forkserver, "call", call)
    for name, value in {"MOST": 2, "LEAST": 2, "WARM_UP": 1, "BATCHES": (1, 4)}.items():
        monkeypatch.setattr(latency, name, value)

    def do(method: str = "lora", task: str = TASKS[0], **settings: Any) -> tuple[Store, str, Runtime]:
        runtime = Runtime(store=str(tmp_path / "store"), device="cpu", **settings)
        model = weight_files.resolve(ModelConfig(name="micro-t5-nano", family="t5", weights="random"))
        data = tasks.resolve(TaskConfig(task, train_size=16, validation_size=4, test_size=6))
        cell = Cell(MethodConfig(method, methods.resolve(method, {})), model, data, "seq2seq", RECIPE, 0)
        store, key = Store(runtime.store), identity.key(cell)
        folder = store.begin(cell)
        record = run(cell, runtime, folder)
        rest = {"schema": SCHEMA, "key": key, "attempt": 1, "cell": identity.to_json(cell), "error": None}
        store.finish(key, folder, {**rest, **record, "provenance": {}})
        return store, key, runtime

    return do


@pytest.mark.parametrize("task", TASKS)
def test_latency_of_every_kind_of_answer(done: Done, task: str) -> None:
    store, key, runtime = done(task=task)
    found = probes.take(store, key, "latency", runtime)
    assert found["status"] == "done", found
    for state in ("unmerged", "merged"):
        for size in ("1", "4"):
            figures = found[state][size]
            assert figures["ratio"]["low"] <= figures["ratio"]["median"] <= figures["ratio"]["high"]
            assert figures["ms"]["median"] > 0
            assert figures["examples_per_s"] == pytest.approx(1000 * int(size) / figures["ms"]["median"])
            assert figures["tokens_per_s"] > figures["examples_per_s"]
    assert found["same_answers"] == 1.0
    assert found["cells_beside"] == 0
    assert len(latency.describe(found)) >= 4


def test_timed_answers_have_one_length(done: Done, monkeypatch: pytest.MonkeyPatch) -> None:
    """A model that has learnt to end early is not faster for it; what it answers is still asked as ever."""
    store, key, runtime = done(task=next(name for name in TASKS if tasks.catalogue()[name].answer == "text"))
    asked, plain = [], GenerationMixin.generate

    def generate(self: Any, **settings: Any) -> Any:
        asked.append((settings.get("min_new_tokens"), settings["max_new_tokens"]))
        return plain(self, **settings)

    monkeypatch.setattr(GenerationMixin, "generate", generate)
    assert probes.take(store, key, "latency", runtime)["status"] == "done"
    free = [most for least, most in asked if least is None]
    assert len(free) == 2, "the answers before and after merging"
    assert len(asked) > 2
    assert all(least in (None, most) for least, most in asked)


def test_a_result_stands_in_the_record_beside_what_was_there(done: Done) -> None:
    store, key, runtime = done()
    before = store.read(key)
    probes.take(store, key, "latency", runtime)
    after = store.read(key)
    assert before is not None
    assert after is not None
    assert probes.result(after, "latency") is not None
    assert not probes.lacks(after, "latency")
    assert {name: value for name, value in after.items() if name != "probes"} == before
    assert list(store.attempts(key)) == [(1, "done")]
    assert not lease.running(store.leases, key)


def test_probes_taken_meanwhile_by_others_stay(done: Done, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who was frozen while it measured adds to the record as it is now; who has lost the cell adds nothing."""
    store, key, runtime = done()
    path = store.attempt(key, 1).path / "record.json"
    found = {"status": "done", "ms": 1.0}

    def meanwhile(*_: object) -> dict[str, Any]:
        record = json.loads(path.read_text())
        path.write_text(json.dumps({**record, "probes": {**record.get("probes", {}), "spectrum": found}}))
        return found

    monkeypatch.setattr(_runner, "_measured", meanwhile)
    assert probes.take(store, key, "latency", runtime) == found
    assert (store.read(key) or {})["probes"] == {"spectrum": found, "latency": found}
    before = path.read_bytes()

    def lost(*_: object) -> dict[str, Any]:
        monkeypatch.setattr(lease.Lease, "held", lambda self: False)
        return found

    monkeypatch.setattr(_runner, "_measured", lost)
    assert probes.take(store, key, "likelihood", runtime)["status"] == "failed"
    assert path.read_bytes() == before


def test_a_cell_put_together_again_answers_as_it_did(done: Done) -> None:
    store, key, runtime = done("adapter")
    again = _finished_cell.assemble(
        store.cell(key), runtime, store.counting_file(key, "delta-best.safetensors"), torch.device("cpu")
    )
    metric = again.task.metric
    figures = score(again.model, again.objective, again.reported, metric, 64).figures
    record = store.read(key)
    assert record is not None
    assert figures == record["scores"]["best"]["sets"]["test"]


@pytest.mark.parametrize(("method", "merges"), [("adapter", False), ("full", None), ("none", None), ("prompt", False)])
def test_what_cannot_merge_has_no_merged_figures_and_a_reason(done: Done, method: str, merges: bool | None) -> None:
    store, key, runtime = done(method)
    found = probes.take(store, key, "latency", runtime)
    assert found["status"] == "done", found
    assert found["unmerged"] is not None
    if merges is False:
        assert found["merged"] is None
        assert "cannot be merged" in found["why_null"]["merged"]
        assert any("cannot be merged" in line for line in latency.describe(found))


def test_what_was_not_kept_is_a_failure_that_says_what_to_do(done: Done) -> None:
    store, key, runtime = done(keep="none")
    assert probes.measure_cells(store, [key], ("latency",), runtime, None) == 1
    record = store.read(key)
    assert record is not None
    assert "keep=delta" in record["probes"]["latency"]["error"]
    assert probes.lacks(record, "latency"), "a failed probe is tried again"
    assert probes.descriptions(record)["latency"][0].startswith("failed: it has no stored")


def test_a_broken_delta_is_a_failure_of_the_probe_only(done: Done) -> None:
    store, key, runtime = done()
    store.counting_file(key, "delta-best.safetensors").write_bytes(b"not a tensor")
    found = probes.take(store, key, "latency", runtime)
    assert found["status"] == "failed"
    assert "whole safetensors file" in found["error"]
    assert store.status(key) == "done"


def test_a_cell_that_is_not_finished_or_runs_now_is_refused(done: Done) -> None:
    store, key, runtime = done()
    held = lease.acquire(store.leases, key)
    assert held is not None
    with pytest.raises(UsageError, match="running"):
        probes.take(store, key, "latency", runtime)
    held.release()
    other = store.register(replace(store.cell(key), seed=7))
    with pytest.raises(UsageError, match="is missing: a probe needs a finished cell"):
        probes.take(store, other, "latency", runtime)
    assert probes.measure_cells(store, [other], ("latency",), runtime, None) == 0


@pytest.mark.parametrize("taken", [False, True])
def test_a_cell_that_another_process_probes_is_waited_for(
    taken: bool, done: Done, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two processes that reproduce one exhibit together come to its probes at the same time."""
    store, key, runtime = done()
    held = lease.acquire(store.leases, key)
    assert held is not None
    took: list[str] = []

    def release(_: float) -> None:
        """The other process ends, with its probe or without."""
        held.release()
        if taken:
            took.append("other")
            probes.take(store, key, "latency", runtime)

    monkeypatch.setattr(probes.time, "sleep", release)
    assert probes.measure_cells(store, [key], ("latency",), runtime, None) == 0
    assert took == ["other"] * taken
    assert not probes.lacks(store.read(key) or {}, "latency")


def test_after_the_deadline_no_further_probe_starts(done: Done, capsys: pytest.CaptureFixture[str]) -> None:
    store, key, runtime = done()
    assert probes.measure_cells(store, [key], ("latency",), runtime, deadline=1.0) == 0
    assert "1 cell was not measured" in capsys.readouterr().out
    assert probes.lacks(store.read(key) or {}, "latency")


def test_the_wait_for_another_process_ends_at_the_deadline(done: Done, capsys: pytest.CaptureFixture[str]) -> None:
    store, key, runtime = done()
    held = lease.acquire(store.leases, key)
    assert held is not None
    assert probes.measure_cells(store, [key], ("latency",), runtime, deadline=time.time() + 1) == 0
    assert "1 cell was not measured" in capsys.readouterr().out
    held.release()
    assert probes.lacks(store.read(key) or {}, "latency")


def test_names_are_checked_at_the_door() -> None:
    assert probes.names()
    assert probes.parse("latency,latency") == ("latency",)
    assert probes.parse("") == ()
    with pytest.raises(UsageError, match=r"latencyy.*Did you mean latency"):
        probes.parse("latencyy")
    assert all(probes.about(name) for name in probes.names())


def test_a_probe_with_the_old_name_of_its_function_still_works(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(latency, "describe")
    monkeypatch.setattr(latency, "told", lambda result: [f"{result['ms']} ms"], raising=False)
    record = {"probes": {"latency": {"status": "done", "ms": 3}}}
    with pytest.warns(DeprecationWarning, match=r"rename its function told\(result\) to describe\(result\)"):
        assert probes.descriptions(record) == {"latency": ["3 ms"]}


@pytest.mark.parametrize("held", [None, [], {"latency": 3}, {"latency": {"status": "failed"}}, {"gone": {}}])
def test_a_record_with_strange_probes_is_still_read(held: Any) -> None:
    record = {"status": "done", "probes": held}
    assert probes.result(record, "latency") is None
    assert isinstance(probes.descriptions(record), dict)


@pytest.mark.parametrize("task", [name for name in TASKS if tasks.catalogue()[name].answer != "text"])
def test_where_likelihood_answers_the_probe_of_it_gives_the_cells_own_score(done: Done, task: str) -> None:
    store, key, runtime = done(task=task)
    found = probes.take(store, key, "likelihood", runtime)
    own = store.read(key)["scores"]["best"]["sets"]["test"]  # type: ignore[index]
    assert (found["sets"]["test"]["accuracy"], found["sets"]["test"]["n"]) == (own["accuracy"], own["n"])
    assert len(likelihood.describe(found)) == 1


@pytest.mark.parametrize("task", TASKS)
def test_the_sample_of_training_rows_is_scored_as_the_model_answers_them(done: Done, task: str) -> None:
    store, key, runtime = done(task=task)
    found = probes.take(store, key, "train_sample", runtime)
    assert found["status"] == "done", found
    delta = store.counting_file(key, "delta-best.safetensors")
    again = _finished_cell.assemble(store.cell(key), runtime, delta, torch.device("cpu"))
    wanted = score(again.model, again.objective, again.splits["train"], again.task.metric, 64).figures
    assert found["sets"]["train_sample"] == wanted, "sixteen rows are fewer than the sample's, so it has all of them"
    rows = row_figures.unpack(found["row_scores"])
    assert sum(rows) / row_figures.PARTS / len(rows) == pytest.approx(wanted[again.task.metric])
    assert len(train_sample.describe(found)) == 1


def test_the_likelihood_of_options_beside_generated_answers(done: Done) -> None:
    """Against one forward pass for each option alone."""
    store, key, runtime = done(task="micro/commonsense")
    found = probes.take(store, key, "likelihood", runtime)
    one = _finished_cell.assemble(
        store.cell(key), runtime, store.counting_file(key, attempt_folder.FILE), torch.device("cpu")
    )
    assert tuple(found["sets"]) == tuple(one.task.splits.tests)
    for name, rows in one.task.splits.tests.items():
        right = [max(range(len(row.choices)), key=lambda i: _likelihood(one, row, i)) == row.label for row in rows]
        assert found["sets"][name]["accuracy"] == pytest.approx(sum(right) / len(rows))


def _likelihood(one: _finished_cell.Finished, row: Example, option: int) -> float:
    inputs = torch.tensor([one.words.inputs([one.task.text(row)], one.task.max_input_tokens)[0][0]])
    labels = torch.tensor([one.words.targets([row.choices[option]], one.task.max_target_tokens)[0]])
    with torch.no_grad():
        return -float(one.model(input_ids=inputs, labels=labels).loss) * labels.numel()


def test_no_likelihood_without_options(done: Done) -> None:
    store, key, runtime = done(task="micro/instructions")
    found = probes.take(store, key, "likelihood", runtime)
    assert found["status"] == "failed"
    assert "list no options" in found["error"]


@pytest.mark.parametrize(("method", "adds"), [("lora", True), ("bitfit", False), ("prompt", True)])
def test_the_operations_of_an_answer_are_those_of_the_backbone_and_what_is_added(
    done: Done, method: str, adds: bool
) -> None:
    store, key, runtime = done(method)
    found = probes.take(store, key, "answer_operations", runtime)
    assert found["status"] == "done", found
    for figures in found["sets"].values():
        assert (figures["extra"] > 0) == adds, figures
        assert figures["operations"] == pytest.approx(figures["plain"] * (1 + figures["extra"]))
    assert probes.descriptions(store.read(key) or {})["answer_operations"]
