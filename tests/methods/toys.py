"""A tiny random backbone for every structural class there is; some of them stand for all in a usual run."""

from collections.abc import Callable, Collection
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
import torch
import transformers as hf
from torch import nn

V, PAD = 60, 1
SMALL = {"vocab_size": V, "pad_token_id": PAD, "bos_token_id": 0, "eos_token_id": 2}
QUIET = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0, "max_position_embeddings": 80}
# weights wide enough that every sublayer matters to the output
SIZES = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 24}
WIDE = SIZES | {"initializer_range": 0.2}
GROUPED = WIDE | {"num_key_value_heads": 2, "attention_dropout": 0.0}
WIDE_HEADS = GROUPED | {"head_dim": 6}
OLD_GPT = {"n_embd": 16, "n_layer": 2, "n_head": 4, "n_inner": 24, "n_positions": 80, "initializer_range": 0.2}
OLD_GPT |= {"resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0}
BLOOM = {"hidden_size": 16, "n_layer": 2, "n_head": 4, "initializer_range": 0.2}
BLOOM |= {"hidden_dropout": 0.0, "attention_dropout": 0.0}
OPT = {"hidden_size": 16, "word_embed_proj_dim": 16, "num_hidden_layers": 2, "num_attention_heads": 4, "ffn_dim": 24}
OPT |= {"max_position_embeddings": 80, "dropout": 0.0, "init_std": 0.2}
DISTILBERT = {"vocab_size": V, "pad_token_id": PAD, "dim": 16, "hidden_dim": 24, "n_layers": 2, "n_heads": 4}
DISTILBERT |= {"max_position_embeddings": 80, "dropout": 0.0, "attention_dropout": 0.0, "initializer_range": 0.2}
DISTILBERT |= {"seq_classif_dropout": 0.0}

DEBERTA = {"relative_attention": True, "position_buckets": 8, "pos_att_type": ["p2c", "c2p"], "share_att_key": True}
DEBERTA |= {"norm_rel_ebd": "layer_norm", "position_biased_input": False, "num_labels": 3}

MODERNBERT = SIZES | {"initializer_cutoff_factor": 2.0, "initializer_range": 0.2, "max_position_embeddings": 80}
MODERNBERT |= {"cls_token_id": 0, "sep_token_id": 2, "num_labels": 3, "local_attention": 16}

GPT_NEO = {"hidden_size": 16, "num_layers": 2, "num_heads": 4, "intermediate_size": 24, "initializer_range": 0.2}
GPT_NEO |= {"attention_types": [[["global", "local"], 1]], "max_position_embeddings": 80}
GPT_NEO |= {"resid_dropout": 0.0, "embed_dropout": 0.0, "attention_dropout": 0.0}


def _t5(activation: str, tied: bool = True) -> hf.T5ForConditionalGeneration:
    sizes = {"d_model": 16, "d_kv": 6, "d_ff": 24, "num_layers": 2, "num_heads": 4, "dropout_rate": 0.0}
    kind = {"feed_forward_proj": activation, "tie_word_embeddings": tied, "decoder_start_token_id": PAD}
    return hf.T5ForConditionalGeneration(hf.T5Config(**SMALL, **sizes, **kind))


def _bart() -> hf.BartForConditionalGeneration:
    sizes = {f"{stack}_{name}": n for stack in ("encoder", "decoder") for name, n in (("layers", 2), ("ffn_dim", 24))}
    heads = {"encoder_attention_heads": 4, "decoder_attention_heads": 4, "d_model": 16, "dropout": 0.0}
    rest = {"max_position_embeddings": 80, "init_std": 0.2, "decoder_start_token_id": PAD, "forced_eos_token_id": None}
    return hf.BartForConditionalGeneration(hf.BartConfig(**SMALL, **sizes, **heads, **rest, scale_embedding=True))


def _llama(kv_heads: int) -> hf.LlamaForCausalLM:
    return hf.LlamaForCausalLM(hf.LlamaConfig(**SMALL, **WIDE, num_key_value_heads=kv_heads))


@torch.no_grad()
def _with_zero_rows(model: Any) -> Any:
    """Two rows of every linear in the blocks are zero, as some are in the attention output of Llama 3.1."""
    for layer in model.model.layers.modules():
        if isinstance(layer, nn.Linear):
            layer.weight[3:5] = 0.0
    return model


@dataclass(frozen=True)
class Toy:
    """kind: how it is called. heads: names of a head that trains in full. positions: it has a table of them.

    usual: it stands for its class in a usual run; the others are marked slow. attention: the kernels that it has.
    """

    build: Callable[[], Any]
    kind: str
    heads: tuple[str, ...] = field(default=())
    positions: bool = False
    usual: bool = False
    attention: tuple[str, ...] = ("sdpa", "eager")


def _causal(model: Any, config: Any, sizes: Any, **more: Any) -> Toy:
    return Toy(lambda: model(config(**SMALL, **sizes, **more)), "causal")


def _eager(toy: Toy) -> Toy:
    return replace(toy, attention=("eager",))


TOYS = {
    "t5": Toy(lambda: _t5("relu"), "seq2seq", usual=True),
    "t5-gated": Toy(lambda: _t5("gated-gelu", tied=False), "seq2seq"),  # v1.1, Flan: heads wider than d / H too
    "bart": Toy(_bart, "seq2seq"),
    "bert-head": Toy(
        lambda: hf.BertForSequenceClassification(hf.BertConfig(**SMALL, **WIDE, **QUIET, num_labels=3)),
        "classifier",
        ("classifier",),
        usual=True,
    ),
    "roberta-masked": Toy(
        lambda: hf.RobertaForMaskedLM(hf.RobertaConfig(**SMALL, **WIDE, **QUIET)), "masked", usual=True
    ),
    "gpt2": Toy(lambda: hf.GPT2LMHeadModel(hf.GPT2Config(**SMALL, **OLD_GPT)), "causal", positions=True, usual=True),
    "gpt-bigcode": Toy(
        lambda: hf.GPTBigCodeForCausalLM(hf.GPTBigCodeConfig(**SMALL, **OLD_GPT | {"n_head": 2})),
        "causal",
        positions=True,
    ),
    "gptj": _eager(_causal(hf.GPTJForCausalLM, hf.GPTJConfig, OLD_GPT, rotary_dim=4)),
    "gpt-neo": Toy(
        lambda: hf.GPTNeoForCausalLM(hf.GPTNeoConfig(**SMALL, **GPT_NEO)),
        "causal",
        positions=True,
        attention=("eager",),
    ),
    "bloom": _eager(_causal(hf.BloomForCausalLM, hf.BloomConfig, BLOOM)),
    "gpt-neox": _causal(hf.GPTNeoXForCausalLM, hf.GPTNeoXConfig, WIDE),
    "opt": Toy(lambda: hf.OPTForCausalLM(hf.OPTConfig(**SMALL, **OPT)), "causal", positions=True),
    "opt-bare-norms": Toy(
        lambda: hf.OPTForCausalLM(hf.OPTConfig(**SMALL, **OPT, enable_bias=False, layer_norm_elementwise_affine=False)),
        "causal",
        positions=True,
    ),
    "opt-post-norm": Toy(
        lambda: hf.OPTForCausalLM(hf.OPTConfig(**SMALL, **OPT | {"do_layer_norm_before": False})),
        "causal",
        positions=True,
    ),
    "distilbert-head": Toy(
        lambda: hf.DistilBertForSequenceClassification(hf.DistilBertConfig(**DISTILBERT, num_labels=3)),
        "classifier",
        ("pre_classifier", "classifier"),
    ),
    "electra-head": Toy(
        lambda: hf.ElectraForSequenceClassification(
            hf.ElectraConfig(**SMALL, **WIDE, **QUIET, embedding_size=12, num_labels=3)
        ),
        "classifier",
        ("classifier",),
    ),
    "deberta-head": _eager(
        Toy(
            lambda: hf.DebertaV2ForSequenceClassification(hf.DebertaV2Config(**SMALL, **WIDE, **QUIET, **DEBERTA)),
            "classifier",
            ("pooler", "classifier"),
        )
    ),
    "modernbert-head": Toy(
        lambda: hf.ModernBertForSequenceClassification(hf.ModernBertConfig(**SMALL, **MODERNBERT)),
        "classifier",
        ("head", "classifier"),
    ),
    "distilbert-masked": Toy(lambda: hf.DistilBertForMaskedLM(hf.DistilBertConfig(**DISTILBERT)), "masked"),
    "phi": _causal(hf.PhiForCausalLM, hf.PhiConfig, WIDE, resid_pdrop=0.0),
    "gemma2": _eager(_causal(hf.Gemma2ForCausalLM, hf.Gemma2Config, WIDE_HEADS)),
    "llama-mha": Toy(lambda: _llama(4), "causal"),
    "llama-gqa": Toy(lambda: _llama(2), "causal", usual=True),
    "llama-zero-rows": Toy(lambda: _with_zero_rows(_llama(2)), "causal"),
    "mistral": _causal(hf.MistralForCausalLM, hf.MistralConfig, GROUPED),
    "mistral-window": _causal(hf.MistralForCausalLM, hf.MistralConfig, GROUPED, sliding_window=6),
    "qwen2": _causal(hf.Qwen2ForCausalLM, hf.Qwen2Config, GROUPED),
    "qwen3": _causal(hf.Qwen3ForCausalLM, hf.Qwen3Config, WIDE_HEADS),
    "gemma": _causal(hf.GemmaForCausalLM, hf.GemmaConfig, WIDE_HEADS),
    "gemma3": _causal(hf.Gemma3ForCausalLM, hf.Gemma3TextConfig, WIDE_HEADS),
    "gemma3-window": _causal(hf.Gemma3ForCausalLM, hf.Gemma3TextConfig, WIDE_HEADS, sliding_window=6),
    "olmo": _causal(hf.OlmoForCausalLM, hf.OlmoConfig, GROUPED),
    "olmo-clipped": _causal(hf.OlmoForCausalLM, hf.OlmoConfig, GROUPED, clip_qkv=0.5),
    "olmo2": _causal(hf.Olmo2ForCausalLM, hf.Olmo2Config, GROUPED),
    "phi3": _causal(hf.Phi3ForCausalLM, hf.Phi3Config, GROUPED, resid_pdrop=0.0, embd_pdrop=0.0),
    "granite": _causal(hf.GraniteForCausalLM, hf.GraniteConfig, GROUPED, residual_multiplier=0.5, logits_scaling=2.0),
    "smollm3": _causal(hf.SmolLM3ForCausalLM, hf.SmolLM3Config, GROUPED),
    "starcoder2": _causal(hf.Starcoder2ForCausalLM, hf.Starcoder2Config, GROUPED),
    "cohere": _causal(hf.CohereForCausalLM, hf.CohereConfig, GROUPED),
    "mixtral": _causal(hf.MixtralForCausalLM, hf.MixtralConfig, GROUPED, num_local_experts=3),
}


def parameters(
    keep: Callable[[Toy], bool] = lambda _: True, slow: bool = True, usual: Collection[str] | None = None
) -> list[Any]:
    """Toys as pytest parameters. The unusual ones are marked slow, and made only where slow tests are wanted.

    usual: the names of those that are usual; None for the ones that say so.
    """
    names = [key for key, toy in TOYS.items() if toy.usual] if usual is None else usual
    chosen = {key: toy for key, toy in TOYS.items() if keep(toy) and (slow or key in names)}
    return [pytest.param(toy, id=key, marks=() if key in names else (pytest.mark.slow,)) for key, toy in chosen.items()]


def pairs(names: list[str], toys: list[Any], slow: bool) -> list[Any]:
    """Every method with every toy, as pytest parameters. A usual run takes half of the usual toys for each method, by
    turns, so that every toy meets many methods; the other pairs are marked slow.
    """
    usual = [toy for toy in toys if not toy.marks]
    many = max(1, len(usual) // 2)
    made = []
    for place, name in enumerate(names):
        turn = {usual[(place + 2 * step) % len(usual)].id for step in range(many)}
        for toy in toys:
            marks = () if toy.id in turn else (pytest.mark.slow,)
            if slow or not marks:
                made.append(pytest.param(name, *toy.values, id=f"{name}-{toy.id}", marks=marks))
    return made
