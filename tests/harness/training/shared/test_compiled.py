"""Compiled steps compute what plain ones do, evaluations stay as they are, and a record says so."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from harness.config.schema import Cell, MethodConfig, ModelConfig, RecipeConfig, Runtime, TaskConfig
from harness.errors import UsageError
from harness.execution import outcome
from harness.models import weight_files
from harness.run import run
from harness.store.attempt_folder import AttemptFolder
from harness.training.shared import compiled
from methods import registry as methods
from tasks import registry as tasks

RECIPE = RecipeConfig(learning_rate=1e-3, steps=4, evaluate_every=2, batch_size=8, dropout=0.1)
Go = Callable[..., tuple[dict[str, Any], Path]]


@pytest.fixture
def go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Go]:
    """Run a cell, with or without compiled steps, whose code goes to a folder of the test."""
    monkeypatch.setenv(compiled.PLACE, str(tmp_path / "code"))
    monkeypatch.setenv(compiled.WORKERS, "1")
    model = weight_files.resolve(ModelConfig(name="micro-t5-nano", family="t5"))
    task = tasks.resolve(TaskConfig("micro/sentiment", train_size=32, validation_size=20, test_size=20))
    cell = Cell(MethodConfig("lora", methods.resolve("lora", {})), model, task, "seq2seq", RECIPE)

    def do(**runtime: Any) -> tuple[dict[str, Any], Path]:
        torch._dynamo.reset()
        folder = tmp_path / f"attempt-{len(list(tmp_path.iterdir()))}"
        folder.mkdir()
        return run(cell, Runtime(store=str(tmp_path / "store"), device="cpu", **runtime), AttemptFolder(folder)), folder

    yield do
    torch._dynamo.reset()


def _same(plain: Path, other: Path) -> None:
    curves = [[json.loads(line) for line in (path / "curve.jsonl").read_text().splitlines()] for path in (plain, other)]
    for row, mine in zip(*curves, strict=True):
        assert mine["validation_loss"] == pytest.approx(row["validation_loss"], rel=1e-4)
        assert mine["scores"] == row["scores"]
    tensors = load_file(plain / "delta-last.safetensors")
    for name, tensor in load_file(other / "delta-last.safetensors").items():
        torch.testing.assert_close(tensor, tensors[name], rtol=1e-3, atol=1e-4)


@pytest.mark.slow
def test_a_record_of_compiled_steps_says_so_and_has_no_times(go: Go, monkeypatch: pytest.MonkeyPatch) -> None:
    """Torch traces the model and computes each operation as it is, which takes seconds and no compiler."""
    graphs: list[int] = []

    def count(graph: torch.fx.GraphModule, inputs: Any) -> Callable[..., Any]:
        graphs.append(len(list(graph.graph.nodes)))
        return graph.forward

    monkeypatch.setattr(compiled, "BACKEND", count)
    (plain, there), (record, here) = go(), go(compile=True)
    assert graphs
    _same(there, here)
    assert record["notes"]["compile"] == compiled.NOTE
    assert "compile" not in plain["notes"]
    assert (record["time"]["train_s"], record["time"]["step_ms"], record["flops"]["per_s"]) == (None, None, None)
    assert record["memory"] == {"why_null": {"memory": compiled.NOTE}}
    assert record["time"]["evaluate_s"] > 0
    assert record["scores"]["last"]["sets"].keys() == plain["scores"]["last"]["sets"].keys()


class Toy(torch.nn.Module):
    """Torch compiles no layer of its own by itself."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(3, 2)

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        return self.layer(rows).relu()


def test_only_steps_are_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []
    monkeypatch.setattr(compiled, "BACKEND", lambda graph, _: lambda *given: calls.append(1) or graph(*given))
    model = Toy()
    rows = torch.ones(4, 3)
    own, steps = model(rows), compiled.Compiled(model)
    assert torch.equal(model(rows), own)
    assert not calls
    with steps.steps():
        assert torch.equal(model(rows), own)
    assert len(calls) == 1
    assert torch.equal(model(rows), own)
    assert len(calls) == 1


def test_what_torch_cannot_compile_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(graph: Any, inputs: Any) -> Any:
        raise RuntimeError("no compiler here")

    monkeypatch.setattr(compiled, "BACKEND", refuse)
    model = Toy()
    sentence = r"compile=true: torch cannot compile .* Leave compile out"
    with pytest.raises(UsageError, match=sentence), compiled.Compiled(model).steps():
        model(torch.ones(4, 3))
    assert model(torch.ones(4, 3)).shape == (4, 2)


def test_provenance_names_the_mode(tmp_path: Path) -> None:
    cell = Cell(
        MethodConfig("lora", methods.resolve("lora", {})), ModelConfig("m", "t5"), TaskConfig("t"), "seq2seq", RECIPE
    )
    (tmp_path / "1").mkdir()
    folder = AttemptFolder(tmp_path / "1")
    for runtime, expected in ((Runtime(), None), (Runtime(compile=True), True)):
        record = outcome.record("k", cell, folder, {"status": "done"}, runtime=runtime)
        assert record["provenance"].get("compile") is expected


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # torch's compiler uses what torch calls deprecated
def test_compiled_code_computes_the_same_and_is_found_by_a_later_cell(go: Go) -> None:
    from torch._dynamo.utils import counters

    (_, there), (_, here) = go(), go(compile=True)
    _same(there, here)
    counters.clear()
    _, again = go(compile=True)
    _same(there, again)
    hits = counters["aot_autograd"]["autograd_cache_hit"] + counters["inductor"]["fxgraph_cache_hit"]
    assert hits > 0
    assert counters["inductor"]["fxgraph_cache_miss"] == 0
