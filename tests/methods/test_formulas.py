"""Sublayers computed by hand from the paper's formula, where no other library has the same thing."""

from typing import Any

import torch
from torch.nn import functional as F

from tests.methods.conftest import TOYS, attach, backbone, disturb

CLOSE = {"rtol": 1e-5, "atol": 1e-6}


@torch.no_grad()
def test_prefix_in_an_encoder_with_position_bias() -> None:
    """softmax([q P_k, q k + bias]) [P_v, v]: no position, so no bias (Li & Liang, equation 3)."""
    model: Any = backbone(TOYS["t5"])
    attach("prefix", model, length=5)
    disturb(model, sd=1.0)
    attention = model.encoder.block[0].layer[0].SelfAttention
    x = torch.randn(2, 7, 16)

    def heads(y: torch.Tensor) -> torch.Tensor:
        return y.view(2, 7, 4, 6).transpose(1, 2)

    q, k, v = (heads(F.linear(x, getattr(attention, role).weight)) for role in "qkv")
    own = q @ k.transpose(2, 3) + attention.compute_bias(7, 7)
    scores = torch.cat((q @ attention.prefix.keys.transpose(1, 2), own), dim=-1)
    mixed = scores.softmax(-1) @ torch.cat((attention.prefix.values.expand(2, -1, -1, -1), v), dim=2)
    expected = F.linear(mixed.transpose(1, 2).reshape(2, 7, 24), attention.o.weight)
    torch.testing.assert_close(attention(x)[0], expected, **CLOSE)


@torch.no_grad()
def test_adapter_before_the_residual_sum_and_the_norm() -> None:
    """Norm(x + A(W h)), A(y) = y + U gelu(D y) (Houlsby et al., figure 2)."""
    model: Any = backbone(TOYS["bert-head"])
    attach("adapter", model, bottleneck=3)
    disturb(model, sd=1.0)
    layer = model.bert.encoder.layer[0]
    for sublayer, width in ((layer.attention.output, 16), (layer.output, 24)):
        h, x = torch.randn(2, 7, width), torch.randn(2, 7, 16)
        y, a = sublayer.dense(h), sublayer.dropout.adapter
        adapted = y + F.gelu(y @ a.down.T + a.down_bias) @ a.up.T + a.up_bias
        torch.testing.assert_close(sublayer(h, x), sublayer.LayerNorm(x + adapted), **CLOSE)


@torch.no_grad()
def test_adapters_skip_cross_attention_unless_asked() -> None:
    model: Any = backbone(TOYS["t5"])
    method = attach("adapter", model)
    assert method.notes(model) == {"adapters_after_attention": 4, "adapters_after_ffn": 4}
    assert not any(hasattr(block.layer[1].dropout, "adapter") for block in model.decoder.block)
    assert all(hasattr(block.layer[2].dropout, "adapter") for block in model.decoder.block)
    more: Any = backbone(TOYS["t5"])
    assert attach("adapter", more, cross=True).notes(more)["adapters_after_cross"] == 2
