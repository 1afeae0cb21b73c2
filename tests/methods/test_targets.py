"""What the targets of a method name: all linears, names of modules, and fields that are the method's own."""

import re
from typing import Any

import pytest
import torch
import transformers as hf
from torch import nn
from transformers.pytorch_utils import Conv1D

from harness.errors import NotApplicable, UsageError
from methods import registry as methods
from methods.backbone.applicability import matrix
from methods.backbone.roles import find, linears
from methods.backbone.sizes import shape
from methods.backbone.trainable_parameters import Delta
from methods.base import freeze
from methods.registry import read_part
from tests import turns
from tests.methods.conftest import NAMES, TOYS, attach, backbone, batch, disturb, logits, make
from tests.methods.independent_count import count
from tests.methods.toys import OLD_GPT, SMALL, Toy

FUSED = {key: TOYS[key] for key in ("gpt-neox", "bloom", "gpt2", "gpt-bigcode")} | {
    "many-headed": Toy(
        lambda: hf.GPTBigCodeForCausalLM(hf.GPTBigCodeConfig(**SMALL, **OLD_GPT, multi_query=False)), "causal"
    )
}
WHOLE = {"gpt-neox": "query_key_value", "bloom": "query_key_value", "many-headed": "c_attn"}
TARGETED = [name for name in NAMES if "targets" in methods.find(name).fields]
FITTING = {"oft": {"block_size": 8}, "peft": {"peft_type": "LORA", "settings": ["r=2"]}}
"""Fields that fit the tiny weights."""


def put(name: str, model: nn.Module, **fields: Any) -> Any:
    """The method attached; skipped only where its library is not installed, since a refusal is a failure here."""
    method = make(name, **fields)
    torch.manual_seed(2)
    try:
        method.attach(model)
    except NotApplicable as reason:
        if "pip install" not in str(reason):
            raise
        pytest.skip(str(reason))
    return method


def all_linear(name: str, model: nn.Module) -> Any:
    return put(name, model, targets=["all-linear"], **FITTING.get(name, {}))


@pytest.mark.parametrize(("kind", "key"), turns.pairs(TARGETED, FUSED))
def test_all_linear_takes_each_linear_of_the_blocks_once(kind: str, key: str) -> None:
    model = backbone(FUSED[key])
    size = shape(model)
    blocks = tuple(f"{path}." for path in find(model, "blocks"))
    inside = {
        path
        for path, module in model.named_modules()
        if isinstance(module, nn.Linear | Conv1D) and path.startswith(blocks)
    }
    method = all_linear(kind, model)
    deltas = [path for path, module in model.named_modules() if isinstance(module, Delta)]
    if kind not in ("mask", "peft"):  # which have no module of ours below each linear
        assert {path for path in inside if any(delta.startswith(f"{path}.") for delta in deltas)} == inside
    if kind != "peft":  # which has no closed form
        assert count(model)["delta"] == method.closed_form(size)
    if key in WHOLE and kind in ("lora", "vera"):
        assert len([path for path in deltas if path.endswith(f".{kind}")]) == len(inside), "one update of each"


@pytest.mark.parametrize(("kind", "key"), turns.pairs(TARGETED, FUSED))
def test_all_linear_trains_what_is_not_dead_and_merges(kind: str, key: str) -> None:
    toy = FUSED[key]
    model = backbone(toy)
    method = all_linear(kind, model)
    disturb(model)
    before = logits(model, toy)
    model(**batch(toy)).loss.backward()
    still = {path for path, p in model.named_parameters() if p.requires_grad and float(p.grad.abs().max()) < 1e-7}
    assert still == set(method.dead(model))
    try:
        method.merge(model)
    except NotApplicable:
        assert not method.mergeable
        return
    torch.testing.assert_close(logits(model, toy), before, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("key", WHOLE)
def test_rows_that_there_are_not_are_named_with_the_other_targets(key: str) -> None:
    model = backbone(FUSED[key])
    instead = re.escape(f"Take method.targets=[ffn-out,o,{WHOLE[key]}], with the whole of q, k and v")
    with pytest.raises(NotApplicable, match=instead):
        make("lora", targets=["o", "q", "v", "ffn-out"]).attach(model)
    make("lora", targets=["o", WHOLE[key], "ffn-out"]).attach(model)


def test_peft_takes_the_whole_of_rows_with_the_other_targets() -> None:
    pytest.importorskip("peft")
    with pytest.raises(NotApplicable, match=r"Take method\.targets=\[o,c_attn\], with all of it"):
        make("peft", targets=["q", "o"]).attach(backbone(TOYS["gpt2"]))


@pytest.mark.parametrize(
    ("key", "targets"),
    [
        ("gpt-neox", ["query_key_value"]),
        ("gpt-neox", ["query_key_value", "ffn-out", "all-linear"]),
        ("bloom", ["query_key_value", "o"]),
        ("gpt2", ["c_attn", "q"]),
        ("llama-gqa", ["q_proj", "q", "v"]),
        ("llama-gqa", ["model.layers.1.*", "lm_head"]),
        ("t5", ["wo", "encoder.*.q"]),
    ],
)
def test_names_of_modules_have_a_closed_form(key: str, targets: list[str]) -> None:
    model = backbone(TOYS[key])
    size, method = shape(model), make("dora", targets=targets, rank=2)
    method.attach(model)
    assert count(model)["delta"] == method.closed_form(size)


def test_a_budget_counts_names_of_modules() -> None:
    model = backbone(TOYS["gpt-neox"])
    limit = shape(model).parameters // 10
    make("lora", budget=0.1, targets=["query_key_value"]).attach(model)
    rank = count(model)["delta"] // (2 * (16 + 48))
    assert 2 * rank * (16 + 48) <= limit < 2 * (rank + 1) * (16 + 48)


def test_a_budget_for_a_name_that_matches_nothing_says_so() -> None:
    with pytest.raises(UsageError, match=r"method\.targets: 'query_keys' matches no linear layer.*query_key_value"):
        make("lora", budget=0.1, targets=["query_keys"]).attach(backbone(TOYS["gpt-neox"]))


def test_a_reason_names_fields_that_the_method_has() -> None:
    named = [(name, reason) for name, row in matrix().items() for reason in row.values() if "method." in reason]
    assert len(named) > 20
    for name, reason in named:
        own = set(methods.find(name).fields)
        for part in methods.resolve(name, {}).get("parts") or ():  # a part's fields stand in its own words
            own |= set(methods.find(read_part(part)[0]).fields)
        assert set(re.findall(r"method\.(\w+)", reason)) <= own, (name, reason)


@pytest.mark.parametrize(
    ("kind", "fields", "wrong"),
    [
        ("ia3", {"outputs": ["kk"]}, "outputs"),
        ("ia3", {"inputs": ["kk"]}, "inputs"),
        ("dora", {"magnitude_targets": ["kk"]}, "magnitude_targets"),
        ("vera", {"targets": ["kk"]}, "targets"),
    ],
)
def test_a_target_that_matches_nothing_names_its_field(kind: str, fields: dict[str, Any], wrong: str) -> None:
    with pytest.raises(UsageError, match=rf"^method\.{wrong}: 'kk' matches no linear layer"):
        make(kind, **fields).attach(backbone(TOYS["llama-gqa"]))


def _uneven() -> Any:
    sizes = {"encoder_layers": 2, "decoder_layers": 3, "encoder_ffn_dim": 48, "decoder_ffn_dim": 40, "d_model": 16}
    heads = {"encoder_attention_heads": 4, "decoder_attention_heads": 2, "dropout": 0.0, "init_std": 0.2}
    config = hf.BartConfig(**SMALL, **sizes, **heads, max_position_embeddings=80, decoder_start_token_id=1)
    return hf.BartForConditionalGeneration(config)


UNEVEN = Toy(_uneven, "seq2seq")


def test_a_decoder_may_have_other_sizes_than_its_encoder(name: str) -> None:
    model = backbone(UNEVEN)
    size = shape(model)
    fields = {"reparametrize": True} if name == "prefix" else {}
    method = attach(name, model, **fields)
    model(**batch(UNEVEN)).loss.sum()
    try:
        expected = method.closed_form(size)
    except NotApplicable:
        return
    assert count(model)["delta"] == expected


def test_a_prefix_has_the_heads_of_its_stack() -> None:
    model = backbone(UNEVEN)
    method = put("prefix", model, length=3)
    made = {path: module.prefix.keys.shape for path, module in model.named_modules() if hasattr(module, "prefix")}
    assert len(made) == 2 + 2 * 3
    assert {tuple(keys) for path, keys in made.items() if "encoder.layers" in path} == {(4, 3, 4)}
    assert {tuple(keys) for path, keys in made.items() if "decoder" in path} == {(2, 3, 8)}
    model(**batch(UNEVEN)).loss.backward()
    assert all(float(p.grad.abs().max()) > 0 for p in model.parameters() if p.requires_grad)
    assert count(model)["delta"] == method.closed_form(shape(backbone(UNEVEN)))


def test_whole_heads_are_those_of_their_stack() -> None:
    model = backbone(UNEVEN)
    put("s2ft", model, heads=1, channels=0)
    widths = {path.split(".")[1]: len(module.places) for path, module in model.named_modules() if path.endswith("s2ft")}
    assert widths == {"encoder": 4, "decoder": 8}


def test_a_bare_model_has_names_alone() -> None:
    model = hf.LlamaForCausalLM(hf.LlamaConfig(**SMALL, hidden_size=16, num_hidden_layers=1, num_attention_heads=4))
    freeze(model)
    model.config.model_type = "martian"
    assert list(linears(model, ["q_proj"])) == ["model.layers.0.self_attn.q_proj"]
    for role in ("q", "all-linear"):
        told = rf"method\.targets: '{role}' is a role, and .* no row in .*families\.py .*: q_proj, k_proj"
        with pytest.raises(UsageError, match=told):
            linears(model, [role])
    with pytest.raises(UsageError, match="'kk' matches no linear layer"):
        linears(model, ["kk"])
