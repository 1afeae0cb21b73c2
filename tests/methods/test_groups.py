"""Groups of trained tensors with a rate or a decay of their own: what they move, how they resume, and LoRA+."""

import warnings
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from harness.config.schema import RecipeConfig
from harness.errors import UsageError
from harness.training import optimizers, tensor_file
from harness.training import step as training_step
from methods.backbone.trainable_parameters import trainable
from methods.base import Group, Method
from tests.methods.conftest import TOYS, attach, backbone, batch, make
from tests.methods.test_peft import LOW_RANK, attached, copy, matched, peft, reference

OPTIMIZERS = next(field for field in fields(RecipeConfig) if field.name == "optimizer").metadata["known"]
CLOSE = {"rtol": 1e-5, "atol": 1e-6}


def rates(optimizer: torch.optim.Optimizer, model: nn.Module) -> dict[str, float]:
    """Parameter name -> its learning rate."""
    of = {id(p): group["lr"] for group in optimizer.param_groups for p in group["params"]}
    return {name: of[id(p)] for name, p in trainable(model)}


@pytest.mark.parametrize("kind", ["lora", "dora"])
def test_lora_plus_moves_b_faster(kind: str) -> None:
    model = backbone(TOYS["t5"])
    method = attach(kind, model, rate_ratio=16.0)
    made = optimizers.make(model, RecipeConfig(learning_rate=1e-3), method.groups(model))
    optimizers.set_rate(made, 5e-4)
    for key, rate in rates(made, model).items():
        assert rate == (8e-3 if key.endswith(".B") else 5e-4), key
    assert {key.rpartition(".")[2] for key in rates(made, model)} >= {"A", "B"}


def test_lora_plus_is_peft_s() -> None:
    """The same tensors after three steps of AdamW with decay, from the same weights."""
    toy = TOYS["llama-mha"]
    ours, hosts = attached(toy, "lora", rank=3, alpha=7, targets=["q", "v"], rate_ratio=16.0)
    theirs = reference(toy, peft.LoraConfig(r=3, lora_alpha=7, target_modules=hosts, lora_dropout=0.0))
    pairs = matched(ours, theirs, hosts, {f"lora.{mine}": other for mine, other in LOW_RANK.items()})
    copy(pairs)
    method = make("lora", rank=3, alpha=7, targets=["q", "v"], rate_ratio=16.0)
    recipe = RecipeConfig(learning_rate=1e-3, weight_decay=0.1)
    mine = optimizers.make(ours, recipe, method.groups(ours))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from peft.optimizers import create_loraplus_optimizer

    other = create_loraplus_optimizer(
        theirs, torch.optim.AdamW, lr=1e-3, loraplus_lr_ratio=16.0, loraplus_weight_decay=0.1
    )
    data = batch(toy)
    for _ in range(3):
        for model, optimizer in ((ours, mine), (theirs, other)):
            model(**data).loss.backward()
            optimizer.step()
            optimizer.zero_grad()
    for one, twin in pairs.items():
        torch.testing.assert_close(one, twin, **CLOSE)


@dataclass(frozen=True)
class Halves(Method):
    """Trains all biases and matrices of one block, in two groups."""

    name = "halves"

    def attach(self, model: nn.Module) -> None:
        for key, p in model.named_parameters():
            p.requires_grad_("block.0" in key)

    def groups(self, model: nn.Module) -> tuple[Group, ...]:
        return (
            Group.matching(r"encoder\..*", rate=3.0, decay=0.5),
            Group.matching(r".*", rate=0.5),  # the first that has a tensor counts
        )


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_every_optimiser_takes_groups_and_resumes_with_them(optimizer: str, tmp_path: Path) -> None:
    """A step with groups is that of an optimiser with the group's own rate and decay on its tensors alone."""
    toy, method = TOYS["t5"], Halves()
    recipe = RecipeConfig(optimizer=optimizer, learning_rate=0.01, weight_decay=0.1, gradient_clip=0.0)

    def trained(groups: bool, rate: float = 0.01, decay: float = 0.1) -> tuple[Any, Any]:
        model = backbone(toy)
        method.attach(model)
        own = RecipeConfig(optimizer=optimizer, learning_rate=rate, weight_decay=decay, gradient_clip=0.0)
        made = optimizers.make(model, own, method.groups(model) if groups else ())
        training_step.descend(made, model(**batch(toy)).loss, 0.0)
        return model, made

    with_groups, made = trained(True)
    inside, outside = trained(False, 0.03, 0.05)[0], trained(False, 0.005, 0.1)[0]
    for key, p in trainable(with_groups):
        alone = inside if key.startswith("encoder.") else outside
        torch.testing.assert_close(p, alone.get_parameter(key), **CLOSE)
    tensor_file.write(tmp_path / "state.safetensors", made.state_dict())
    again = optimizers.make(with_groups, recipe, method.groups(with_groups))
    again.load_state_dict(tensor_file.read(tmp_path / "state.safetensors"))
    optimizers.set_rate(again, 0.02)
    assert set(rates(again, with_groups).values()) == {0.06, 0.01}


def test_without_groups_nothing_changes() -> None:
    """The groups of an optimiser are those that it had before methods could declare any."""
    model = backbone(TOYS["t5"])
    method = attach("lora", model)
    made = optimizers.make(model, RecipeConfig(weight_decay=0.1), method.groups(model))
    assert [(len(group["params"]), group["weight_decay"]) for group in made.param_groups] == [
        (len(list(trainable(model))), 0.1)
    ]
    assert optimizers.FACTOR not in made.param_groups[0]


@pytest.mark.parametrize("kind", ["combine", "sequence"])
def test_each_part_has_its_own_groups(kind: str) -> None:
    model = backbone(TOYS["t5"])
    method = attach(kind, model, parts=["lora rank=2 rate_ratio=4", "lora rank=2 targets=o rate_ratio=9", "bitfit"])
    made = optimizers.make(model, RecipeConfig(learning_rate=1.0), method.groups(model))
    for key, rate in rates(made, model).items():
        ratio = {"q": 4.0, "v": 4.0, "o": 9.0}.get(key.split(".")[-3], 1.0) if key.endswith(".B") else 1.0
        assert rate == ratio, key
    assert set(rates(made, model).values()) == {1.0, 4.0, 9.0}


def test_a_group_without_tensors_is_refused() -> None:
    model = backbone(TOYS["t5"])
    attach("lora", model)
    with pytest.raises(UsageError, match=r"group 2 of the method's groups\(\) has none of the"):
        optimizers.check_groups(model, (Group.matching(r".*\.B"), Group.matching(r".*\.C")))
    for rate, decay in ((0.0, 1.0), (float("nan"), 1.0), (1.0, -1.0)):
        with pytest.raises(UsageError, match="rate="):
            Group.matching(".*", rate, decay)
    with pytest.raises(UsageError, match=r"method\.rate_ratio=0"):
        make("lora", rate_ratio=0)
