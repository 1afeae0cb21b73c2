"""LISA: which blocks train in a step, and that the others neither move nor have state."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from harness.config.schema import Cell, RecipeConfig, Runtime
from harness.errors import UsageError
from harness.experiments.grids.grid import expand
from harness.run import run
from harness.store import identity
from harness.store.attempt_folder import CHECKPOINT, CURVE, RESUMED, AttemptFolder
from harness.training import fit, optimizers
from harness.training import step as training_step
from harness.training.updating import awake
from methods.backbone.trainable_parameters import trainable
from tests.methods.conftest import TOYS, attach, backbone, batch

BLOCK = {"method": "full", "model": "micro-t5-nano", "task": "micro/sentiment", "seed": 0, "recipe.steps": 12}
BLOCK |= {"recipe.evaluate_every": 6, "task.train_size": 64, "task.test_size": 16, "task.validation_size": 16}


def turns(model: Any, **fields: Any) -> awake.Layers:
    made = awake.layers(model, RecipeConfig(**{"awake_layers": 1, "awake_every": 3, **fields}), seed=5)
    assert made is not None
    return made


def names(model: Any) -> set[str]:
    return {name for name, _ in trainable(model)}


@pytest.mark.parametrize("name", ["full", "lora"])
@pytest.mark.parametrize("optimizer", ["adamw", "adafactor", "sgd", "lomo", "galore"])
def test_what_sleeps_neither_moves_nor_has_state(name: str, optimizer: str) -> None:
    model: Any = backbone(TOYS["llama-gqa"])
    attach(name, model)
    recipe = RecipeConfig(optimizer=optimizer, learning_rate=0.01, awake_layers=1, awake_every=1)
    made, layers = optimizers.make(model, recipe), turns(model, awake_every=1)
    everything, moved = dict(trainable(model)), set()
    for step in range(6):
        layers.wake(step, made)
        before = {key: p.detach().clone() for key, p in everything.items()}
        training_step.descend(made, model(**batch(TOYS["llama-gqa"])).loss, 1.0)
        (block,) = layers.chosen(step)
        moved.add(block)
        for key, p in everything.items():
            sleeps = f".layers.{1 - block}." in key
            if sleeps:
                assert torch.equal(p, before[key])
                assert p not in made.state
            elif name == "full":
                assert not torch.equal(p, before[key]), "awake, or outside of the blocks"
    assert moved == {0, 1}


def test_the_draw_is_that_of_the_seed_and_of_the_step() -> None:
    model = backbone(TOYS["t5"])
    attach("full", model)
    layers = turns(model, awake_layers=2)
    drawn = [tuple(layers.chosen(step)) for step in range(300)]
    assert all(len(set(drawn[start : start + 3])) == 1 for start in range(0, 300, 3))
    counts = [sum(block in one for one in drawn[::3]) for block in range(4)]
    assert min(counts) > 30, "all of the four blocks, of both stacks, take turns"
    again = awake.layers(model, RecipeConfig(awake_layers=2, awake_every=3), seed=5)
    assert again is not None
    assert [tuple(again.chosen(step)) for step in range(300)] == drawn
    assert turns(model, awake_layers=4).chosen(0) == [0, 1, 2, 3]


def test_what_rests_in_a_stage_is_never_woken() -> None:
    model = backbone(TOYS["llama-gqa"])
    attach("full", model)
    resting = {name for name in names(model) if "mlp" in name}
    made = awake.layers(model, RecipeConfig(awake_layers=2), rests=lambda name: name in resting)
    assert made is not None
    for name in resting:
        model.get_parameter(name).requires_grad_(False)
    made.wake(0)
    assert not names(model) & resting


def test_a_profile_is_of_a_step_with_sleeping_blocks_and_leaves_all_awake() -> None:
    model = backbone(TOYS["llama-gqa"])
    attach("full", model)
    everything = names(model)
    with awake.as_in_a_step(model, RecipeConfig(awake_layers=1)):
        assert 0 < len(names(model)) < len(everything)
    assert names(model) == everything
    with awake.as_in_a_step(model, RecipeConfig()):
        assert names(model) == everything


def cell(**fields: Any) -> Cell:
    [made] = expand([{**BLOCK, **{f"recipe.{key}": value for key, value in fields.items()}}])
    return made


def told(tmp_path: Path, cell: Cell, **runtime: Any) -> dict[str, Any]:
    tmp_path.mkdir()
    return run(cell, Runtime(device="cpu", **runtime), AttemptFolder(tmp_path))


def test_a_cell_with_sleeping_layers_trains_otherwise_and_costs_less(tmp_path: Path) -> None:
    plain, lisa = (told(tmp_path / name, one) for name, one in (("a", cell()), ("b", cell(awake_layers=1))))
    losses = [[row["validation_loss"] for row in curve(tmp_path / name)] for name in ("a", "b")]
    assert losses[0][0] == losses[1][0]
    assert losses[0][-1] != losses[1][-1]
    assert lisa["parameters"] == plain["parameters"], "in turn, everything trains"
    assert lisa["flops"]["step"] < plain["flops"]["step"]
    assert lisa["live"]["split"]["optimizer"] < 0.9 * plain["live"]["split"]["optimizer"]


class Cut(Exception):
    """Stands for the end of a process between two steps."""


@pytest.mark.parametrize("optimizer", ["adamw", "galore"])
def test_a_training_that_was_cut_goes_on_with_the_same_draws_and_state(
    optimizer: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    what = cell(awake_layers=1, awake_every=5, optimizer=optimizer)
    told(tmp_path / "whole", what)
    take = fit.take

    def until(step: fit.Step) -> float:
        if step.number == 9:
            raise Cut
        return take(step)

    with monkeypatch.context() as patch:
        patch.setattr(fit, "take", until)
        with pytest.raises(Cut):
            told(tmp_path / "cut", what, checkpoint_steps=1, checkpoint_minutes=0.0)
    again = tmp_path / "again"
    again.mkdir()
    (tmp_path / "cut" / CHECKPOINT).rename(again / CHECKPOINT)
    run(what, Runtime(device="cpu"), AttemptFolder(again))
    assert (again / RESUMED).exists()
    assert curve(again) == curve(tmp_path / "whole")


def curve(folder: Path) -> list[dict[str, Any]]:
    """The rows of a curve, but for the clock."""
    rows = map(json.loads, (folder / CURVE).read_text().splitlines())
    return [{name: value for name, value in row.items() if name != "seconds"} for row in rows]


def test_the_fields_change_a_key_only_where_layers_sleep() -> None:
    keys = [identity.key(cell(**fields)) for fields in ({}, {"awake_layers": 1}, {"awake_layers": 1, "awake_every": 7})]
    assert len(set(keys)) == 3
    assert identity.key(cell(awake_layers=1, awake_every=20)) == keys[1]


@pytest.mark.parametrize(
    ("fields", "rule"),
    [
        ({"awake_every": 5}, "recipe.awake_every=5: no layers take turns. Set recipe.awake_layers too"),
        ({"awake_layers": 0}, "awake_layers=0: it must be at least 1"),
        ({"awake_layers": 1, "parallel": "fsdp"}, "recipe.awake_layers=1: with fsdp no block can sleep"),
    ],
)
def test_what_cannot_be_is_one_sentence(fields: dict[str, Any], rule: str) -> None:
    with pytest.raises(UsageError, match=rule):
        cell(**fields)


def test_more_layers_than_the_method_trains_in_are_refused() -> None:
    model = backbone(TOYS["llama-gqa"])
    attach("last_layer", model)
    with pytest.raises(UsageError, match=r"recipe.awake_layers=2: the method trains in 1 blocks of this model"):
        turns(model, awake_layers=2)
