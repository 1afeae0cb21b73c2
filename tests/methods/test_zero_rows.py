"""Weights with rows of zeros: a row without length has no direction, and nothing may become NaN."""

from typing import Any

import pytest
import torch

from methods.backbone.trainable_parameters import trainable
from methods.dora import Decomposed
from tests.methods.conftest import TOYS, attach, backbone, batch, disturb, logits

TOY = TOYS["llama-zero-rows"]
KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "dora": ("dora", {"targets": ["q", "o"]}),
    "dora whole gradient": ("dora", {"targets": ["q", "o"], "detach": False}),
    "dora magnitudes": ("dora", {"targets": ["q"], "magnitude_targets": ["o", "ffn-in"]}),
    "dvora": ("dvora", {"rank": 5, "targets": ["q", "o"]}),
    "qdora": ("qdora", {"targets": ["q", "o"]}),
}


@pytest.mark.parametrize("kind", KINDS)
def test_the_start_is_the_backbone_and_training_goes_on(kind: str) -> None:
    model = backbone(TOY)
    before = logits(model, TOY)
    name, fields = KINDS[kind]
    method = attach(name, model, **fields)
    if method.unchanged_at_start:
        torch.testing.assert_close(logits(model, TOY), before, rtol=1e-5, atol=1e-5)
    moving, data = [p for _, p in trainable(model)], batch(TOY)
    optimizer, losses = torch.optim.Adam(moving, lr=0.01), []
    for _ in range(4):
        loss = model(**data).loss
        loss.backward()
        assert all(p.grad is not None and bool(torch.isfinite(p.grad).all()) for p in moving)
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    assert losses[-1] < losses[0]
    zero = next(m for path, m in model.named_modules() if isinstance(m, Decomposed) and ".o_proj" in path)
    assert bool((zero._change()[3:5] == -1).all())
    assert bool((zero._change()[5:] > -1).all())


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "qdora"])
def test_merged_is_unmerged(kind: str) -> None:
    name, fields = KINDS[kind]
    model = backbone(TOY)
    method = attach(name, model, **fields)
    disturb(model)
    before = logits(model, TOY)
    assert bool(torch.isfinite(before).all())
    method.merge(model)
    torch.testing.assert_close(logits(model, TOY), before, rtol=1e-5, atol=1e-5)
