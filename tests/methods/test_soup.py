"""A soup is the mean of its ingredients' weights, whatever method they were made with."""

import copy
from typing import Any

import pytest
import torch

from harness.config.schema import MethodConfig
from harness.errors import UsageError
from methods import registry as methods
from methods.attachment.delta_state import delta_state
from methods.backbone.trainable_parameters import trainable
from methods.base import Parent
from tests.methods.conftest import TOYS, backbone, disturb, logits, make

KINDS = ("full", "lora", "layernorm", "diff_pruning", "hft", "none")


def _ingredients(model: Any, *kinds: str) -> tuple[dict[str, Parent], list[Any]]:
    """(what the soup is given, the same merged by hand)."""
    given, merged = {}, []
    for number, kind in enumerate(kinds):
        other, method = copy.deepcopy(model), make(kind)
        method.attach(other)
        disturb(other, sd=0.05 * (number + 1))
        given[f"r{number}"] = Parent(MethodConfig(kind, methods.resolve(kind, {})), delta_state(other))
        method.merge(other)
        merged.append(other)
    return given, merged


def _soup(model: Any, given: dict[str, Parent]) -> Any:
    made = make("soup")
    made.attach(model)
    made.inherit(model, given)
    return model


@pytest.mark.parametrize("key", ["t5", "bert-head", "gpt2"])
def test_it_is_the_mean_of_weights_across_methods(key: str) -> None:
    given, merged = _ingredients(backbone(TOYS[key]), *KINDS)
    model = _soup(backbone(TOYS[key]), given)
    weights = [dict(other.named_parameters()) for other in merged]
    for name, p in model.named_parameters():
        torch.testing.assert_close(p.data, torch.stack([w[name].data for w in weights]).mean(0))
    assert not list(trainable(model)), "nothing of a soup trains, its head neither"


@pytest.mark.parametrize("kind", KINDS)
def test_a_soup_of_one_is_that_cell(kind: str) -> None:
    given, (other,) = _ingredients(backbone(TOYS["bert-head"]), kind)
    model = _soup(backbone(TOYS["bert-head"]), given)
    assert torch.equal(logits(model, TOYS["bert-head"]), logits(other, TOYS["bert-head"]))


def test_an_ingredient_may_have_a_budget() -> None:
    model, other = backbone(TOYS["t5"]), backbone(TOYS["t5"])
    method = make("lora", budget="20%")
    method.attach(other)
    disturb(other)
    given = {"a": Parent(MethodConfig("lora", methods.resolve("lora", {"budget": "20%"})), delta_state(other))}
    torch.testing.assert_close(logits(_soup(model, given), TOYS["t5"]), logits(other, TOYS["t5"]), rtol=1e-5, atol=1e-5)


def test_what_does_not_go_into_one_is_said() -> None:
    model = backbone(TOYS["t5"])
    other, method = copy.deepcopy(model), make("adapter")
    method.attach(other)
    given = {"a": Parent(MethodConfig("adapter", methods.resolve("adapter", {})), delta_state(other))}
    with pytest.raises(UsageError, match=r"parent a \(adapter\) does not go into a soup: .* cannot be merged"):
        _soup(model, given)
    with pytest.raises(UsageError, match=r"parent a \(soup\) does not go into a soup: it builds on other cells"):
        _soup(model, {"a": Parent(MethodConfig("soup", {}), {})})
    foreign = {"a": Parent(MethodConfig("lora", methods.resolve("lora", {})), given["a"].state)}
    with pytest.raises(UsageError, match=r"parent a \(lora\) does not go into a soup: the delta holds"):
        _soup(model, foreign)
