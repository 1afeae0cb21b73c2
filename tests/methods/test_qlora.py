"""LoRA and DoRA on a base in four and in eight bits."""

from typing import Any

import pytest
import torch

from harness.errors import NotApplicable
from methods.backbone.linears import dense
from methods.backbone.trainable_parameters import trainable
from tests.methods.conftest import TOYS, attach, backbone, batch, disturb, logits

bnb = pytest.importorskip("bitsandbytes", reason="bitsandbytes is not installed: pip install 'deltabench[qlora]'")
QUANTISED = {4: bnb.nn.Linear4bit, 8: bnb.nn.Linear8bitLt}


@pytest.mark.parametrize(("bits", "off"), [(4, 1e-3), (8, 0.05)])  # eight bits round what goes in, too
@pytest.mark.parametrize("kind", ["qlora", "qdora"])
@pytest.mark.parametrize("key", ["t5", "llama-gqa", "bert-head", "gpt-bigcode"])
def test_on_a_quantised_base(kind: str, key: str, bits: int, off: float) -> None:
    """It is the plain method on the base that the few bits stand for."""
    toy = TOYS[key]
    model = backbone(toy)
    method = attach(kind, model, bits=bits)
    few = {path: m for path, m in model.named_modules() if isinstance(m, QUANTISED[bits])}
    assert len(few) >= 6
    plain: Any = backbone(toy)
    for path, layer in few.items():
        assert not layer.weight.requires_grad
        weight, stood_for = plain.get_submodule(path).weight.data, dense(layer)
        assert 0 < float((weight - stood_for).norm() / weight.norm()) < {4: 0.5, 8: 0.01}[bits]
        weight.copy_(stood_for)
    attach(kind.removeprefix("q"), plain)
    disturb(model)
    disturb(plain)
    with torch.no_grad():
        magnitudes = [name for name, _ in trainable(plain) if name.endswith("magnitude")]
    assert bool(magnitudes) == (kind == "qdora")
    own, other = dict(trainable(model)), dict(trainable(plain))
    for name, p in other.items():
        own[name.replace(f".{kind[1:]}", f".{kind}")].data.copy_(p.data)
    for _ in range(2):  # the layers keep the rows' floats elsewhere once they have run
        torch.testing.assert_close(logits(model, toy), logits(plain, toy), rtol=off, atol=off)
    for made in (model, plain):
        made(**batch(toy)).loss.backward()
    for name, p in other.items():
        grad, wanted = own[name.replace(f".{kind[1:]}", f".{kind}")].grad, p.grad
        assert grad is not None
        assert wanted is not None
        assert float((grad - wanted).norm()) <= 5 * off * float(wanted.norm()) + 1e-6
    with pytest.raises(NotApplicable, match="quantised"):
        method.merge(model)


def test_four_bits_are_those_of_the_paper() -> None:
    model = backbone(TOYS["t5"])
    attach("qlora", model)
    for layer in (m for m in model.modules() if isinstance(m, bnb.nn.Linear4bit)):
        assert layer.weight.quant_state.quant_type == "nf4"
        assert layer.weight.quant_state.nested, "double quantisation"
