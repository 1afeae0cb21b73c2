"""A transferred delta gives the model in which it was trained, whatever its method, and nothing of it trains."""

import copy

import pytest
import torch

from harness.config.schema import MethodConfig
from harness.errors import UsageError
from methods import registry as methods
from methods.attachment.delta_state import delta_state
from methods.backbone.trainable_parameters import trainable
from methods.base import Parent
from tests.methods.conftest import TOYS, backbone, disturb, logits, make

KINDS = ("full", "lora", "adapter", "prefix", "prompt", "bitfit", "none")


def parent(kind: str, model: torch.nn.Module) -> tuple[Parent, torch.nn.Module]:
    """(what a transfer is given, the model that the delta belongs to)."""
    other, method = copy.deepcopy(model), make(kind)
    method.attach(other)
    disturb(other, sd=0.05)
    return Parent(MethodConfig(kind, methods.resolve(kind, {})), delta_state(other)), other


@pytest.mark.parametrize("key", ["t5", "bert-head", "gpt2"])
@pytest.mark.parametrize("kind", KINDS)
def test_the_delta_is_that_of_its_cell_and_nothing_trains(kind: str, key: str) -> None:
    model = backbone(TOYS[key])
    given, other = parent(kind, model)
    made = make("reuse")
    made.attach(model)
    made.inherit(model, {"source": given})
    assert torch.equal(logits(model, TOYS[key]), logits(other, TOYS[key]))
    assert not list(trainable(model))


def test_two_deltas_are_refused() -> None:
    model = backbone(TOYS["t5"])
    given, _ = parent("lora", model)
    with pytest.raises(UsageError, match="takes one finished cell, and this has 2: a, b"):
        make("reuse").inherit(model, {"a": given, "b": given})


def test_a_delta_that_does_not_fit_is_named() -> None:
    given, _ = parent("lora", backbone(TOYS["gpt2"]))
    with pytest.raises(UsageError, match=r"parent source \(lora\) is not transferred: "):
        make("reuse").inherit(backbone(TOYS["t5"]), {"source": given})
