"""The method that PEFT's files were made with, told from their configuration and the names of their tensors.

PEFT's `target_modules` are suffixes or a regular expression; what they matched shows in the tensors' names, and those
become roles where they are all of a role's linears, else full module names.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

import methods
from harness.config import MethodConfig
from harness.errors import NotApplicable, UsageError
from methods.adapter_files import CONFIG, read_config, read_tensors
from methods.anatomy import LINEAR_ROLES, has_family, linears
from methods.exchange import FORMATS, PREFIX, Format

UNKNOWN = ("rank_pattern", "alpha_pattern", "layer_replication", "trainable_token_indices", "target_parameters")
"""LoRA's fields that change what its tensors mean, and that no method here has."""


def method_of(folder: Path, model: nn.Module) -> MethodConfig:
    """What to attach to `model` before `read_peft`. UsageError for what no method here is."""
    config = read_config(folder)
    name, form = _format(folder, config)
    fields = {own: config[theirs] for own, theirs in form.fields.items() if config.get(theirs) is not None}
    if form.peft_type != "PROMPT_TUNING":
        fields |= _targets(model, name, form, read_tensors(folder))
    return MethodConfig(name, methods.resolve(name, fields))


def _format(folder: Path, config: Mapping[str, Any]) -> tuple[str, Format]:
    kind = config.get("peft_type")
    found = {name: form for name, form in FORMATS.items() if form.peft_type == kind}
    if kind == "LORA":
        wanted = "dora" if config.get("use_dora") else "lora"
        found = {name: form for name, form in found.items() if name == wanted}
    if not found:
        known = ", ".join(dict.fromkeys(form.peft_type for form in FORMATS.values()))
        raise UsageError(f"{folder / CONFIG}: peft_type is {kind!r}; what can be read is {known}")
    strange = [field for field in UNKNOWN if config.get(field)]
    if strange or config.get("bias", "none") != "none":
        field = strange[0] if strange else "bias"
        raise UsageError(f"{folder / CONFIG}: {field} is {config[field]!r}, which no method here has")
    return next(iter(found.items()))


def _targets(model: nn.Module, name: str, form: Format, tensors: Mapping[str, torch.Tensor]) -> dict[str, list[str]]:
    hosts = {
        theirs.removeprefix(PREFIX).removesuffix(f".{ending}"): tensor
        for theirs, tensor in tensors.items()
        for ending in form.names.values()
        if theirs.endswith(f".{ending}")
    }
    if name != "ia3":
        return {"targets": _roles(model, hosts)}
    inputs = [host for host, tensor in hosts.items() if tensor.shape[0] == 1]  # [1, d_in]; on an output [d_out, 1]
    sides = {"inputs": inputs, "outputs": [host for host in hosts if host not in inputs]}
    return {side: _roles(model, chosen) for side, chosen in sides.items()}


def _roles(model: nn.Module, hosts: Iterable[str]) -> list[str]:
    """Roles whose linears are just these, else the names themselves."""
    left, roles = set(hosts), []
    for role in LINEAR_ROLES if has_family(model) else ():
        try:
            own = set(linears(model, [role]))
        except (UsageError, NotApplicable):
            continue
        if own <= set(hosts):
            roles.append(role)
            left -= own
    return sorted(roles if not left else set(hosts))
