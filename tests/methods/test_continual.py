"""What an earlier task left is merged into the backbone, and a new delta goes on from there; chains hold all of it."""

import copy
from typing import Any

import pytest
import torch
from torch import nn

from harness.config.schema import MethodConfig
from harness.errors import UsageError
from methods import registry as methods
from methods.attachment.delta_state import delta_state
from methods.backbone.trainable_parameters import trainable
from methods.base import Parent
from tests.methods.conftest import TOYS, backbone, disturb, logits, make

CLOSE = {"rtol": 1e-4, "atol": 1e-4}
KEYS = ("t5", "bert-head", "llama-gqa")


def finished(kind: str, model: nn.Module, parents: dict[str, Parent], **fields: Any) -> tuple[Parent, nn.Module]:
    """What a finished cell of this method leaves on the backbone, and its model."""
    own, method = copy.deepcopy(model), make(kind, **fields)
    method.attach(own)
    method.inherit(own, parents)
    disturb(own)
    return Parent(MethodConfig(kind, methods.resolve(kind, fields)), delta_state(own), parents), own


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("kind", ["lora", "full", "ia3", "continual"])
def test_a_new_delta_starts_from_the_tuned_model(kind: str, key: str) -> None:
    """Its parent may be of the same method, on the same places."""
    model, toy = backbone(TOYS[key]), TOYS[key]
    before = {"before": finished("lora", model, {})[0]} if kind == "continual" else {}
    given, tuned = finished(kind, model, before)
    made = make("continual", parts=["lora rank=4"])
    made.attach(model)
    made.inherit(model, {"before": given})
    torch.testing.assert_close(logits(model, toy), logits(tuned, toy), **CLOSE)
    names = [name for name, _ in trainable(model)]
    assert all(".lora" in name or any(name.startswith(head) for head in toy.heads) for name in names)
    assert not hasattr(model, "bare")


@pytest.mark.parametrize("key", KEYS)
def test_a_chain_of_three_merges_into_one_plain_backbone(key: str) -> None:
    model, toy = backbone(TOYS[key]), TOYS[key]
    plain, links = set(model.state_dict()), dict[str, Parent]()
    for _ in range(3):
        last, tuned = (
            finished("continual", model, links, parts=["lora rank=2"]) if links else finished("lora", model, {})
        )
        links = {"before": last}
    after = logits(tuned, toy)
    make("continual", parts=["lora rank=2"]).merge(tuned)
    torch.testing.assert_close(logits(tuned, toy), after, **CLOSE)
    assert set(tuned.state_dict()) == plain
    changed = [name for name, p in tuned.named_parameters() if not torch.equal(p, model.get_parameter(name))]
    assert changed


def test_two_earlier_cells_are_refused() -> None:
    model = backbone(TOYS["t5"])
    given, _ = finished("lora", model, {})
    made = make("continual")
    made.attach(model)
    with pytest.raises(UsageError, match="goes on from one finished cell, and this has 2: a, b"):
        made.inherit(model, {"a": given, "b": given})


@pytest.mark.parametrize("kind", ["prompt", "adapter"])
def test_what_does_not_merge_is_named(kind: str) -> None:
    model = backbone(TOYS["t5"])
    given, _ = finished(kind, model, {})
    made = make("continual")
    made.attach(model)
    with pytest.raises(UsageError, match=rf"parent before \({kind}\) cannot be gone on from: .*cannot be merged"):
        made.inherit(model, {"before": given})
