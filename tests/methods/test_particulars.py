"""What one method or one family promises beyond the laws."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from harness.errors import NotApplicable, UsageError
from methods.attachment.hooks import inserted
from methods.backbone.roles import linears
from methods.backbone.sizes import shape
from methods.backbone.trainable_parameters import trainable
from methods.bitfit import Bias
from tests.methods.conftest import TOYS, attach, backbone, batch, disturb, logits, make
from tests.methods.independent_count import count


def test_rank_above_the_matrix_is_refused() -> None:
    with pytest.raises(UsageError, match=r"method\.rank=17: the rank must be at most 16"):
        make("lora", rank=17).attach(backbone(TOYS["llama-mha"]))


def test_grouped_keys_bound_the_rank() -> None:
    with pytest.raises(UsageError, match=r"at most 8, the smaller side of .*v_proj"):
        make("lora", rank=9).attach(backbone(TOYS["llama-gqa"]))


@pytest.mark.parametrize("key", ["bloom", "gpt-neox"])
def test_interleaved_queries_have_no_rows_but_the_whole_has(key: str) -> None:
    with pytest.raises(NotApplicable, match=r"Take method\.targets=\[query_key_value\]"):
        make("lora").attach(backbone(TOYS[key]))
    model = backbone(TOYS[key])
    make("lora", targets=["query_key_value"]).attach(model)
    assert count(model)["delta"] == 2 * 8 * (16 + 48)  # blocks, rank, d_in + d_out


@pytest.mark.parametrize("key", ["gptj", "bloom"])
def test_a_block_that_returns_more_than_the_stream_keeps_it(key: str) -> None:
    model = backbone(TOYS[key])
    before = logits(model, TOYS[key])
    attach("pfeiffer", model)
    torch.testing.assert_close(logits(model, TOYS[key]), before)
    disturb(model)
    assert not torch.allclose(logits(model, TOYS[key]), before)


def test_targets_are_roles_or_patterns() -> None:
    model = backbone(TOYS["llama-gqa"])
    by_role = linears(model, ["q", "ffn-gate"])
    assert list(by_role) == list(linears(model, ["q_proj", "*.gate_proj"]))
    assert len(by_role) == 4
    first = linears(model, ["model.layers.0.*"])
    assert len(first) == 7
    assert not set(linears(backbone(TOYS["bert-head"]), ["dense"])) & {"classifier"}


def test_a_role_the_family_has_not_is_refused() -> None:
    with pytest.raises(UsageError, match="'ffn-gate' matches no linear layer"):
        make("lora", targets=["ffn-gate"]).attach(backbone(TOYS["t5"]))
    with pytest.raises(UsageError, match="'classifier' matches no linear layer"):
        linears(backbone(TOYS["bert-head"]), ["classifier"])


class _Foreign(nn.Module):
    """A backbone of no known family."""

    def __init__(self) -> None:
        super().__init__()
        self.config = SimpleNamespace(model_type="martian")
        self.mixer = nn.Linear(4, 4)


def test_an_unknown_family_says_what_to_add_and_patterns_are_the_way_round() -> None:
    with pytest.raises(UsageError, match=r"'martian' has no row in methods/backbone/families.py .*add a Family row"):
        make("adapter").attach(_Foreign())
    model = _Foreign()
    make("lora", rank=2, targets=["mixer"]).attach(model)
    assert count(model)["delta"] == 16 + 20
    with pytest.raises(UsageError, match=r"'mixr' matches no linear layer.*Did you mean mixer"):
        linears(model, ["mixr"])


@pytest.mark.parametrize("key", ["t5", "llama-mha"])
def test_bitfit_without_biases_to_train(key: str) -> None:
    with pytest.raises(NotApplicable, match=r"has no biases; method\.create_missing=true"):
        make("bitfit", create_missing=False).attach(backbone(TOYS[key]))


def test_bitfit_creates_what_is_missing_and_never_touches_the_position_table() -> None:
    model = backbone(TOYS["t5"])
    method = attach("bitfit", model)
    assert method.notes(model) == {"biases_created": len(inserted(model, "bitfit", Bias))}
    assert not any("relative_attention_bias" in name for name, _ in trainable(model))


def test_bitfit_on_a_masked_encoder_is_the_papers_count() -> None:
    """L (7 d + F) of the blocks, d of the embedding norm; dense, norm and vocabulary of the LM head."""
    model = backbone(TOYS["roberta-masked"])
    attach("bitfit", model)
    assert count(model)["delta"] == 2 * (7 * 16 + 24) + 16 + (16 + 16 + 60)


@pytest.mark.parametrize("key", [key for key, toy in TOYS.items() if toy.usual])
def test_prefix_made_by_an_mlp(key: str) -> None:
    """It counts as its closed form says, every tensor learns, and both kernels read it alike."""
    toy = TOYS[key]
    outputs = []
    for attention in ("sdpa", "eager"):
        model = backbone(toy, attention)
        size = shape(model)
        method = attach("prefix", model, length=3, reparametrize=True, hidden=5)
        disturb(model)
        assert count(model, toy.heads)["delta"] == method.closed_form(size)
        model(**batch(toy)).loss.backward()
        assert all(float(p.grad.abs().max()) > 0 for _, p in trainable(model))
        outputs.append(logits(model, toy))
    torch.testing.assert_close(*outputs, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("method", ["prefix", "mam"])
@pytest.mark.parametrize("key", ["bloom", "gptj"])
def test_prefix_says_that_a_backbone_has_attention_that_takes_none(key: str, method: str) -> None:
    with pytest.raises(NotApplicable, match="the attention of this backbone takes no prefix; take another method"):
        make(method).attach(backbone(TOYS[key]))


def test_prefix_refuses_an_attention_it_cannot_enter() -> None:
    model = backbone(TOYS["llama-mha"])
    model.config._attn_implementation_internal = "flash_attention_2"
    with pytest.raises(NotApplicable, match="'flash_attention_2' cannot take a prefix"):
        make("prefix").attach(model)


def test_a_model_beside_a_prefixed_one_is_untouched() -> None:
    plain = backbone(TOYS["t5"])
    before = logits(plain, TOYS["t5"])
    attach("prefix", backbone(TOYS["t5"]))
    torch.testing.assert_close(logits(plain, TOYS["t5"]), before)


@pytest.mark.parametrize("init", ["vocabulary", "random"])
def test_prompt_starts_from_the_vocabulary_or_at_random(init: str) -> None:
    model: Any = backbone(TOYS["t5"])
    attach("prompt", model, init=init, length=4)
    table, made = model.get_input_embeddings().weight, model.encoder.prompt.embeddings
    rows = (made[:, None] == table[None]).all(-1).any(1)
    assert bool(rows.all()) == (init == "vocabulary")


def test_a_masked_encoder_keeps_its_first_token_first() -> None:
    """The pooler reads [CLS], not the prompt: the prompt only reaches it through attention."""
    model: Any = backbone(TOYS["bert-head"])
    seen: list[torch.Tensor] = []
    model.bert.embeddings.register_forward_pre_hook(
        lambda _, __, kwargs: seen.append(kwargs["inputs_embeds"]), with_kwargs=True
    )
    attach("prompt", model, length=4)
    inputs = batch(TOYS["bert-head"])
    model(**inputs)
    words = model.get_input_embeddings()(inputs["input_ids"])
    assert torch.equal(seen[0][:, 0], words[:, 0])
    assert torch.equal(seen[0][:, 5:], words[:, 1:])


def test_a_merged_lora_is_gone_and_in_the_weights() -> None:
    model: Any = backbone(TOYS["t5"])
    weight = model.encoder.block[0].layer[0].SelfAttention.q.weight
    before = weight.clone()
    method = attach("lora", model)
    disturb(model)
    method.merge(model)
    assert not torch.equal(weight, before)
    assert not list(trainable(model))
    method.attach(model)
    assert count(model)["delta"] > 0


def test_dora_with_and_without_the_norm_in_the_backward_pass() -> None:
    """The same outputs; only B's and A's gradients differ (equation 11: without the norm's own)."""
    toy, states = TOYS["t5"], []
    for detach in (True, False):
        model = backbone(toy)
        attach("dora", model, detach=detach)
        disturb(model)
        loss = model(**batch(toy)).loss
        loss.backward()
        states.append((loss.detach(), {name: p.grad for name, p in trainable(model)}))
    (first, detached), (second, whole) = states
    torch.testing.assert_close(first, second)
    for name, gradient in detached.items():
        assert torch.allclose(gradient, whole[name], rtol=1e-4, atol=1e-7) == name.endswith("magnitude")


def test_magnitude_only_targets_train_a_magnitude_and_no_direction() -> None:
    toy = TOYS["llama-gqa"]
    model = backbone(toy)
    size, before = shape(model), logits(model, toy)
    method = attach("dora", model, targets=["q", "k", "v"], magnitude_targets=["o", "ffn-out"])
    torch.testing.assert_close(logits(model, toy), before, rtol=1e-5, atol=1e-5)
    o = [name for name, _ in trainable(model) if ".o_proj." in name]
    assert o == [f"model.layers.{i}.self_attn.o_proj.dora.magnitude" for i in range(2)]
    assert count(model)["delta"] == method.closed_form(size)
    disturb(model)
    after = logits(model, toy)
    method.merge(model)
    torch.testing.assert_close(logits(model, toy), after, rtol=1e-5, atol=1e-5)
    with pytest.raises(UsageError, match="second 'dora' delta"):
        make("dora", targets=["q"], magnitude_targets=["q"]).attach(model)


def test_vera_draws_its_projection_from_its_own_seed() -> None:
    toy, outputs = TOYS["t5"], []
    for seed in (0, 0, 1):
        model = backbone(toy)
        attach("vera", model, seed=len(outputs), projection_seed=seed)
        disturb(model)
        outputs.append(logits(model, toy))
    assert torch.equal(outputs[0], outputs[1])
    assert not torch.allclose(outputs[0], outputs[2])


@pytest.mark.parametrize("made", ["dora", "dvora", "boft"])
def test_outputs_that_a_model_clips_in_place_have_a_gradient(made: str) -> None:
    """OLMo clips q, k and v so; the gradient of a factor needs the output as it was."""
    model = backbone(TOYS["olmo-clipped"])
    attach(made, model, targets=["q", "v"])
    disturb(model)
    model(**batch(TOYS["olmo-clipped"])).logits.square().mean().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for _, p in trainable(model))


def test_norms_without_weights_get_no_bias() -> None:
    model = backbone(TOYS["opt-bare-norms"])
    size = shape(model)
    method = attach("bitfit", model)
    assert sum(p.numel() for _, p in trainable(model)) == method.closed_form(size)
    assert not any("norm" in name for name, _ in trainable(model))
