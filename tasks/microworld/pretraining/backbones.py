"""The embedded backbones: architecture and pretraining of each, by model name. Torch-free.

Sizes: nano about 0.2M parameters, micro about 1M, mini at most 3M.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

VOCABULARY_ROWS = 896  # the tokenizer's words, rounded up to a multiple of 64


@dataclass(frozen=True)
class Backbone:
    """family: the pretraining objective and the transformers class; the rest is that class' configuration.

    steps and batch are of pretraining; learning_rate is the peak of its cosine schedule. optimizer: adamw, or
    adafactor, whose rate is relative to a tensor's own size (Raffel et al. 2020, 3.1.2): T5's embeddings start a
    hundred times larger than its queries, and at more than nano scale one absolute rate suits not both (at 500 steps
    of micro the loss is 2.2 with adafactor, 2.6 with adamw at either 1e-3 or 3e-3). primer: steps on each stage of
    corpus/primer.py, before those on the corpus, which `steps` counts too. lessons: steps on each stage of
    corpus/lessons.py, after, with a schedule of their own each.
    grown_from: the shipped backbone whose weights it starts from (growth.py).
    """

    family: str
    architecture: Mapping[str, Any]
    steps: int
    batch: int
    learning_rate: float
    optimizer: str = "adamw"
    beta2: float = 0.999
    seed: int = 0
    primer: Mapping[str, int] = field(default_factory=dict)
    lessons: Mapping[str, int] = field(default_factory=dict)
    grown_from: str = ""


def _t5(d: int, ff: int, layers: int, heads: int, head: int) -> dict[str, Any]:
    return {
        "vocab_size": VOCABULARY_ROWS, "d_model": d, "d_ff": ff, "num_layers": layers, "num_decoder_layers": layers,
        "num_heads": heads, "d_kv": head, "dropout_rate": 0.0, "feed_forward_proj": "relu",
        "relative_attention_num_buckets": 32, "relative_attention_max_distance": 64,
        "pad_token_id": 0, "eos_token_id": 1, "decoder_start_token_id": 0, "tie_word_embeddings": True,
    }  # fmt: skip


def _llama(d: int, ff: int, layers: int, heads: int) -> dict[str, Any]:
    return {
        "vocab_size": VOCABULARY_ROWS, "hidden_size": d, "intermediate_size": ff, "num_hidden_layers": layers,
        "num_attention_heads": heads, "num_key_value_heads": heads, "max_position_embeddings": 256,
        "pad_token_id": 0, "bos_token_id": None, "eos_token_id": 1, "tie_word_embeddings": True,
        "initializer_range": d**-0.5,  # logits of attention that differ from the start: 0.02 is for widths of thousands
    }  # fmt: skip


BACKBONES: Mapping[str, Backbone] = {
    "micro-t5-nano": Backbone("t5", _t5(64, 160, 2, 4, 16), steps=12_000, batch=64, learning_rate=5e-3),
    "micro-t5-micro": Backbone(
        "t5", _t5(112, 320, 3, 4, 28), steps=12_000, batch=64, learning_rate=2e-2, optimizer="adafactor"
    ),
    "micro-t5-mini": Backbone(
        "t5",
        _t5(112, 320, 9, 4, 28),
        steps=6000,
        batch=64,
        learning_rate=1e-2,
        optimizer="adafactor",
        grown_from="micro-t5-micro",
    ),
    "micro-llama-nano": Backbone(
        "llama",
        _llama(64, 112, 4, 4),
        steps=14_000,
        batch=64,
        learning_rate=2e-3,
        beta2=0.98,
        primer={"echo": 1500, "recall": 4500},
        lessons={"lessons": 3000},
    ),
    "micro-llama-micro": Backbone(
        "llama",
        _llama(128, 256, 5, 4),
        steps=8000,
        batch=64,
        learning_rate=1.5e-3,
        beta2=0.98,
        primer={"echo": 1000, "recall": 3000},
        lessons={"lessons": 2000, "delayed": 1000},
    ),
    "micro-llama-mini": Backbone(
        "llama",
        _llama(128, 256, 10, 4),
        steps=1500,
        batch=64,
        learning_rate=1e-3,
        beta2=0.98,
        primer={"recall": 300},
        lessons={"delayed": 1500},
        grown_from="micro-llama-micro",
    ),
}
