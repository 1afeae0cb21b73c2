"""The same weights in PEFT and here give the same logits and the same gradients (fp32, 1e-5)."""

import warnings
from collections.abc import Mapping
from typing import Any

import pytest
import torch
from torch import nn

from methods.backbone.trainable_parameters import trainable
from methods.ia3 import InputScale
from tests.methods.conftest import TOYS, Toy, attach, backbone, batch, disturb

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # optional packages that peft looks for
    peft = pytest.importorskip("peft")

CLOSE = {"rtol": 1e-5, "atol": 1e-5}
TASK = {"seq2seq": "SEQ_2_SEQ_LM", "causal": "CAUSAL_LM", "classifier": "FEATURE_EXTRACTION", "masked": None}
P = 5
PEFT_TOYS = ("t5", "t5-gated", "bert-head", "roberta-masked", "llama-mha", "llama-gqa", "gptj", "opt", "phi")


def reference(toy: Toy, config: Any) -> Any:
    """PEFT's model on the same backbone."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return peft.get_peft_model(backbone(toy), config).eval()


def agree(toy: Toy, ours: Any, theirs: Any, **extra: torch.Tensor) -> None:
    """The same logits; then both run backward from the same random combination of them."""
    inputs = batch(toy)
    mine = ours(**inputs, **extra).logits
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PEFT says that it drops position ids for its prompts
        other = theirs(**inputs).logits
    if toy.kind in ("causal", "masked"):  # PEFT leaves its prompt's positions in
        valid = inputs["attention_mask"].bool()
        mine, other = mine[valid], other[:, -valid.shape[1] :][valid]
    torch.testing.assert_close(mine, other, **CLOSE)
    weights = torch.randn_like(mine)
    for out in (mine, other):
        (out * weights).mean().backward()


def copy(pairs: Mapping[nn.Parameter, nn.Parameter]) -> None:
    """Ours into theirs."""
    for mine, other in pairs.items():
        other.data.copy_(mine.data)


def same_gradients(pairs: Mapping[nn.Parameter, nn.Parameter]) -> None:
    assert pairs
    for mine, other in pairs.items():
        assert float(mine.grad.abs().max()) > 0
        torch.testing.assert_close(mine.grad, other.grad, **CLOSE)


def attached(toy: Toy, name: str, **fields: Any) -> tuple[Any, list[str]]:
    """Our model, disturbed, with a head as frozen as PEFT leaves it; and the hosts of its deltas."""
    ours = backbone(toy)
    for head in toy.heads:
        ours.get_submodule(head).requires_grad_(False)
    attach(name, ours, **fields)
    disturb(ours)
    return ours, [path for path, module in ours.named_modules() if hasattr(module, name)]


def matched(ours: Any, theirs: Any, hosts: list[str], names: Mapping[str, str]) -> dict[nn.Parameter, nn.Parameter]:
    """Our parameter -> theirs, by the name below a host that each has."""
    pairs = {}
    for host in hosts:
        layer = theirs.base_model.model.get_submodule(host)
        for mine, other in names.items():
            pairs[ours.get_parameter(f"{host}.{mine}")] = layer.get_parameter(other)
    return pairs


LOW_RANK = {"A": "lora_A.default.weight", "B": "lora_B.default.weight"}


@pytest.mark.parametrize("rslora", [False, True])
@pytest.mark.parametrize("key", PEFT_TOYS)
def test_lora(key: str, rslora: bool) -> None:
    toy = TOYS[key]
    ours, hosts = attached(toy, "lora", rank=3, alpha=7, rslora=rslora, targets=["q", "v", "ffn-out"])
    config = peft.LoraConfig(r=3, lora_alpha=7, target_modules=hosts, lora_dropout=0.0, use_rslora=rslora)
    theirs = reference(toy, config)
    pairs = matched(ours, theirs, hosts, {f"lora.{mine}": other for mine, other in LOW_RANK.items()})
    copy(pairs)
    agree(toy, ours, theirs)
    same_gradients(pairs)


@pytest.mark.parametrize("key", PEFT_TOYS)
def test_dora(key: str) -> None:
    """PEFT detaches the norm too."""
    toy = TOYS[key]
    ours, hosts = attached(toy, "dora", rank=3, alpha=7, targets=["q", "v", "ffn-out"])
    config = peft.LoraConfig(r=3, lora_alpha=7, target_modules=hosts, lora_dropout=0.0, use_dora=True)
    theirs = reference(toy, config)
    names = {f"dora.direction.{mine}": other for mine, other in LOW_RANK.items()}
    pairs = matched(ours, theirs, hosts, names | {"dora.magnitude": "lora_magnitude_vector.default.weight"})
    copy(pairs)
    agree(toy, ours, theirs)
    same_gradients(pairs)


@pytest.mark.parametrize("key", PEFT_TOYS)
def test_vera(key: str) -> None:
    """A and B are never copied: both draw the same."""
    toy = TOYS[key]
    ours, hosts = attached(toy, "vera", rank=6, d_initial=0.3, projection_seed=5, targets=["q", "v", "ffn-out"])
    config = peft.VeraConfig(r=6, d_initial=0.3, projection_prng_key=5, target_modules=hosts)
    theirs = reference(toy, config)
    pairs = matched(ours, theirs, hosts, {"vera.b": "vera_lambda_b.default", "vera.d": "vera_lambda_d.default"})
    copy(pairs)
    agree(toy, ours, theirs)
    same_gradients(pairs)


@pytest.mark.parametrize("key", PEFT_TOYS)
def test_ia3(key: str) -> None:
    """Its layers are named in full: by suffix PEFT would also take a masked encoder's attention output."""
    toy = TOYS[key]
    ours, hosts = attached(toy, "ia3")
    inner = [host for host in hosts if isinstance(ours.get_submodule(host).ia3, InputScale)]
    config = peft.IA3Config(target_modules=hosts, feedforward_modules=inner)
    theirs = reference(toy, config)
    pairs = matched(ours, theirs, hosts, {"ia3.scale": "ia3_l.default"})
    for mine, other in pairs.items():
        other.data.copy_(mine.data.view_as(other))
    agree(toy, ours, theirs)
    for mine, other in pairs.items():
        torch.testing.assert_close(mine.grad, other.grad.view_as(mine), **CLOSE)


@pytest.mark.parametrize("key", PEFT_TOYS)
def test_layernorm(key: str) -> None:
    toy = TOYS[key]
    ours = backbone(toy)
    for head in toy.heads:
        ours.get_submodule(head).requires_grad_(False)
    attach("layernorm", ours)
    disturb(ours)
    mine = dict(trainable(ours))
    norms = sorted({name.rpartition(".")[0] for name in mine})
    theirs = reference(toy, peft.LNTuningConfig(target_modules=norms))
    within = dict(theirs.base_model.model.named_parameters())
    pairs = {
        p: within[name.replace(own, f"{own}.ln_tuning_layers.default")]
        for name, p in mine.items()
        for own in [name.rpartition(".")[0]]
    }
    copy(pairs)
    agree(toy, ours, theirs)
    same_gradients(pairs)


@pytest.mark.parametrize("key", ["t5", "t5-gated", "llama-mha", "llama-gqa"])
def test_prompt(key: str) -> None:
    toy = TOYS[key]
    ours = backbone(toy)
    attach("prompt", ours, length=P)
    mine = next(p for name, p in ours.named_parameters() if name.endswith("prompt.embeddings"))
    # by default PEFT gives an encoder-decoder two prompts and uses the first
    config = peft.PromptTuningConfig(task_type=TASK[toy.kind], num_virtual_tokens=P, num_transformer_submodules=1)
    theirs = reference(toy, config)
    pairs = {mine: theirs.prompt_encoder["default"].embedding.weight}
    copy(pairs)
    agree(toy, ours, theirs)
    same_gradients(pairs)


PREFIXED = (
    "llama-mha",
    "llama-gqa",
    "gpt2",
    "gpt-bigcode",
    "qwen3",
    "gemma",
    "mixtral",
    "opt",
    "phi",
    "gpt-neox",
    "gemma2",
)


@pytest.mark.parametrize("key", PREFIXED)
def test_prefix(key: str) -> None:
    """PEFT lets the prefix take P positions, so our tokens are told to stand P further on."""
    toy = TOYS[key]
    ours = backbone(toy)
    attach("prefix", ours, length=P)
    disturb(ours, sd=0.5)
    theirs = reference(toy, peft.PrefixTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=P))
    table = theirs.prompt_encoder["default"].embedding.weight
    made = [(module.prefix.keys, module.prefix.values) for module in ours.modules() if hasattr(module, "prefix")]
    table.data.copy_(laid_out([half for pair in made for half in pair]))
    positions = torch.arange(P, P + batch(toy)["input_ids"].shape[1])[None]
    agree(toy, ours, theirs, position_ids=positions)
    gradient = laid_out([half.grad for pair in made for half in pair])
    assert float(gradient.abs().max()) > 0
    torch.testing.assert_close(gradient, table.grad, **CLOSE)


def laid_out(halves: list[torch.Tensor]) -> torch.Tensor:
    """[P, 2 L H K], PEFT's layout, of 2 L tensors [H, P, K]."""
    return torch.stack(halves).permute(2, 0, 1, 3).reshape(P, -1)
