"""There is one way to run a model forward: through an objective, whose every call of the model has the precision."""

import ast
import inspect
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch

import harness
from harness import precision
from harness.config.schema import ModelConfig
from harness.models import backbone, tokenizer
from harness.training import step
from harness.training.batches import Batch
from harness.training.objectives import registry as objectives
from harness.training.objectives.registry import ANSWERS, Reading
from harness.training.score import prepare, score
from methods.base import Method
from tasks.base import Task

ROOT = Path(harness.__file__).parent.parent
CALLERS = (
    "harness/training/objectives/",
    "harness/training/decoding.py",
    "harness/one_pass/mixed.py",
    "tasks/microworld/pretraining/loss_by_kind.py",
    "tasks/microworld/pretraining/pretrain.py",
    "tasks/microworld2/pretraining/step_losses.py",
)
"""Pretraining makes backbones, in single precision, and a user's own code asks for mixed batches: neither is a cell."""
BF16 = Reading(precision="bf16")


@cache
def _sources() -> tuple[tuple[str, tuple[ast.AST, ...]], ...]:
    """(file, everything in its syntax tree) for every file of ours."""
    paths = [path for package in ("harness", "methods", "tasks") for path in (ROOT / package).rglob("*.py")]
    trees = (ast.parse(path.read_text(encoding="utf-8")) for path in paths)
    return tuple(
        (path.relative_to(ROOT).as_posix(), tuple(ast.walk(tree))) for path, tree in zip(paths, trees, strict=True)
    )


def _runs_a_model(node: ast.AST) -> bool:
    """A call of something called a model, or of one of its methods that run it."""
    if not isinstance(node, ast.Call):
        return False
    if isinstance(node.func, ast.Attribute) and isinstance(node.func.value, ast.Call):
        return False  # super().forward(...) of a layer
    named = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
    return named in ("model", "generate", "base_model") or (named == "forward" and "model" in ast.unparse(node.func))


def test_only_objectives_call_a_model() -> None:
    found = {path for path, nodes in _sources() if any(map(_runs_a_model, nodes))}
    assert any(path.startswith("harness/training/objectives/") for path in found), "this test sees no call at all"
    assert [path for path in sorted(found) if not path.startswith(CALLERS)] == []


def test_only_one_file_knows_autocast() -> None:
    found = [path for path, nodes in _sources() if any(getattr(node, "attr", "") == "autocast" for node in nodes)]
    assert found == ["harness/precision.py"]


@pytest.mark.parametrize("name", sorted(ANSWERS))
def test_whatever_runs_a_model_in_an_objective_has_the_precision(name: str) -> None:
    module = __import__(f"harness.training.objectives.{name}", fromlist=["make"])
    kinds = [kind for _, kind in inspect.getmembers(module, inspect.isclass) if kind.__module__ == module.__name__]
    public = {
        method: function
        for kind in kinds
        for method, function in inspect.getmembers(kind, inspect.isfunction)
        if not method.startswith("_") and "model" in inspect.signature(function).parameters
    }
    assert {"loss", "predict"} <= set(public)
    assert all(hasattr(function, "__wrapped__") for function in public.values()), public


@pytest.mark.parametrize(("name", "kind"), [("seq2seq", "t5"), ("classifier", "bert")])
def test_a_half_backbone_is_trained_and_scored(
    name: str, kind: str, label_task: Task, request: pytest.FixtureRequest
) -> None:
    _trains_and_scores(name, request.getfixturevalue(kind), label_task)


def test_a_half_decoder_is_trained_and_scored(decoder: ModelConfig, label_task: Task) -> None:
    _trains_and_scores("causal", decoder, label_task)


def test_a_half_masked_encoder_is_trained_and_scored(encoder: ModelConfig, label_task: Task) -> None:
    _trains_and_scores("masked", encoder, replace(label_task, cloze_words=("bad", "good")))


def _trains_and_scores(name: str, whole: ModelConfig, task: Task) -> None:
    config = replace(whole, dtype="bf16")
    objective = objectives.make(name, task, tokenizer.load(config), BF16)
    model = backbone.load(config, objective.head, seed=0)
    model.get_input_embeddings().weight.requires_grad_(True)
    backbone.masters(model)
    split = prepare(objective, task)["train"]
    loss, total = step.losses(objective, _Charging(), model, split.encoded.batch(range(4)))
    step.add_gradients(total)
    assert torch.isfinite(loss)
    assert float(total.detach() - loss.detach()) == pytest.approx(1.0), "the penalty is in the total alone"
    assert score(model, objective, split, "accuracy", 16).loss > 0
    plain = objectives.make(name, task, tokenizer.load(config))
    with pytest.raises(RuntimeError, match="dtype"):
        score(model, plain, split, "accuracy", 16)


class _Charging(Method):
    def penalty(self, model: torch.nn.Module) -> torch.Tensor:
        return torch.mm(torch.ones(1, 1), torch.ones(1, 1, dtype=torch.bfloat16)).sum()


def test_the_reading_of_a_cell_holds_its_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []
    monkeypatch.setattr(torch, "autocast", lambda *_, **settings: seen.append(settings["enabled"]) or _Nothing())

    class Objective:
        reading = BF16

        @precision.in_precision
        def loss(self, model: Any, batch: Batch) -> str:
            return "ran"

    batch = Batch(torch.zeros(1, 1), torch.ones(1, 1))
    assert Objective().loss(None, batch) == "ran"
    meta = Batch(torch.zeros(1, 1, device="meta"), torch.ones(1, 1))
    assert Objective().loss(None, meta) == "ran"
    assert seen == [True], "on the meta device a forecast casts by itself"


class _Nothing:
    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        pass
