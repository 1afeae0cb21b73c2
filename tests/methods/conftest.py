"""One tiny random backbone per structural class, and the finder of what there is to test."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
from torch import nn
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    LlamaConfig,
    LlamaForCausalLM,
    RobertaConfig,
    RobertaForMaskedLM,
    T5Config,
    T5ForConditionalGeneration,
)

import methods
from harness import assets
from harness.config import MethodConfig
from harness.errors import NotApplicable
from methods.base import Method, freeze, trainable

V, PAD = 60, 1
SMALL = {"vocab_size": V, "pad_token_id": PAD, "bos_token_id": 0, "eos_token_id": 2}
QUIET = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0, "max_position_embeddings": 80}
# weights wide enough that every sublayer matters to the output
SIZES = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 24}
WIDE = SIZES | {"initializer_range": 0.2}


def _t5(activation: str) -> T5ForConditionalGeneration:
    sizes = {"d_model": 16, "d_kv": 6, "d_ff": 24, "num_layers": 2, "num_heads": 4, "dropout_rate": 0.0}
    config = T5Config(**SMALL, **sizes, feed_forward_proj=activation, decoder_start_token_id=PAD)
    return T5ForConditionalGeneration(config)


def _llama(kv_heads: int) -> LlamaForCausalLM:
    return LlamaForCausalLM(LlamaConfig(**SMALL, **WIDE, num_key_value_heads=kv_heads))


@dataclass(frozen=True)
class Toy:
    """kind: how it is called. heads: module names of a head that trains in full."""

    build: Callable[[], Any]
    kind: str
    heads: tuple[str, ...] = field(default=())


TOYS = {
    "t5": Toy(lambda: _t5("relu"), "seq2seq"),
    "t5-gated": Toy(lambda: _t5("gated-gelu"), "seq2seq"),
    "bert-head": Toy(
        lambda: BertForSequenceClassification(BertConfig(**SMALL, **WIDE, **QUIET, num_labels=3)),
        "classifier",
        ("classifier",),
    ),
    "roberta-masked": Toy(lambda: RobertaForMaskedLM(RobertaConfig(**SMALL, **WIDE, **QUIET)), "masked"),
    "llama-mha": Toy(lambda: _llama(4), "causal"),
    "llama-gqa": Toy(lambda: _llama(2), "causal"),
}
NAMES = sorted(path.stem for path in (assets.conf() / "method").glob("*.yaml"))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Every method in conf/method/ and every toy, wherever a test asks for `name` or `toy`."""
    if "name" in metafunc.fixturenames:
        metafunc.parametrize("name", NAMES)
    if "toy" in metafunc.fixturenames:
        metafunc.parametrize("toy", TOYS.values(), ids=TOYS)
    if "generator" in metafunc.fixturenames:
        able = {key: toy for key, toy in TOYS.items() if toy.kind in ("seq2seq", "causal")}
        metafunc.parametrize("generator", able.values(), ids=able)


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


def backbone(toy: Toy, attention: str = "sdpa") -> Any:
    """A frozen backbone in evaluation mode whose head, if any, trains: what the harness hands to a method."""
    torch.manual_seed(1)
    model = toy.build().eval()
    model.set_attn_implementation(attention)
    freeze(model)
    for head in toy.heads:
        model.get_submodule(head).requires_grad_(True)
    return model


def make(name: str, **fields: Any) -> Method:
    return methods.make(MethodConfig(name, methods.resolve(name, fields)))


def attach(name: str, model: nn.Module, seed: int = 2, **fields: Any) -> Method:
    """The method attached; the test is skipped, with the reason, where the pair cannot be."""
    method = make(name, **fields)
    torch.manual_seed(seed)
    try:
        method.attach(model)
    except NotApplicable as reason:
        pytest.skip(str(reason))
    return method


@torch.no_grad()
def disturb(model: nn.Module, sd: float = 0.05) -> None:
    """Move everything that trains, so that no law holds only because deltas start at zero."""
    torch.manual_seed(3)
    for _, p in trainable(model):
        p.add_(torch.randn_like(p), alpha=sd)


def batch(toy: Toy) -> dict[str, torch.Tensor]:
    """Three rows of 9, 6 and 4 tokens, padded on the right, with labels."""
    torch.manual_seed(4)
    ids = torch.randint(3, V, (3, 9))
    mask = torch.ones_like(ids)
    for row, length in enumerate((9, 6, 4)):
        ids[row, length:], mask[row, length:] = PAD, 0
    labels = {
        "seq2seq": torch.randint(3, V, (3, 4)),
        "classifier": torch.tensor([0, 1, 2]),
        "masked": ids.masked_fill(mask == 0, -100),
        "causal": ids.masked_fill(mask == 0, -100),
    }[toy.kind]
    return {"input_ids": ids, "attention_mask": mask, "labels": labels}


def logits(model: Any, toy: Toy) -> torch.Tensor:
    """Outputs at positions that are not padding."""
    inputs = batch(toy)
    with torch.no_grad():
        out = model(**inputs).logits
    return out[inputs["attention_mask"].bool()] if toy.kind in ("masked", "causal") else out
