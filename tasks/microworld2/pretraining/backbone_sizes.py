"""The backbones of world 2: architecture and pretraining of each, by model name. Torch-free."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tasks.microworld2.word_ids import ROWS


@dataclass(frozen=True)
class Size:
    """One backbone.

    family: what a step learns, and the transformers class; architecture: that class' configuration.
    stages: stage of the corpus -> steps on it, in this order. learning_rate: the peak of a cosine over `horizon` steps;
    on the last stage the rate falls in a line from where the cosine is to 2 % of the peak.
    dense: stage -> the share of its documents of which much is hidden (step_losses.py).
    repeated: stage -> the share of a batch on it that are lists to look up, as on the stage "look-ups".
    parts: how many parts of like lengths a batch is read in.
    starts_from: the backbone of world 1 whose weights it starts from; "" for random weights.
    """

    family: str
    architecture: Mapping[str, Any]
    stages: Mapping[str, int]
    learning_rate: float
    horizon: int = 16_000
    batch: int = 64
    beta2: float = 0.98
    seed: int = 0
    dense: Mapping[str, float] = field(default_factory=dict)
    repeated: Mapping[str, float] = field(default_factory=dict)
    parts: int = 1
    starts_from: str = ""

    @property
    def steps(self) -> int:
        """Return the steps on all stages."""
        return sum(self.stages.values())


def _t5(d: int, ff: int, layers: int, heads: int, head: int) -> dict[str, Any]:
    return {
        "vocab_size": ROWS, "d_model": d, "d_ff": ff, "num_layers": layers, "num_decoder_layers": layers,
        "num_heads": heads, "d_kv": head, "dropout_rate": 0.0, "feed_forward_proj": "relu",
        "relative_attention_num_buckets": 32, "relative_attention_max_distance": 64,
        "pad_token_id": 0, "eos_token_id": 1, "decoder_start_token_id": 0, "tie_word_embeddings": True,
    }  # fmt: skip


def _roberta(d: int, ff: int, layers: int, heads: int) -> dict[str, Any]:
    return {
        "vocab_size": ROWS, "hidden_size": d, "intermediate_size": ff, "num_hidden_layers": layers,
        "num_attention_heads": heads, "max_position_embeddings": 136, "type_vocab_size": 1, "hidden_dropout_prob": 0.0,
        "attention_probs_dropout_prob": 0.0, "pad_token_id": 0, "bos_token_id": 4, "eos_token_id": 1,
        "tie_word_embeddings": True, "initializer_range": 0.5 * d**-0.5,
    }  # fmt: skip


def _llama(d: int, ff: int, layers: int, heads: int) -> dict[str, Any]:
    return {
        "vocab_size": ROWS, "hidden_size": d, "intermediate_size": ff, "num_hidden_layers": layers,
        "num_attention_heads": heads, "num_key_value_heads": heads, "max_position_embeddings": 256,
        "pad_token_id": 0, "bos_token_id": None, "eos_token_id": 1, "tie_word_embeddings": True,
        "initializer_range": d**-0.5,
    }  # fmt: skip


_FROM_NOTHING = {"echo": 600, "look-ups": 1900, "stories": 6500, "claims": 3000}
_DENSE = {"echo": 0.8, "look-ups": 0.5}
_FROM_WORLD_1 = {"stories": 1000, "claims": 1300}
_LONG = {"echo": 1500, "look-ups": 4000, "stories": 7000, "claims": 3000}
_LISTS = {"stories": 0.125, "claims": 0.125}

SIZES: Mapping[str, Size] = {
    "micro2-t5-nano": Size(
        "t5", _t5(64, 160, 2, 4, 16), _FROM_WORLD_1, 3e-3, horizon=4000, beta2=0.999, starts_from="micro-t5-nano"
    ),
    "micro2-t5-nano-scratch": Size("t5", _t5(64, 160, 2, 4, 16), _LONG, 5e-3, dense=_DENSE, repeated=_LISTS),
    "micro2-roberta-nano": Size(
        "roberta", _roberta(64, 160, 4, 4), _FROM_NOTHING, 3e-3, horizon=12_000, dense=_DENSE, parts=2
    ),
    "micro2-llama-nano": Size("llama", _llama(64, 112, 4, 4), _LONG, 2e-3, repeated=_LISTS, parts=2),
}
