"""Weights that are kept fused or transposed are hosts like any other."""

from typing import Any

import pytest
import torch
import transformers as hf

from harness.errors import NotApplicable
from methods.attachment.delta_state import delta_state
from methods.backbone.roles import Part, depth, linears
from methods.base import freeze
from tests.methods.conftest import TOYS, attach, backbone, disturb, make
from tests.methods.test_peft import LOW_RANK, agree, attached, copy, matched, peft, reference, same_gradients
from tests.methods.toys import OLD_GPT, SMALL


@torch.no_grad()
@pytest.mark.parametrize("key", ["gpt2", "gpt-bigcode"])
def test_parts_are_what_the_backbone_splits(key: str) -> None:
    model: Any = backbone(TOYS[key])
    whole, x = model.transformer.h[0].attn.c_attn, torch.randn(2, 3, 16)
    parts = [linears(model, [role])["transformer.h.0.attn.c_attn:" + role] for role in "qkv"]
    made = [x @ part.weight.T + part.bias for part in parts]
    torch.testing.assert_close(torch.cat(made, dim=-1), whole(x), rtol=1e-5, atol=1e-6)
    assert [part.out_features for part in parts] == ([16, 16, 16] if key == "gpt2" else [16, 8, 8])
    before = whole.weight.sum()
    parts[1].get_parameter("weight").add_(1.0)
    assert float(whole.weight.sum() - before) == pytest.approx(16 * parts[1].out_features, rel=1e-3)
    assert isinstance(parts[0], Part)
    with pytest.raises(KeyError):
        parts[0].get_parameter("scale")


@torch.no_grad()
def test_a_merge_into_q_and_v_leaves_k_alone() -> None:
    model: Any = backbone(TOYS["gpt2"])
    weight = model.transformer.h[1].attn.c_attn.weight
    before = weight.clone()
    method = attach("lora", model)
    disturb(model)
    assert {path.split(".")[-2] for path in delta_state(model)} == {"lora_q", "lora_v"}
    method.merge(model)
    changed = (weight != before).any(0)
    assert bool(changed[:16].all())
    assert not bool(changed[16:32].any())
    assert bool(changed[32:].all())


@pytest.mark.parametrize("key", ["gpt2", "gpt-bigcode"])
def test_gradients_flow_past_a_delta_on_some_rows(key: str) -> None:
    """What reaches the embeddings is what reaches them when the same update is in the weight."""
    model: Any = backbone(TOYS[key])
    method = attach("lora", model)
    disturb(model, sd=0.3)
    found = []
    for _ in range(2):
        embedded = torch.randn(2, 5, 16, generator=torch.Generator().manual_seed(7)).requires_grad_(True)
        model(inputs_embeds=embedded).logits.square().mean().backward()
        found.append(embedded.grad)
        method.merge(model)
    torch.testing.assert_close(*found, rtol=1e-4, atol=1e-6)


def test_lora_on_a_transposed_fused_weight_is_pefts() -> None:
    toy = TOYS["gpt2"]
    ours, hosts = attached(toy, "lora", rank=3, alpha=7, targets=["c_attn", "ffn-out"])
    assert len(hosts) == 4
    config = peft.LoraConfig(r=3, lora_alpha=7, target_modules=hosts, lora_dropout=0.0, fan_in_fan_out=True)
    theirs = reference(toy, config)
    pairs = matched(ours, theirs, hosts, {f"lora.{mine}": other for mine, other in LOW_RANK.items()})
    copy(pairs)
    agree(toy, ours, theirs)
    same_gradients(pairs)


def test_the_whole_and_its_rows_are_one_place() -> None:
    """Else two deltas would own the same weight."""
    model = backbone(TOYS["gpt2"])
    assert [name.rpartition(".")[2] for name in linears(model, ["q", "c_attn", "v"])] == ["c_attn", "c_attn"]


def test_interleaved_heads_have_no_rows_of_their_own() -> None:
    model = hf.GPTBigCodeForCausalLM(hf.GPTBigCodeConfig(**SMALL, **OLD_GPT, multi_query=False))
    freeze(model)
    with pytest.raises(NotApplicable, match=r"'q' is interleaved head by head here.*targets=\[c_attn\]"):
        make("lora", targets=["q"]).attach(model)
    make("lora", targets=["c_attn"]).attach(model)


def test_experts_hold_no_linears() -> None:
    with pytest.raises(NotApplicable, match=r"the experts of family mixtral hold no linear 'ffn-in'"):
        make("lora", targets=["q", "ffn-in"]).attach(backbone(TOYS["mixtral"]))


def test_the_depth_of_a_module_is_its_block() -> None:
    assert depth("encoder.block.3.layer.1.dropout") == 3
    assert depth("model.layers.11") == 11
