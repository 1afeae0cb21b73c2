"""Places in a backbone: the modules that play a role, and linears in whatever layout they are stored.

The rows of families are in families.py.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from torch import nn
from transformers.pytorch_utils import Conv1D

from harness.errors import UsageError
from methods.backbone.families import FAMILIES, Family
from methods.backbone.linears import Linear, Part
from methods.backbone.targets import FUSED_ROLES, LINEAR_ROLES, Named
from methods.backbone.trainable_parameters import Delta


def family(model: nn.Module) -> Family:
    """Return the row of `model`. Raise UsageError, with what to add, where there is none."""
    kind = _model_type(model)
    for row in FAMILIES:
        if kind in row.model_types:
            return row
    known = sorted(name for row in FAMILIES for name in row.model_types)
    raise UsageError(
        f"model type {kind!r} has no row in methods/backbone/families.py (it has {', '.join(known)}): add a Family "
        "row, or give method.targets as module-name patterns where the method takes them"
    )


def has_family(model: nn.Module) -> bool:
    """Return whether `model` has a row."""
    return any(_model_type(model) in row.model_types for row in FAMILIES)


def _model_type(model: Any) -> str:
    return str(model.config.model_type)


def find(model: nn.Module, role: str) -> dict[str, nn.Module]:
    """Return dotted name -> module that plays the role, in model order; empty where there is none.

    A normalisation without weights has nothing to train, and is none.
    """
    pattern = family(model).roles.get(role)
    modules = _matching(model, pattern) if pattern else {}
    if role != "norms":
        return modules
    return {name: module for name, module in modules.items() if getattr(module, "weight", None) is not None}


def readers(model: nn.Module) -> dict[int, nn.Module]:
    """Return id of a module -> the module that computes with its weights, for those that never run themselves."""
    if not has_family(model) or not (pattern := family(model).read_by_parent):
        return {}
    return {
        id(module): model.get_submodule(name.rpartition(".")[0]) for name, module in _matching(model, pattern).items()
    }


def after(model: nn.Module, place: str) -> dict[str, nn.Module]:
    """Return dotted name -> module after which a sublayer's adapter goes.

    place: "attention", "cross" or "ffn", or "stream" for the residual stream after the feed-forward.
    """
    pattern = family(model).after.get(place)
    return _matching(model, pattern) if pattern else {}


def before(model: nn.Module, place: str) -> dict[str, nn.Module]:
    """Return dotted name -> module whose input is the sublayer's input, in the order of `after`."""
    pattern = family(model).before.get(place)
    return _matching(model, pattern) if pattern else {}


def depth(name: str) -> int:
    """Return the index of the block that a module's dotted name lies in.

    An encoder and a decoder each count from 0.
    """
    return int(re.findall(r"\.(\d+)(?=\.|$)", name)[0])


def _matching(model: nn.Module, pattern: str) -> dict[str, nn.Module]:
    regex = re.compile(rf"(.*\.)?{pattern}")
    return {name: module for name, module in model.named_modules() if regex.fullmatch(name)}


def linears(model: nn.Module, targets: Iterable[str], field: str = "targets", whole: bool = False) -> dict[str, Linear]:
    """Return dotted name -> linear for each target, in model order.

    A target is a role, `all-linear` for all roles, or a pattern over names such as `*.q_proj`. The rows of a fused
    linear are named after it and their role, e.g. `h.0.attn.c_attn:q`; with `whole`, `all-linear` takes it as one.
    Raise UsageError, which names the method's `field`, for a target that matches nothing. Heads that train in full are
    not searched.
    """
    candidates = _candidates(model)
    return {name: candidates[name] for name in _named(model, candidates).chosen(targets, field, whole)}


def by_role(model: nn.Module, roles: Iterable[str]) -> dict[str, dict[str, Linear]]:
    """Return role -> dotted name -> linear, in model order, of the roles that there are.

    Where q, k and v are one linear and have no rows of their own, it stands once, as "qkv".
    """
    candidates = _candidates(model)
    places = _named(model, candidates).places(roles)
    return {role: {name: candidates[name] for name in candidates if name in names} for role, names in places.items()}


def named(model: nn.Module) -> Named:
    """Return the linears by name, without those of heads that train in full."""
    return _named(model, _candidates(model))


def _named(model: nn.Module, candidates: Mapping[str, Linear]) -> Named:
    sizes = {name: (linear.in_features, linear.out_features) for name, linear in candidates.items()}
    if not has_family(model):
        return Named(sizes)
    row = family(model)
    by_role = {role: tuple(name for name in find(model, role) if name in sizes) for role in LINEAR_ROLES}
    return Named(sizes, {role: names for role, names in by_role.items() if names}, row.name, row.fused, row.experts)


def _candidates(model: nn.Module) -> dict[str, Linear]:
    full, candidates = heads(model), dict[str, Linear]()
    fused = set(find(model, "q")) if has_family(model) and family(model).fused else set()
    for name, module in model.named_modules():
        if not isinstance(module, nn.Linear | Conv1D) or name.split(".")[0] in full:
            continue
        candidates[name] = module if isinstance(module, nn.Linear) else Part(module)
        if name in fused and not is_interleaved(model):
            candidates |= {f"{name}:{part.label}": part for part in _rows(module)}
    return candidates


def is_interleaved(model: Any) -> bool:
    """Return whether q, k and v are one linear, head by head, so that no role has rows of its own."""
    row = family(model)  # gpt_bigcode of many key heads interleaves them, too
    return row.interleaved or (row.fused and getattr(model.config, "multi_query", True) is False)


def _rows(module: nn.Module) -> list[Part]:
    """Return q, k and v of a fused linear: the queries have the model's width, keys and values share the rest."""
    whole = Part(module)
    q = whole.in_features
    k = (whole.out_features - q) // 2
    edges = (0, q, q + k, q + 2 * k)
    return [Part(module, slice(*edges[i : i + 2]), role) for i, role in enumerate(FUSED_ROLES)]


def heads(model: nn.Module) -> set[str]:
    """Return the top-level modules beside the backbone that train: classification heads.

    A delta on such a module is not a head.
    """
    base = getattr(model, "base_model", model)
    if base is model:
        return set()
    added = {id(p) for module in model.modules() if isinstance(module, Delta) for p in module.parameters()}
    children = ((name, child) for name, child in model.named_children() if child is not base)
    return {name for name, child in children if any(p.requires_grad and id(p) not in added for p in child.parameters())}


def find_stack(model: nn.Module, name: str) -> nn.Module | None:
    """Return the backbone's child `name` ("encoder", "decoder"), None where it has none; the backbone itself for ""."""
    base: nn.Module = getattr(model, "base_model", model)
    return getattr(base, name, None) if name else base


def in_decoder(name: str) -> bool:
    """Return whether a module's dotted name lies in a decoder."""
    return "decoder" in name.split(".")


def is_bias(name: str) -> bool:
    """Return whether a parameter is additive, by its name (never T5's relative_attention_bias, a table)."""
    return name.rpartition(".")[2] == "bias"


def dead_key_biases(model: nn.Module) -> dict[str, str]:
    """Return the trainable key biases that softmax cancels: parameter name -> reason.

    There are none where keys are rotated.
    """
    if not has_family(model) or family(model).key_bias_matters or family(model).fused:  # fused: the rest of it lives
        return {}
    reason = "one constant on all keys shifts all scores of a query alike, and softmax forgets it"
    return {
        f"{path}.{name}": reason
        for path, module in find(model, "k").items()
        for name, p in module.named_parameters()
        if is_bias(name) and p.requires_grad
    }
