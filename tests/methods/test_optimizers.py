"""Every optimiser of the recipe: it learns, it resumes, and the fused one does what the plain one does."""

import copy
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from harness.config.schema import RecipeConfig
from harness.training import optimizers, tensor_file
from harness.training import step as training_step
from methods.backbone.trainable_parameters import trainable
from methods.base import Method
from tests.methods.conftest import TOYS, attach, backbone, batch, disturb

USUAL = ("t5", "llama-gqa")
"""The toys of a usual run: what an optimiser does depends on tensors, not on the class of a backbone."""
OPTIMIZERS = next(field for field in fields(RecipeConfig) if field.name == "optimizer").metadata["known"]
RATES = {"sgd": 0.1, "lomo": 0.1}


def _recipe(optimizer: str, **values: Any) -> RecipeConfig:
    return RecipeConfig(optimizer=optimizer, learning_rate=RATES.get(optimizer, 0.01), **values)


def _loss(model: Any, toy: Any, method: Method) -> torch.Tensor:
    loss, penalty = model(**batch(toy)).loss, method.penalty(model)
    return loss if penalty is None else loss + penalty


def _train(name: str, toy: Any, recipe: RecipeConfig, steps: int = 3) -> Any:
    model = backbone(toy)
    method = attach(name, model)
    disturb(model)
    model.train()
    made = optimizers.make(model, recipe) if any(True for _ in trainable(model)) else None
    torch.manual_seed(5)  # some methods draw while they train
    for _ in range(steps if made else 0):
        training_step.descend(made, _loss(model, toy, method), recipe.gradient_clip)
    return model


@pytest.mark.parametrize("clip", [0.05, pytest.param(0.0, marks=pytest.mark.slow)])
def test_the_fused_update_is_plain_descent(name: str, toy: Any, clip: float) -> None:
    _fused_is_plain(name, toy, clip)


def test_the_fused_update_in_one_backward_pass_is_plain_descent(name: str) -> None:
    _fused_is_plain(name, TOYS["t5"], clip=0.0)


def _fused_is_plain(name: str, toy: Any, clip: float) -> None:
    recipe = _recipe("sgd", gradient_clip=clip, weight_decay=0.1)
    plain, fused = (dict(trainable(_train(name, toy, replace(recipe, optimizer=kind)))) for kind in ("sgd", "lomo"))
    assert plain.keys() == fused.keys()
    for key, p in plain.items():
        torch.testing.assert_close(fused[key], p, rtol=1e-5, atol=1e-6)


def test_the_fused_update_holds_one_gradient_and_leaves_no_hook() -> None:
    toy = TOYS["t5"]
    model = backbone(toy)
    method = attach("full", model)
    made, alive = optimizers.make(model, _recipe("lomo")), []
    assert isinstance(made, optimizers.Lomo)
    move = optimizers._move

    def count(*arguments: Any) -> None:
        alive.append(sum(p.grad is not None for p in model.parameters()))
        move(*arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(optimizers, "_move", count)
        training_step.descend(made, _loss(model, toy, method), 1.0)
    assert alive == [1] * len(list(model.parameters()))
    assert all(p.grad is None for p in model.parameters())
    assert not made.state
    held = copy.deepcopy(model.state_dict())
    _loss(model, toy, method).backward()
    assert all(torch.equal(tensor, held[key]) for key, tensor in model.state_dict().items())


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_each_learns_and_resumes_from_its_state(optimizer: str, tmp_path: Path) -> None:
    toy, recipe = TOYS["t5"], _recipe(optimizer)
    model = backbone(toy)
    method = attach("lora", model)
    made, losses = optimizers.make(model, recipe), []

    def step(of: nn.Module, by: torch.optim.Optimizer) -> None:
        loss = _loss(of, toy, method)
        losses.append(float(loss.detach()))
        training_step.descend(by, loss, recipe.gradient_clip)

    for _ in range(10):
        step(model, made)
    other = copy.deepcopy(model)
    resumed = optimizers.make(other, recipe)
    tensor_file.write(tmp_path / "state.safetensors", made.state_dict())
    resumed.load_state_dict(tensor_file.read(tmp_path / "state.safetensors"))
    assert losses[-1] < losses[0]
    step(model, made)
    step(other, resumed)
    assert losses[-1] == losses[-2]
    assert all(torch.equal(p, dict(trainable(other))[key]) for key, p in trainable(model))
