"""The page from end to end on generated rows: a complete, plain record that its own files confirm."""

import gzip
import json
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from harness.config.schema import Cell, MethodConfig, ModelConfig, RecipeConfig, Runtime, TaskConfig
from harness.models import backbone, tokenizer, weight_files
from harness.models.head import Head
from harness.run import run
from harness.store.attempt_folder import PREDICTIONS, ROW_SCORES, AttemptFolder
from harness.training import outputs
from harness.training.course.evaluations import Fitted, Point
from harness.training.determinism import seed_for
from methods import lora
from methods import registry as methods
from tasks import registry as tasks
from tasks.metrics import row_figures
from tasks.metrics.label_metrics import BY_ROW, METRICS

RECIPE = RecipeConfig(learning_rate=1e-2, steps=4, evaluate_every=2, batch_size=8)
TASKS = sorted({row.answer: name for name, row in tasks.catalogue().items() if "generated" in row.source}.values())


def cell(task: str, method: str = "lora", seed: int = 0) -> Cell:
    model = weight_files.resolve(ModelConfig(name="micro-t5-nano", family="t5", weights="random"))
    data = tasks.resolve(TaskConfig(task, train_size=64, validation_size=30, test_size=40))
    return Cell(MethodConfig(method, methods.resolve(method, {})), model, data, "seq2seq", RECIPE, seed)


Go = Callable[..., tuple[dict[str, Any], Path]]


@pytest.fixture
def go(tmp_path: Path) -> Go:
    def do(what: Cell, **runtime: Any) -> tuple[dict[str, Any], Path]:
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        folder.mkdir()
        return run(what, Runtime(**{"device": "cpu", **runtime}), AttemptFolder(folder)), folder

    return do


def predictions(folder: Path) -> list[dict[str, Any]]:
    with gzip.open(folder / "predictions.jsonl.gz", "rt") as file:
        return [json.loads(line) for line in file]


@pytest.mark.parametrize("task", TASKS)
def test_scores_can_be_computed_again_from_the_predictions(go: Go, task: str) -> None:
    record, folder = go(cell(task))
    metric = record["task_facts"]["metric"]
    rows = predictions(folder)
    for checkpoint in ("best", "last"):
        for name in ("validation", "test"):
            mine = [row for row in rows if row["checkpoint"] == checkpoint and row["set"] == name]
            pairs = [row["target"] for row in mine], [row["prediction"] for row in mine]
            commonest = max(Counter(pairs[1]).values()) / len(mine)
            wanted = {"commonest": commonest, **METRICS[metric](*pairs), "n": len(mine)}
            assert record["scores"][checkpoint]["sets"][name] == wanted
            assert len({row["id"] for row in mine}) == len(mine) == {"validation": 30, "test": 40}[name]
    attempt = AttemptFolder(folder)
    scored = attempt.row_scores(metric, ["test"])
    for checkpoint in ("best", "last") if metric in BY_ROW else ():
        figures = list(row_figures.unpack(scored[checkpoint]["test"]))
        assert len(figures) == 40
        mean = sum(figures) / 40 / row_figures.PARTS
        assert mean == pytest.approx(record["scores"][checkpoint]["sets"]["test"][metric], abs=1 / row_figures.PARTS)
    (folder / ROW_SCORES).unlink()
    assert attempt.row_scores(metric, ["test"]) == scored, "an older attempt has the predictions alone"
    (folder / ROW_SCORES).write_text('{"best": 3}')
    assert attempt.row_scores(metric, ["test"]) == scored, "a damaged file is not believed"
    (folder / PREDICTIONS).write_bytes(b"x")
    assert attempt.row_scores(metric, ["test"]) == {}


def test_the_record_is_plain_and_complete(go: Go) -> None:
    record, folder = go(cell(TASKS[0]))
    assert json.loads(json.dumps(record, allow_nan=False)) == record
    assert record["status"] == "done"
    assert record["parameters"]["delta"] == sum(
        t.numel() for t in load_file(folder / "delta-last.safetensors").values()
    )
    assert record["parameters"]["head"] == 0
    assert record["parameters"]["backbone"] > 100_000
    phases = {"prepare", "load", "train", "first_step", "steady", "evaluate"}
    assert set(record["memory"]) == {*phases, "why_null"}
    for name, phase in record["memory"].items():
        if name != "why_null":
            assert phase["process_bytes"] > 0
            assert phase["torch_allocated_bytes"] is None
    assert set(record["memory"]["why_null"]) == {"nvml", "torch"}
    assert record["memory"]["train"]["live_bytes"] == sum(record["live"]["split"].values())
    assert record["live"]["split"]["parameters"] > 4 * record["parameters"]["backbone"]
    assert record["flops"]["step"] > 2 * record["flops"]["tokens"] * record["parameters"]["backbone"] / 4
    assert record["time"]["steps"] == RECIPE.steps
    assert all(record["time"][name] > 0 for name in ("train_s", "evaluate_s", "load_s", "prepare_s", "tokens_per_s"))


def test_a_saved_delta_holds_what_trained_and_nothing_else(go: Go) -> None:
    _, folder = go(cell(TASKS[0], "lora"))
    tensors = load_file(folder / "delta-best.safetensors")
    assert tensors
    assert all("lora" in name and tensor.dtype == torch.float32 for name, tensor in tensors.items())


def test_keep_none_leaves_no_weights_and_the_same_scores(go: Go) -> None:
    kept, _ = go(cell(TASKS[0]))
    bare, folder = go(cell(TASKS[0]), keep="none")
    assert not list(folder.glob("*.safetensors"))
    assert bare["scores"] == kept["scores"]


def test_the_same_cell_twice_is_bitwise_the_same(go: Go) -> None:
    one, here = go(cell(TASKS[0], "prefix"))
    two, there = go(cell(TASKS[0], "prefix"))
    assert one["scores"] == two["scores"]
    first, second = load_file(here / "delta-last.safetensors"), load_file(there / "delta-last.safetensors")
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert (here / "predictions.jsonl.gz").read_bytes() == (there / "predictions.jsonl.gz").read_bytes()


def test_the_seed_changes_the_draw_but_never_the_data(go: Go) -> None:
    (_, here), (_, there) = go(cell(TASKS[0])), go(cell(TASKS[0], seed=1))
    assert [row["id"] for row in predictions(here)] == [row["id"] for row in predictions(there)]
    first, second = load_file(here / "delta-last.safetensors"), load_file(there / "delta-last.safetensors")
    assert not all(torch.equal(first[name], second[name]) for name in first)


def test_bf16_keeps_the_parameters_in_single_precision(go: Go) -> None:
    plain = cell(TASKS[0])
    record, folder = go(replace(plain, recipe=replace(RECIPE, precision="bf16")))
    assert record["notes"]["precision"] == "bf16"
    assert {tensor.dtype for tensor in load_file(folder / "delta-last.safetensors").values()} == {torch.float32}


def _fail(*_: Any, **__: Any) -> Any:
    raise RuntimeError("no")


def test_what_fails_after_training_loses_nothing_of_it(go: Go, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, there = go(cell(TASKS[0]))
    monkeypatch.setattr(lora.LoRA, "notes", _fail)
    monkeypatch.setattr("harness.training.step_profile.count", _fail)
    monkeypatch.setattr("harness.training.step_profile.follow", _fail)
    record, here = go(cell(TASKS[0]))
    assert record["status"] == "done"
    assert record["scores"] == whole["scores"]
    assert record["notes"]["notes"] == "the method has none: RuntimeError: no"
    assert "no" in record["flops"]["why_null"]["step"]
    assert "no" in record["live"]["why_null"]["live"]
    for name in ("delta-best.safetensors", "delta-last.safetensors", "predictions.jsonl.gz"):
        assert (here / name).read_bytes() == (there / name).read_bytes()


def test_what_was_trained_is_written_first(go: Go, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("harness.training.outputs.scores", _fail)
    with pytest.raises(RuntimeError, match="no"):
        go(cell(TASKS[0]))
    kept = {path.name for path in (tmp_path / "0").iterdir()}
    assert {"delta-best.safetensors", "delta-last.safetensors", "predictions.jsonl.gz", "curve.jsonl"} <= kept


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA device")
def test_on_a_gpu_memory_is_measured(go: Go) -> None:
    record, _ = go(cell(TASKS[0]), device="auto")
    assert record["memory"]["train"]["torch_allocated_bytes"] > 4 * record["parameters"]["backbone"]


def test_a_prompt_that_starts_as_text_reads_it_with_the_models_own_tokenizer(go: Go) -> None:
    values = methods.resolve("prompt", {"init": "text", "text": "the film was good", "length": 4})
    still = replace(RECIPE, steps=1, learning_rate=1e-12)
    _, folder = go(replace(cell(TASKS[0]), method=MethodConfig("prompt", values), recipe=still))
    (held,) = load_file(folder / "delta-last.safetensors").values()
    model = backbone.load(cell(TASKS[0]).model, Head("seq2seq_lm"), seed_for(cell(TASKS[0]), "head"), None)
    ids = tokenizer.load(cell(TASKS[0]).model).encode("the film was good")
    torch.testing.assert_close(held, model.get_input_embeddings().weight[ids].detach(), atol=1e-6, rtol=0)


def test_what_is_kept_needs_no_reparametrisation(go: Go) -> None:
    values = methods.resolve("prefix", {"reparametrize": True})
    record, folder = go(replace(cell(TASKS[0]), method=MethodConfig("prefix", values)))
    held = load_file(folder / "delta-last.safetensors")
    assert 0 < sum(t.numel() for t in held.values()) < record["parameters"]["delta"]


@pytest.mark.parametrize("last_step", [25, 50])
def test_one_file_has_both_names_where_the_last_step_is_the_best(tmp_path: Path, last_step: int) -> None:
    model = torch.nn.Linear(2, 3)
    best, last = ({"weight": torch.full((3, 2), value), "bias": torch.zeros(3)} for value in (1.0, 2.0))
    fitted = Fitted(Point(25, {}, best), Point(last_step, {}, best if last_step == 25 else last))
    outputs.deltas(AttemptFolder(tmp_path), fitted, model)
    paths = [tmp_path / f"delta-{point}.safetensors" for point in ("best", "last")]
    assert paths[0].samefile(paths[1]) == (last_step == 25)
    assert [float(load_file(path)["weight"][0, 0]) for path in paths] == [1.0, 1.0 if last_step == 25 else 2.0]
