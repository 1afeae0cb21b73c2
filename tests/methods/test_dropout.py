"""Dropout on the input of the LoRA family's updates: PEFT's formula, only while it trains."""

import warnings
from typing import Any

import pytest
import torch

from harness.errors import UsageError
from methods.backbone.trainable_parameters import trainable
from tests.methods.conftest import TOYS, attach, backbone, batch, disturb, logits, make

FAMILY: dict[str, dict[str, Any]] = {
    "lora": {"rank": 3},
    "dora": {"rank": 3},
    "dora magnitudes": {"rank": 3, "magnitude_targets": ["o"]},
    "vera": {"rank": 5},
    "dvora": {"rank": 5},
    "qlora": {"rank": 3},
    "qdora": {"rank": 3},
}


@pytest.mark.parametrize("key", ["llama-gqa", "gpt2"])
@pytest.mark.parametrize("kind", FAMILY)
def test_it_drops_while_it_trains_and_only_then(kind: str, key: str) -> None:
    toy, name = TOYS[key], kind.split()[0]
    model, other = backbone(toy), backbone(toy)
    attach(name, model, dropout=0.4, **FAMILY[kind])
    attach(name, other, **FAMILY[kind])
    for made in (model, other):
        disturb(made)
    torch.testing.assert_close(logits(model, toy), logits(other, toy), rtol=0, atol=0)
    model.train()
    other.train()
    assert torch.equal(logits(other, toy), logits(other.eval(), toy)), "without dropout nothing is drawn"
    assert not torch.allclose(logits(model, toy), logits(other, toy), atol=1e-3)
    model(**batch(toy)).loss.backward()
    assert all(p.grad is not None and float(p.grad.abs().max()) > 0 for _, p in trainable(model))


@pytest.mark.parametrize("kind", ["lora", "dora", "vera"])
def test_peft_drops_the_same_under_the_same_seed(kind: str) -> None:
    """Logits and gradients of a training step are equal, its bias and its frozen product included."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        peft = pytest.importorskip("peft")
        toy = TOYS["bert-head"]
        ours, theirs = backbone(toy), backbone(toy)
        ours.classifier.requires_grad_(False)
        fields = {"targets": ["q", "ffn-out"], "dropout": 0.3, **FAMILY[kind]}
        attach(kind, ours, **fields)
        disturb(ours)
        hosts = [path for path, module in ours.named_modules() if hasattr(module, kind)]
        config = {
            "lora": lambda: peft.LoraConfig(r=3, lora_alpha=6, target_modules=hosts, lora_dropout=0.3),
            "dora": lambda: peft.LoraConfig(r=3, lora_alpha=6, target_modules=hosts, lora_dropout=0.3, use_dora=True),
            "vera": lambda: peft.VeraConfig(r=5, target_modules=hosts, vera_dropout=0.3),
        }[kind]()
        wrapped = peft.get_peft_model(theirs, config)
    names = {
        "lora": {"A": "lora_A.default.weight", "B": "lora_B.default.weight"},
        "dora": {
            "direction.A": "lora_A.default.weight",
            "direction.B": "lora_B.default.weight",
            "magnitude": "lora_magnitude_vector.default.weight",
        },
        "vera": {"b": "vera_lambda_b.default", "d": "vera_lambda_d.default"},
    }[kind]
    pairs = []
    for host in hosts:
        layer = wrapped.base_model.model.get_submodule(host)
        pairs += [(ours.get_parameter(f"{host}.{kind}.{own}"), layer.get_parameter(n)) for own, n in names.items()]
    for mine, other in pairs:
        other.data.copy_(mine.data)
    outputs = []
    for model in (ours, wrapped):
        model.train()
        data = batch(toy)
        torch.manual_seed(7)
        out = model(**data)
        out.loss.backward()
        outputs.append(out.logits.detach())
    torch.testing.assert_close(*outputs, rtol=1e-5, atol=1e-5)
    assert not torch.allclose(outputs[0], logits(ours.eval(), toy), atol=1e-4)
    for mine, other in pairs:
        torch.testing.assert_close(mine.grad, other.grad, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("value", [-0.1, 1.0])
@pytest.mark.parametrize("kind", ["lora", "dvora"])
def test_a_share_that_cannot_be_is_refused(kind: str, value: float) -> None:
    with pytest.raises(UsageError, match=r"method\.dropout=.*at least 0 and below 1"):
        make(kind, dropout=value)
