"""LoRA and DoRA on a base in four bits."""

from typing import Any

import pytest
import torch

from harness.errors import NotApplicable
from methods.base import trainable
from tests.methods.conftest import TOYS, attach, backbone, batch, disturb, logits

bnb = pytest.importorskip("bitsandbytes", reason="bitsandbytes is not installed: pip install 'deltabench[qlora]'")


@pytest.mark.parametrize("kind", ["qlora", "qdora"])
@pytest.mark.parametrize("key", ["t5", "llama-gqa", "bert-head", "gpt-bigcode"])
def test_on_a_quantised_base(kind: str, key: str) -> None:
    """It is the plain method on the base that the four bits stand for."""
    toy = TOYS[key]
    model = backbone(toy)
    method = attach(kind, model)
    four = {path: m for path, m in model.named_modules() if isinstance(m, bnb.nn.Linear4bit)}
    assert len(four) >= 6
    plain: Any = backbone(toy)
    for path, layer in four.items():
        state = layer.weight.quant_state
        assert state.quant_type == "nf4"
        assert state.nested, "double quantisation"
        assert not layer.weight.requires_grad
        dense = bnb.functional.dequantize_4bit(layer.weight.data, state)
        plain.get_submodule(path).weight.data.copy_(dense)
    attach(kind.removeprefix("q"), plain)
    disturb(model)
    disturb(plain)
    with torch.no_grad():
        magnitudes = [name for name, _ in trainable(plain) if name.endswith("magnitude")]
    assert bool(magnitudes) == (kind == "qdora")
    own, other = dict(trainable(model)), dict(trainable(plain))
    for name, p in other.items():
        own[name.replace(f".{kind[1:]}", f".{kind}")].data.copy_(p.data)
    torch.testing.assert_close(logits(model, toy), logits(plain, toy), rtol=1e-3, atol=1e-3)
    model(**batch(toy)).loss.backward()
    assert all(p.grad is not None for p in own.values())
    with pytest.raises(NotApplicable, match="four bits"):
        method.merge(model)
