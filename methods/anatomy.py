"""Where each model family keeps q, k, v, o, ffn-in, ffn-gate, ffn-out, norms, blocks, embeddings.

A new family is one row of FAMILIES. Patterns are regular expressions for the end of a module's dotted name.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from types import MappingProxyType
from typing import Any

from torch import nn

from harness.errors import UsageError, near

LINEAR_ROLES = ("q", "k", "v", "o", "ffn-in", "ffn-gate", "ffn-out")
_NONE: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True)
class Family:
    """One architecture.

    model_types: `config.model_type` of its members.
    roles: role -> pattern. `attention` modules call transformers' attention interface; `blocks` are layers.
    after: "attention", "cross", "ffn" -> the module whose output is the sublayer's, just before the residual
    sum.
    stack: the module that takes the input embeddings ("" is the backbone itself).
    prompt_at: where soft prompts go: 0 before the first token, 1 after it (a masked encoder's [CLS] stays
    first).
    rotary: keys are rotated by position after the projection, so their bias matters.
    sizes: name in `Shape` -> attribute of the config.
    """

    name: str
    model_types: tuple[str, ...]
    roles: Mapping[str, str]
    after: Mapping[str, str]
    sizes: Mapping[str, str]
    stack: str = ""
    prompt_at: int = 0
    rotary: bool = False


_T5 = Family(
    name="t5",
    model_types=("t5", "mt5"),
    roles={
        "q": r"(SelfAttention|EncDecAttention)\.q",
        "k": r"(SelfAttention|EncDecAttention)\.k",
        "v": r"(SelfAttention|EncDecAttention)\.v",
        "o": r"(SelfAttention|EncDecAttention)\.o",
        "ffn-in": r"DenseReluDense\.(wi|wi_1)",  # gated: wi_0 goes through the activation, wi_1 does not
        "ffn-gate": r"DenseReluDense\.wi_0",
        "ffn-out": r"DenseReluDense\.wo",
        "norms": r"(layer\.\d+\.layer_norm|final_layer_norm)",
        "attention": r"(SelfAttention|EncDecAttention)",
        "blocks": r"block\.\d+",
    },
    after={
        "attention": r"block\.\d+\.layer\.0\.dropout",
        "cross": r"decoder\.block\.\d+\.layer\.1\.dropout",
        "ffn": r"(encoder\.block\.\d+\.layer\.1|decoder\.block\.\d+\.layer\.2)\.dropout",
    },
    sizes={
        "width": "d_model",
        "ffn": "d_ff",
        "heads": "num_heads",
        "head_width": "d_kv",
        "encoder": "num_layers",
    },
    stack="encoder",
)

_BERT = Family(
    name="bert",
    model_types=("bert", "roberta", "xlm-roberta", "camembert"),
    roles={
        "q": r"attention\.self\.query",
        "k": r"attention\.self\.key",
        "v": r"attention\.self\.value",
        "o": r"attention\.output\.dense",
        "ffn-in": r"intermediate\.dense",
        "ffn-out": r"layer\.\d+\.output\.dense",
        "norms": r"(embeddings|attention\.output|layer\.\d+\.output)\.LayerNorm",
        "attention": r"attention\.self",
        "blocks": r"encoder\.layer\.\d+",
    },
    after={"attention": r"attention\.output\.dropout", "ffn": r"layer\.\d+\.output\.dropout"},
    sizes={
        "width": "hidden_size",
        "ffn": "intermediate_size",
        "heads": "num_attention_heads",
        "encoder": "num_hidden_layers",
    },
    prompt_at=1,
)

_LLAMA = Family(
    name="llama",
    model_types=("llama", "mistral"),
    roles={
        "q": r"self_attn\.q_proj",
        "k": r"self_attn\.k_proj",
        "v": r"self_attn\.v_proj",
        "o": r"self_attn\.o_proj",
        "ffn-in": r"mlp\.up_proj",
        "ffn-gate": r"mlp\.gate_proj",
        "ffn-out": r"mlp\.down_proj",
        "norms": r"(input_layernorm|post_attention_layernorm|norm)",
        "attention": r"self_attn",
        "blocks": r"layers\.\d+",
    },
    after={"attention": r"self_attn\.o_proj", "ffn": r"mlp\.down_proj"},
    sizes={
        "width": "hidden_size",
        "ffn": "intermediate_size",
        "heads": "num_attention_heads",
        "kv_heads": "num_key_value_heads",
        "head_width": "head_dim",
        "encoder": "num_hidden_layers",
    },
    rotary=True,
)

FAMILIES = (_T5, _BERT, _LLAMA)


def family(model: nn.Module) -> Family:
    """The row of `model`. UsageError naming what to add when there is none."""
    kind = _model_type(model)
    for row in FAMILIES:
        if kind in row.model_types:
            return row
    known = sorted(name for row in FAMILIES for name in row.model_types)
    raise UsageError(
        f"model type {kind!r} has no row in methods/anatomy.py (it has {', '.join(known)}): add a Family "
        "row, or give method.targets as module-name patterns where the method takes them"
    )


def has_family(model: nn.Module) -> bool:
    return any(_model_type(model) in row.model_types for row in FAMILIES)


def _model_type(model: Any) -> str:
    return str(model.config.model_type)


def find(model: nn.Module, role: str) -> dict[str, nn.Module]:
    """dotted name -> module of everything that plays a role, in model order; empty where there is none."""
    return _matching(model, family(model).roles[role])


def after(model: nn.Module, place: str) -> dict[str, nn.Module]:
    """dotted name -> module after which a sublayer's adapter goes; place: "attention", "cross" or "ffn"."""
    pattern = family(model).after.get(place)
    return _matching(model, pattern) if pattern else {}


def _matching(model: nn.Module, pattern: str) -> dict[str, nn.Module]:
    regex = re.compile(rf"(.*\.)?{pattern}")
    return {name: module for name, module in model.named_modules() if regex.fullmatch(name)}


def linears(model: nn.Module, targets: Iterable[str]) -> dict[str, nn.Linear]:
    """dotted name -> linear for each target (a role, or a pattern over names such as `*.q_proj`), in model
    order.

    UsageError for a target that matches nothing. Heads that train in full are not searched.
    """
    full = heads(model)
    candidates = {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear) and name.split(".")[0] not in full
    }
    chosen: set[str] = set()
    for target in targets:
        chosen |= _chosen(model, target, candidates)
    return {name: module for name, module in candidates.items() if name in chosen}


def _chosen(model: nn.Module, target: str, candidates: Mapping[str, nn.Linear]) -> set[str]:
    roles = family(model).roles if has_family(model) else _NONE
    if target in LINEAR_ROLES and target in roles:
        matches = set(find(model, target)) & set(candidates)
    else:
        matches = {name for name in candidates if fnmatchcase(name, target) or fnmatchcase(name, f"*.{target}")}
    if not matches:
        present = {role for role in LINEAR_ROLES if role in roles and find(model, role)}
        known = present | {name.rsplit(".", 1)[-1] for name in candidates}
        raise UsageError(f"method.targets: {target!r} matches no linear layer of this model.{near(target, known)}")
    return matches


def heads(model: nn.Module) -> set[str]:
    """Top-level modules beside the backbone that already train: classification heads."""
    base = getattr(model, "base_model", model)
    if base is model:
        return set()
    children = ((name, child) for name, child in model.named_children() if child is not base)
    return {name for name, child in children if any(p.requires_grad for p in child.parameters())}


def find_stack(model: nn.Module, name: str) -> nn.Module | None:
    """The backbone's child `name` ("encoder", "decoder"), the backbone itself for "", None where it has
    none.
    """
    base: nn.Module = getattr(model, "base_model", model)
    return getattr(base, name, None) if name else base


def is_bias(name: str) -> bool:
    """Whether a parameter's name says that it is additive (never T5's relative_attention_bias, a table)."""
    return name.rpartition(".")[2] == "bias"


def dead_key_biases(model: nn.Module) -> dict[str, str]:
    """Trainable key biases that softmax cancels: parameter name -> reason. None where keys are rotated."""
    if not has_family(model) or family(model).rotary:
        return {}
    reason = "one constant on all keys shifts all scores of a query alike, and softmax forgets it"
    return {
        f"{path}.{name}": reason
        for path, module in find(model, "k").items()
        for name, p in module.named_parameters()
        if is_bias(name) and p.requires_grad
    }
