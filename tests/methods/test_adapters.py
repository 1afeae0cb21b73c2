"""Each adapter computed by hand from its paper's formula, in the place where the paper has it."""

from typing import Any

import pytest
import torch
from torch.nn import functional as F

from harness.config.schema import MethodConfig
from harness.errors import UsageError
from methods.attachment.delta_state import delta_state
from methods.base import Parent
from tests.methods.conftest import TOYS, attach, backbone, disturb, logits, make

CLOSE = {"rtol": 1e-5, "atol": 1e-5}


def prepared(name: str, key: str, **fields: Any) -> Any:
    model: Any = backbone(TOYS[key])
    attach(name, model, **fields)
    disturb(model, sd=1.0)
    return model


@torch.no_grad()
def test_parallel_reads_what_the_sublayer_reads() -> None:
    """h + s U f(D x) (He et al., table 1), for attention and for a gated feed-forward."""
    model = prepared("parallel", "t5-gated", bottleneck=3, scale=0.7)
    layer = model.encoder.block[0].layer
    x = torch.randn(2, 7, 16)

    def beside(a: Any, normed: torch.Tensor) -> torch.Tensor:
        return 0.7 * (F.relu(normed @ a.down.T + a.down_bias) @ a.up.T + a.up_bias)

    normed = layer[1].layer_norm(x)
    expected = x + layer[1].DenseReluDense(normed) + beside(layer[1].dropout.parallel, normed)
    torch.testing.assert_close(layer[1](x), expected, **CLOSE)
    normed = layer[0].layer_norm(x)
    expected = x + layer[0].SelfAttention(normed)[0] + beside(layer[0].dropout.parallel, normed)
    torch.testing.assert_close(layer[0](x)[0], expected, **CLOSE)


@torch.no_grad()
def test_parallel_in_a_post_norm_encoder() -> None:
    """Attention's x goes into the query, not into the output projection that the sum follows."""
    model = prepared("parallel", "bert-head", bottleneck=3, beside="attention")
    attention = model.bert.encoder.layer[0].attention
    x, a = torch.randn(2, 7, 16), attention.output.dropout.parallel
    h = attention.output.dense(attention.self(x)[0])
    change = F.relu(x @ a.down.T + a.down_bias) @ a.up.T + a.up_bias
    torch.testing.assert_close(attention(x)[0], attention.output.LayerNorm(x + h + change), **CLOSE)


@torch.no_grad()
@pytest.mark.parametrize("key", ["bert-head", "gpt2"])
def test_pfeiffer_on_the_stream(key: str) -> None:
    """N(s + A(N(s))) after a norm, s + A(s) where the norms come before."""
    model, plain = prepared("pfeiffer", key, bottleneck=3), backbone(TOYS[key])
    x = torch.randn(2, 7, 16)
    host = model.bert.encoder.layer[0].output.LayerNorm if key == "bert-head" else model.transformer.h[0]
    other = plain.bert.encoder.layer[0].output.LayerNorm if key == "bert-head" else plain.transformer.h[0]
    a, stream = host.pfeiffer.bottleneck, other(x)
    change = F.relu(stream @ a.down.T + a.down_bias) @ a.up.T + a.up_bias
    expected = other(x + change) if key == "bert-head" else stream + change
    torch.testing.assert_close(host(x), expected, **CLOSE)


@torch.no_grad()
def test_compacter_is_a_sum_of_kronecker_products() -> None:
    """W = sum_i A_i (x) (s_i t_i), equations 4 and 5, with one rule for all."""
    model = prepared("compacter", "t5", bottleneck=6, division=2, rank=1)
    rules = {id(p) for name, p in model.named_parameters() if name.endswith("rule.rule")}
    host = model.encoder.block[0].layer[1].dropout
    a, x = host.adapter, torch.randn(2, 7, 16)
    assert len(rules) == 1

    def weight(k: Any) -> torch.Tensor:
        return sum(torch.kron(k.rule.rule[i], torch.outer(k.left[i, :, 0], k.right[i, 0])) for i in range(2))

    expected = x + F.gelu(x @ weight(a.down).T + a.down.bias) @ weight(a.up).T + a.up.bias
    torch.testing.assert_close(host(x), expected, **CLOSE)


@torch.no_grad()
def test_phm_has_full_blocks_and_rules_of_its_own() -> None:
    model = prepared("phm", "t5", bottleneck=6, division=2)
    host = model.encoder.block[0].layer[1].dropout
    a, x = host.adapter, torch.randn(2, 7, 16)
    down, up = (sum(torch.kron(k.rule.rule[i], k.left[i]) for i in range(2)) for k in (a.down, a.up))
    torch.testing.assert_close(host(x), x + F.gelu(x @ down.T + a.down.bias) @ up.T + a.up.bias, **CLOSE)
    assert len({id(p) for name, p in model.named_parameters() if name.endswith("rule.rule")}) == 2 * 8


@torch.no_grad()
def test_lowrank_adapter_at_rank_two() -> None:
    model = prepared("lowrank_adapter", "t5", bottleneck=6, rank=2)
    host = model.encoder.block[0].layer[1].dropout
    a, x = host.adapter, torch.randn(2, 7, 16)
    h = F.gelu(x @ (a.down_left @ a.down_right).T + a.down_bias)
    torch.testing.assert_close(host(x), x + h @ (a.up_left @ a.up_right).T + a.up_bias, **CLOSE)


@torch.no_grad()
def test_adapterbias_shifts_each_token_by_its_own_share() -> None:
    host = prepared("adapterbias", "t5").encoder.block[0].layer[1].dropout
    x, a = torch.randn(2, 7, 16), host.adapterbias
    torch.testing.assert_close(host(x), x + torch.einsum("btd,d,e->bte", x, a.project, a.vector), **CLOSE)


@torch.no_grad()
def test_adapterdrop_leaves_the_lowest_blocks_alone() -> None:
    state = delta_state(prepared("adapterdrop", "t5", drop=1))
    assert state
    assert all(".block.1." in path for path in state)
    with pytest.raises(UsageError, match=r"method\.drop=2: it must be below 2, the number of blocks"):
        make("adapterdrop", drop=2).attach(backbone(TOYS["t5"]))


@pytest.mark.parametrize(
    ("method", "fields", "message"),
    [
        ("compacter", {"bottleneck": 10}, "method.bottleneck=10: division=4 must divide it"),
        ("compacter", {"bottleneck": 9, "division": 3}, "method.division=3: it must divide the width of the model, 16"),
        ("phm", {"division": 0}, "method.division=0: .* at least 1"),
        ("lowrank_adapter", {"rank": 25}, "method.rank=25: the rank must be from 1 to bottleneck=24"),
        ("parallel", {"beside": "ffn", "cross": True}, "method.cross=True: beside=ffn leaves"),
        ("parallel", {"scale": 0}, "method.scale=0.0: the scale must be above 0"),
    ],
)
def test_what_cannot_be_is_one_sentence(method: str, fields: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        make(method, **fields).attach(backbone(TOYS["t5"]))
    assert "\n" not in str(caught.value)


@torch.no_grad()
def test_fusion_is_attention_over_the_parents() -> None:
    """s + sum_t p_t V z_t, p = softmax_t(s Q . z_t K): equation 4, after the norm once more."""
    model = prepared("adapterfusion", "bert-head")
    host = model.bert.encoder.layer[0].output.LayerNorm
    plain = backbone(TOYS["bert-head"]).bert.encoder.layer[0].output.LayerNorm
    fusion, x = host.adapterfusion, torch.randn(2, 7, 16)
    s = plain(x)
    z = [F.relu(s @ a.down.T + a.down_bias) @ a.up.T + a.up_bias for a in fusion.adapters.values()]
    assert len(z) == 2
    scores = torch.stack([((s @ fusion.query.T) * (t @ fusion.key.T)).sum(-1) for t in z])
    mixed = sum(p[..., None] * (t @ fusion.value.T) for p, t in zip(scores.softmax(0), z, strict=True))
    torch.testing.assert_close(host(x), plain(x + mixed), **CLOSE)


def of_pfeiffer(state: dict[str, torch.Tensor]) -> Parent:
    return Parent(MethodConfig("pfeiffer", {}), state)


def test_fusion_of_one_parent_is_that_parent() -> None:
    """With V at the identity, but for the 1e-6 that it starts with."""
    toy = TOYS["t5"]
    parent = backbone(toy)
    attach("pfeiffer", parent)
    disturb(parent, sd=0.3)
    model = backbone(toy)
    method = make("adapterfusion")
    method.attach(model)
    torch.testing.assert_close(logits(model, toy), logits(backbone(toy), toy))
    method.inherit(model, {"only": of_pfeiffer(delta_state(parent))})
    torch.testing.assert_close(logits(model, toy), logits(parent, toy), rtol=1e-3, atol=1e-4)
    assert method.notes(model) == {"fused_adapters": 1}


def test_fusion_pulls_the_values_to_the_identity() -> None:
    model = backbone(TOYS["t5"])
    method = make("adapterfusion", regularization=0.5)
    method.attach(model)
    start = method.penalty(model)
    assert start is not None
    assert float(start.detach()) < 1e-6
    model.encoder.block[0].layer[1].adapterfusion.value.data += 1.0
    penalty = method.penalty(model)
    assert penalty is not None
    assert float(penalty.detach()) == pytest.approx(0.5 * 16 * 16, rel=1e-4)
    assert make("adapterfusion", regularization=0).penalty(model) is None


@pytest.mark.parametrize("spoil", ["missing", "shape", "nan"])
def test_a_parent_that_does_not_fit_changes_nothing(spoil: str) -> None:
    parent = backbone(TOYS["t5"])
    attach("pfeiffer", parent)
    state = delta_state(parent)
    path = [path for path in state if path.endswith(".up")][-1]
    bad = {"missing": None, "shape": torch.zeros(3, 3), "nan": state[path] * float("nan")}[spoil]
    model = backbone(TOYS["t5"])
    method = make("adapterfusion")
    method.attach(model)
    broken = {name: tensor for name, tensor in (state | {path: bad}).items() if tensor is not None}
    with pytest.raises(UsageError, match=r"parent b: .*\.up is .*finished pfeiffer cell on the same backbone"):
        method.inherit(model, {"a": of_pfeiffer(state), "b": of_pfeiffer(broken)})
    assert method.notes(model) == {"fused_adapters": 0}


def test_mam_is_a_prefix_and_adapters_beside_feed_forward() -> None:
    model = backbone(TOYS["t5"])
    method = attach("mam", model, length=3, bottleneck=5)
    state = delta_state(model)
    beside = {path for path in state if ".parallel." in path}
    assert all("Attention.prefix." in path for path in state.keys() - beside)
    places = {path.partition(".dropout")[0] for path in beside}
    last = {"encoder": 1, "decoder": 2}
    assert places == {f"{stack}.block.{i}.layer.{layer}" for stack, layer in last.items() for i in (0, 1)}
    assert method.notes(model) == {"prefixed_attention_modules": 6, "adapters_beside_ffn": 4}
    assert sum(t.numel() for t in state.values()) == 6 * 2 * 3 * 24 + 4 * (2 * 5 * 16 + 5 + 16)
