"""Operations of a step against the closed form, and peaks by the names that devices really have."""

import math
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from harness.config.schema import RecipeConfig
from harness.measurement import peak_flops
from harness.measurement.meter import Meter
from harness.training import step_profile
from harness.training.batches import Encoded
from harness.training.objectives.registry import Reading
from methods.base import Method

CPU = torch.device("cpu")
WIDTH = 8


class Net(nn.Module):
    """A frozen layer, attention, and a trained layer, with dropout between."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(WIDTH, WIDTH, bias=False), nn.Linear(WIDTH, WIDTH, bias=False)
        self.first.weight.requires_grad_(False)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        x = self.first(F.one_hot(ids % WIDTH, WIDTH).float())
        x = F.dropout(x, 0.5, self.training)
        x = self.last(x)
        heads = x.unsqueeze(1)
        return F.scaled_dot_product_attention(heads, heads, heads).sum()


class Objective:
    reading = Reading()

    def loss(self, model: nn.Module, batch: Any) -> torch.Tensor:
        return model(batch.inputs)


def work(model: nn.Module | None = None) -> Any:
    encoded = Encoded.of([[1] * 16] * 64, 0, 0)
    recipe = RecipeConfig(batch_size=4)
    net, splits, meter = model or Net(), {"train": SimpleNamespace(encoded=encoded)}, Meter(CPU)
    return SimpleNamespace(
        model=net, method=Method(), objective=Objective(), recipe=recipe, splits=splits, meter=meter, start_flops=None
    )


def test_operations_are_those_of_the_closed_form() -> None:
    rows, tokens = 4, 4 * 16
    layer, product = 2 * tokens * WIDTH * WIDTH, 2 * rows * 16 * 16 * WIDTH
    # forward: two layers, two attention products; backward: the trained weight only (its input needs no gradient),
    # and in attention the scores once more, then the gradients of values, probabilities, queries and keys
    wanted = 2 * layer + 2 * product + layer + 5 * product
    assert step_profile.count(work(), range(rows), CPU) == wanted


def test_counting_leaves_everything_as_it_was() -> None:
    here = work()
    here.model.eval()
    before, state = {k: v.clone() for k, v in here.model.state_dict().items()}, torch.get_rng_state()
    step_profile.operations(here, CPU, "cpu")
    assert all(torch.equal(before[k], v) for k, v in here.model.state_dict().items())
    assert torch.equal(state, torch.get_rng_state())
    assert all(p.grad is None for p in here.model.parameters())
    assert not here.model.training


def test_the_rate_is_operations_per_token_times_tokens_per_second() -> None:
    here = work()
    here.meter.steps.add(0.5, examples=4, tokens=64)
    told = step_profile.operations(here, CPU, "NVIDIA H100 80GB HBM3")
    assert told["rows"] == 4
    assert told["tokens"] == 64
    assert told["per_s"] == pytest.approx(told["step"] * 2)
    assert told["share"] == pytest.approx(told["per_s"] / 67e12)
    assert told["why_null"] == {}


def test_what_cannot_be_told_is_null_with_a_reason() -> None:
    told = step_profile.operations(work(), CPU, "cpu")
    assert told["step"] > 0
    assert told["per_s"] is told["share"] is None
    assert set(told["why_null"]) == {"per_s", "share"}

    frozen = Net()
    frozen.requires_grad_(False)
    assert step_profile.operations(work(frozen), CPU, "cpu")["why_null"] == {"step": "nothing trains"}

    class Fails(Net):
        def forward(self, ids: torch.Tensor) -> torch.Tensor:
            raise NotImplementedError("no kernel")

    assert "no kernel" in step_profile.operations(work(Fails()), CPU, "cpu")["why_null"]["step"]


def test_bf16_and_tf32_have_peaks_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    assert step_profile.arithmetic(replace(RecipeConfig(), precision="bf16").precision) == "bf16"
    assert step_profile.arithmetic("fp32") == "fp32"
    monkeypatch.setattr(torch, "get_float32_matmul_precision", lambda: "high")
    assert step_profile.arithmetic("fp32") == "tf32"


@pytest.mark.parametrize(
    ("name", "arithmetic", "tera"),
    [
        ("NVIDIA H100 80GB HBM3", "bf16", 989.5),
        ("NVIDIA H100 PCIe", "bf16", 756),
        ("NVIDIA H200", "fp32", 67),
        ("NVIDIA A100-SXM4-80GB", "bf16", 312),
        ("NVIDIA A100 80GB PCIe", "tf32", 156),
        ("NVIDIA A10", "bf16", 125),
        ("Tesla V100-SXM2-16GB", "fp32", 15.7),
        ("Tesla T4", "fp32", 8.1),
        ("NVIDIA L4", "fp32", 30.3),
        ("NVIDIA L40S", "fp32", 91.6),
        ("Tesla T4", "bf16", None),
        ("NVIDIA A10G", "bf16", None),
        ("NVIDIA H100 NVL", "bf16", None),
        ("NVIDIA H200 NVL", "bf16", None),
        ("NVIDIA GH200 480GB", "bf16", None),
        ("NVIDIA A100-SXM4-40GB MIG 1g.5gb", "bf16", None),
        ("cpu", "fp32", None),
        ("", "fp32", None),
    ],
)
def test_a_device_is_known_by_its_own_name_and_no_other(name: str, arithmetic: str, tera: float | None) -> None:
    peak, told = peak_flops.find(name, arithmetic)
    assert peak == (None if tera is None else pytest.approx(tera * 1e12))
    assert len(told) > 10


def test_every_peak_has_its_source_and_faster_arithmetic_is_faster() -> None:
    for peak in peak_flops.PEAKS:
        assert "data sheet" in peak.source
        known = [one for one in (peak.fp32, peak.tf32, peak.bf16) if one is not None]
        assert known == sorted(known)
        assert all(math.isfinite(one) for one in known)
