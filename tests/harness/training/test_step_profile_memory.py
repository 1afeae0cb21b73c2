"""Live bytes of a real step: what is known to be held is counted, and methods differ as they must."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from harness.config.schema import RecipeConfig
from harness.measurement.allocations import BLOCK
from harness.training import step_profile
from harness.training.batches import Encoded
from harness.training.objectives.registry import Reading
from methods.base import Method

CPU = torch.device("cpu")
WIDTH = 256


class Net(nn.Module):
    """Two layers, of which `trained` train."""

    def __init__(self, trained: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(WIDTH, WIDTH, bias=False) for _ in range(2))
        for layer in list(self.layers)[: 2 - trained]:
            layer.requires_grad_(False)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        x = torch.zeros(len(ids), WIDTH)
        for layer in self.layers:
            x = layer(x)
        return x.sum()


class Objective:
    reading = Reading()

    def loss(self, model: nn.Module, batch: Any) -> torch.Tensor:
        return model(batch.inputs)


def work(trained: int = 2, lengths: list[int] | None = None, **recipe: Any) -> Any:
    encoded = Encoded.of([[1] * one for one in lengths or [4] * 16], 0, 0)
    settings = RecipeConfig(**{"batch_size": 4, "steps": 3, "gradient_clip": 0.0, **recipe})
    splits = {"train": SimpleNamespace(encoded=encoded)}
    return SimpleNamespace(model=Net(trained), method=Method(), objective=Objective(), recipe=settings, splits=splits)


MATRIX = WIDTH * WIDTH * 4


def test_a_step_holds_weights_gradients_and_two_moments() -> None:
    for trained in (1, 2):
        split = step_profile.live_storages(work(trained), CPU, 0)["split"]
        assert split["parameters"] == 2 * MATRIX
        assert split["gradients"] == trained * MATRIX
        assert 2 * trained * MATRIX <= split["optimizer"] <= 2 * trained * MATRIX + 2 * BLOCK * trained
    whole, half = (step_profile.live_storages(work(trained), CPU, 0)["bytes"] for trained in (2, 1))
    assert whole - half == pytest.approx(3 * MATRIX, abs=16 * BLOCK)


def test_sgd_holds_no_state() -> None:
    assert step_profile.live_storages(work(optimizer="sgd"), CPU, 0)["split"]["optimizer"] == 0


def test_the_widest_batch_that_training_had_is_counted() -> None:
    here = work(lengths=[4] * 60 + [9] * 4, steps=16)
    rows = step_profile.widest(here, 0)
    assert max(int(here.splits["train"].encoded.lengths[row]) for row in rows) == 9
    assert len(rows) == 4


def test_counting_leaves_the_random_state_and_needs_no_gradient_afterwards() -> None:
    here, state = work(), torch.get_rng_state()
    step_profile.live_storages(here, CPU, 0)
    assert torch.equal(state, torch.get_rng_state())


def test_the_record_has_the_bytes_or_a_reason() -> None:
    record = {"memory": {"load": {}, "train": {"process_bytes": 5}, "steady": {}, "why_null": {"torch": "cpu"}}, "x": 1}
    full = step_profile.counted(record, work(), CPU, 0)
    assert full["memory"]["train"]["live_bytes"] == full["memory"]["steady"]["live_bytes"] == full["live"]["bytes"] > 0
    assert full["memory"]["train"]["process_bytes"] == 5
    assert "live_bytes" not in full["memory"]["load"]
    assert full["memory"]["why_null"] == {"torch": "cpu"}
    assert full["x"] == 1

    class Fails(Objective):
        def loss(self, model: nn.Module, batch: Any) -> torch.Tensor:
            raise NotImplementedError("no kernel")

    broken = work()
    broken.objective = Fails()
    for one, device, reason in (
        (broken, CPU, "no kernel"),
        (work(0), CPU, "nothing trains"),
        (work(), torch.device("cuda"), "allocator"),
    ):
        told = step_profile.counted(record, one, device, 0)
        assert told["memory"]["train"]["live_bytes"] is None
        assert reason in told["memory"]["why_null"]["live"]
