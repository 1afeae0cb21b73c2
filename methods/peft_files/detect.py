"""The method that made PEFT's files, found from their configuration and the names of their tensors.

PEFT's `target_modules` are suffixes or a regular expression. What they matched shows in the tensors' names. Those
become roles where they are all of a role's linears, else full module names.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from harness.config.schema import MethodConfig
from harness.errors import NotApplicable, UsageError, shown
from methods import registry as methods
from methods.backbone.roles import has_family, heads, linears
from methods.backbone.targets import LINEAR_ROLES
from methods.peft_files import fields as peft_fields
from methods.peft_files.export import FORMATS, PREFIX, Format, read_config, read_tensors
from methods.peft_files.file_names import CONFIG


def method_of(folder: Path, model: nn.Module) -> MethodConfig:
    """Return the method to attach to `model` before `read_peft`. Raise UsageError where no method here matches."""
    config = read_config(folder)
    name, form = _format(folder, config)
    fields = {own: config[theirs] for own, theirs in form.fields.items() if config.get(theirs) is not None}
    if form.peft_type != "PROMPT_TUNING":
        tensors = read_tensors(folder)
        _check_places(folder, config, model, tensors)
        fields |= _targets(model, name, form, tensors)
    return MethodConfig(name, methods.resolve(name, fields))


def _format(folder: Path, config: Mapping[str, Any]) -> tuple[str, Format]:
    kind = config.get("peft_type")
    forms = {name: form for name, form in FORMATS.items() if form.peft_type == kind}
    if kind == "LORA":
        wanted = "dora" if config.get("use_dora") else "lora"
        forms = {name: form for name, form in forms.items() if name == wanted}
    if not forms:
        known = ", ".join(dict.fromkeys(form.peft_type for form in FORMATS.values()))
        raise UsageError(f"{folder / CONFIG}: peft_type is {kind!r}; deltabench reads {known}")
    name, form = next(iter(forms.items()))
    peft_fields.check(folder, config, set(form.fields.values()))
    return name, form


def _check_places(
    folder: Path, config: Mapping[str, Any], model: nn.Module, tensors: Mapping[str, torch.Tensor]
) -> None:
    """Raise UsageError for tensors at a place where no method here trains anything."""
    saved, trains = config.get("modules_to_save") or [], heads(model)
    for theirs in tensors:
        path = theirs.removeprefix(PREFIX).split(".")
        place = ".".join(path[:-1])
        if {"lora_embedding_A", "lora_embedding_B"} & set(path):
            raise UsageError(
                f"{folder / CONFIG}: target_modules holds the embedding {place}, and no method here puts a low-rank "
                "update on an embedding"
            )
        if path[0] not in trains and set(path) & set(saved):
            raise UsageError(
                f"{folder / CONFIG}: modules_to_save is {shown(saved, 80)}, and {place} is no head that trains here"
            )


def _targets(model: nn.Module, name: str, form: Format, tensors: Mapping[str, torch.Tensor]) -> dict[str, Any]:
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
    return {side: _roles(model, chosen) or None for side, chosen in sides.items()}


def _roles(model: nn.Module, hosts: Iterable[str]) -> list[str]:
    """Return the roles whose linears are exactly `hosts`, else the names themselves."""
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
