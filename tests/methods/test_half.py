"""The laws on a backbone that is kept in bf16, for every method on two toys; a slow run has all.

What a cell does there: frozen matrices in bf16, what trains and frozen vectors in fp32, products in bf16.
"""

from typing import Any

import pytest
import torch
from torch import nn

from harness.errors import NotApplicable
from harness.models import backbone as models
from harness.precision import computing
from methods.attachment.delta_state import delta_state, load_delta_state
from methods.backbone.trainable_parameters import trainable
from tests.methods.conftest import attach, backbone, batch, disturb, logits

USUAL = ("t5", "llama-gqa")
"""The laws in fp32 run on each class; rounding asks for one with two stacks and one with gated parts."""
CPU = torch.device("cpu")
CLOSE = 0.05
"""Of the largest logit: eight bits hold a number to 0.4 %, and a dozen layers add to that."""


def _half(toy: Any) -> Any:
    return models.masters(backbone(toy).to(torch.bfloat16))


def _attached(name: str, model: nn.Module, seed: int = 2) -> Any:
    method = attach(name, model, seed=seed)
    models.masters(model)
    return method


def _logits(model: nn.Module, toy: Any) -> torch.Tensor:
    with computing("bf16", CPU):
        return logits(model, toy).float()


def _gap(model: Any, one: torch.Tensor, other: torch.Tensor) -> float:
    """The largest difference, as a share of the largest logit.

    A router may send one position to another expert after rounding, where two experts are nearly as good.
    """
    routed = hasattr(model.config, "num_local_experts")
    gaps = (one - other).abs().flatten(0, -2).amax(dim=-1).sort().values
    return float(gaps[-2 if routed else -1] / other.abs().max())


def test_laws_hold_on_a_half_backbone(name: str, toy: Any) -> None:
    model = _half(toy)
    plain, dtypes = _logits(model, toy), {key: p.dtype for key, p in model.named_parameters()}
    method = _attached(name, model)
    if method.unchanged_at_start:
        assert _gap(model, _logits(model, toy), plain) < CLOSE
    moving, dead = dict(trainable(model)), method.dead(model)
    assert {p.dtype for p in moving.values()} <= {torch.float32}
    if moving:
        _step(model, toy, moving, set(dead))
    disturb(model)
    before = _logits(model, toy)
    _saved_and_loaded_is_the_same(name, toy, model, before)
    try:
        method.merge(model)
    except NotApplicable:
        return
    assert _gap(model, _logits(model, toy), before) < CLOSE
    if method.name in ("lora", "dora", "vera", "ia3"):
        assert {key: p.dtype for key, p in model.named_parameters()} == dtypes, "merged, it is kept as it was"


def _step(model: nn.Module, toy: Any, moving: dict[str, nn.Parameter], dead: set[str]) -> None:
    """One step of training under the precision of a cell: finite, and every tensor that trains is reached."""
    model.train()
    optimizer, reached = torch.optim.Adam(moving.values(), lr=1e-3), set[str]()
    data = batch(toy)
    for _ in range(3):  # some tensors have a gradient only when others have moved
        with computing("bf16", CPU):
            loss = model(**data).loss
        loss.backward()
        reached |= {key for key, p in moving.items() if p.grad is not None and bool(p.grad.abs().max() > 0)}
        assert all(p.grad is None or bool(torch.isfinite(p.grad).all()) for p in moving.values())
        optimizer.step()
        optimizer.zero_grad()
    assert torch.isfinite(loss)
    without = sorted(set(moving) - reached - dead)
    assert not without, f"{without} never have a gradient: leave them out of `attach`, or return them from `dead()`"
    model.eval()


def _saved_and_loaded_is_the_same(name: str, toy: Any, model: nn.Module, before: torch.Tensor) -> None:
    other = _half(toy)
    _attached(name, other, seed=99)
    load_delta_state(other, delta_state(model))
    assert torch.equal(_logits(other, toy), before)


def test_a_reparametrised_prefix_is_saved_as_it_computes(toy: Any) -> None:
    model, other = _half(toy), _half(toy)
    for one in (model, other):
        attach("prefix", one, reparametrize=True)
        models.masters(one)
    disturb(model)
    load_delta_state(other, delta_state(model))
    assert torch.equal(_logits(other, toy), _logits(model, toy))


def test_a_merge_that_is_left_out_is_seen() -> None:
    """The tolerance of this file is below what a delta does."""
    from tests.methods.conftest import TOYS

    for toy in (toy for toy in TOYS.values() if toy.usual):
        model = _half(toy)
        plain = _logits(model, toy)
        _attached("lora", model)
        disturb(model, sd=0.2)
        assert _gap(model, _logits(model, toy), plain) > CLOSE


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_computing_says_what_products_are_in(precision: str) -> None:
    with computing(precision, CPU):
        assert torch.mm(torch.ones(2, 2), torch.ones(2, 2)).dtype == (
            torch.bfloat16 if precision == "bf16" else torch.float32
        )
