"""The same weights in PEFT and here give the same logits and the same gradients (fp32, 1e-5)."""

import warnings
from collections.abc import Mapping
from typing import Any

import pytest
import torch
from torch import nn

from tests.methods.conftest import TOYS, Toy, attach, backbone, batch, disturb

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # optional packages that peft looks for
    peft = pytest.importorskip("peft")

CLOSE = {"rtol": 1e-5, "atol": 1e-5}
TASK = {"seq2seq": "SEQ_2_SEQ_LM", "causal": "CAUSAL_LM", "classifier": "FEATURE_EXTRACTION", "masked": None}
P = 5


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


@pytest.mark.parametrize("key", TOYS)
def test_lora(key: str) -> None:
    toy = TOYS[key]
    ours = backbone(toy)
    for head in toy.heads:
        ours.get_submodule(head).requires_grad_(False)  # PEFT freezes it
    attach("lora", ours, rank=3, alpha=7, targets=["q", "v", "ffn-out"])
    disturb(ours)
    hosts = [path.removesuffix(".lora.A") for path, _ in ours.named_parameters() if path.endswith(".lora.A")]
    config = peft.LoraConfig(r=3, lora_alpha=7, target_modules=hosts, lora_dropout=0.0, bias="none")
    theirs = reference(toy, config)
    pairs = {}
    for host in hosts:
        layer = theirs.base_model.model.get_submodule(host)
        pairs[ours.get_parameter(f"{host}.lora.A")] = layer.lora_A["default"].weight
        pairs[ours.get_parameter(f"{host}.lora.B")] = layer.lora_B["default"].weight
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


@pytest.mark.parametrize("key", ["llama-mha", "llama-gqa"])
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
