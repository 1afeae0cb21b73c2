"""Deltas to and from PEFT's files: adapter_config.json and adapter_model.safetensors. Nothing is ever unpickled.

`write_peft` and `read_peft` know LoRA, DoRA, VeRA, (IA)3 and prompts, whose tensors are the same in both. Targets are
written as full module names, so that PEFT's matching by suffix cannot catch more. A head that trains is among PEFT's
`modules_to_save`. Deltas on rows of a fused linear are written as one on the whole of it (fused_rows.py). PEFT itself
is not needed.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from harness.errors import UsageError
from harness.files import atomic_files, plain_files
from harness.models import tensor_reader
from methods.attachment.delta_state import delta_state, load_delta_state
from methods.backbone.roles import Part, family, heads
from methods.backbone.sizes import shape
from methods.backbone.trainable_parameters import Delta, trainable
from methods.base import Method
from methods.dora import Decomposed
from methods.ia3 import InputScale
from methods.peft import Peft
from methods.peft_files import fused_rows
from methods.peft_files.file_names import CONFIG, PICKLED, TENSORS
from methods.vera import Scaled

PREFIX = "base_model.model."
_LORA = {"A": "lora_A.weight", "B": "lora_B.weight"}
_DORA = {f"direction.{own}": theirs for own, theirs in _LORA.items()} | {"magnitude": "lora_magnitude_vector"}
_LORA_FIELDS = {"rank": "r", "alpha": "lora_alpha", "rslora": "use_rslora", "dropout": "lora_dropout"}
TRAINING = {"lora_dropout", "vera_dropout"}
"""Fields that say how it trained, and nothing of what its tensors mean."""


@dataclass(frozen=True)
class Format:
    """A method's PEFT type, the config fields it has there, and our tensor names below a host -> theirs."""

    peft_type: str
    fields: Mapping[str, str]
    names: Mapping[str, str]


FORMATS = {
    "lora": Format("LORA", _LORA_FIELDS, _LORA),
    "dora": Format("LORA", _LORA_FIELDS, _DORA),
    "vera": Format(
        "VERA",
        {
            "rank": "r",
            "d_initial": "d_initial",
            "projection_seed": "projection_prng_key",
            "dropout": "vera_dropout",
        },
        {"b": "vera_lambda_b", "d": "vera_lambda_d"},
    ),
    "ia3": Format("IA3", {}, {"scale": "ia3_l"}),
    "prompt": Format("PROMPT_TUNING", {"length": "num_virtual_tokens"}, {"embeddings": "prompt_embeddings"}),
}


def write_peft(model: nn.Module, method: Method, folder: Path, base: str | None = None) -> None:
    """Write the trained parameters of `method` in `model` as files that PEFT loads. Raise UsageError where PEFT has no
    counterpart.

    base: the backbone's id on the Hub, for PEFT's `base_model_name_or_path`.
    """
    own = delta_state(model)
    if isinstance(method, Peft):
        made, config = method.state(model)
        tensors = {f"{PREFIX}{name}": tensor for name, tensor in made.items()}
        tensors |= {theirs: own[name] for name, theirs in _full(model).items()}
        config["modules_to_save"] = sorted(heads(model)) or None
    else:
        deltas = _deltas(model, method)
        _check_rows(deltas)
        config = _config(model, method, deltas)
        names = _names(model, method, {path: delta for path, delta in deltas.items() if not _on_rows(delta)})
        tensors = {theirs: _laid_out(model, theirs, own[name]) for name, theirs in names.items()}
        joined = fused_rows.join(method.name, {path: delta for path, delta in deltas.items() if _on_rows(delta)})
        for host, named in joined.items():
            tensors |= {f"{PREFIX}{host}.{FORMATS[method.name].names[name]}": tensor for name, tensor in named.items()}
        if method.name in ("lora", "dora"):
            tensors = fused_rows.of_one_rank(tensors)
            config |= fused_rows.sizes(config, tensors)
    write(folder, tensors, {**config, "inference_mode": True, "base_model_name_or_path": base})


def read_peft(model: nn.Module, method: Method, folder: Path) -> None:
    """Load PEFT's files into `model`, to which `method` is attached. Raise UsageError, with the model unchanged, where
    they do not fit.
    """
    config, deltas = read_config(folder), _deltas(model, method)
    for field, wanted in _config(model, method, deltas).items():
        given = sorted(config[field]) if isinstance(config.get(field), list) else config.get(field)
        if field in _checked(method) and given != wanted:
            raise UsageError(f"{folder / CONFIG}: {field} is {given!r}, this method expects {wanted!r}")
    names = {theirs: own for own, theirs in _names(model, method, deltas).items()}
    own = dict(trainable(model))
    state = {name: p.detach() for name, p in own.items() if name.split(".")[0] in heads(model)}  # unless it is given
    given = _without_backbone(model, folder, _without_projection(model, folder, read_tensors(folder)))
    for theirs, tensor in given.items():
        name = names.get(theirs, theirs)
        state[name] = _ours(name, tensor, own[name], config) if name in own else tensor
    load_delta_state(model, state)


def _ours(name: str, tensor: torch.Tensor, own: torch.Tensor, config: Mapping[str, Any]) -> torch.Tensor:
    """Return the tensor in the shape of our parameter `own`.

    An encoder-decoder's prompt may come with one for the decoder, which PEFT ignores.
    """
    if name.endswith("ia3.scale") and tensor.numel() == own.numel():
        return tensor.view_as(own)
    if name.endswith("prompt.embeddings") and len(tensor) == len(own) * (config.get("num_transformer_submodules") or 1):
        return tensor[: len(own)]
    return tensor


def _checked(method: Method) -> set[str]:
    """Return the config fields that decide what the tensors mean; targets show in their names."""
    return {"peft_type", "use_dora", *FORMATS[method.name].fields.values()} - TRAINING


def _deltas(model: nn.Module, method: Method) -> dict[str, Delta]:
    """Return dotted name -> delta of this method. Raise UsageError where PEFT has no counterpart."""
    if method.name not in FORMATS:
        raise UsageError(f"method {method.name} has no export to PEFT; there is one for {', '.join(FORMATS)}")
    deltas = {
        path: module
        for path, module in model.named_modules()
        if isinstance(module, Delta) and method.name in (module._seat[0], path.rpartition(".")[2])
    }
    if method.name == "prompt" and family(model).prompt_at:
        raise UsageError("PEFT puts a prompt before the first token, this family has it after")
    if method.name == "prompt" and heads(model):
        raise UsageError("PEFT gives a classifier its prompt as embeddings, in which it does not see where a row ends")
    if not deltas:
        raise UsageError(f"method {method.name} is not attached to this model")
    for path, delta in deltas.items():
        if isinstance(delta, Decomposed) and delta.direction is None:
            raise UsageError(f"{path}: PEFT has no DoRA of magnitudes alone")
        if _on_rows(delta) and isinstance(delta, Scaled | InputScale):
            raise UsageError(f"{path}: PEFT has no {method.name} on some rows of a fused linear")
    return deltas


def _on_rows(delta: Delta) -> bool:
    """Return whether the delta sees only some outputs of its host."""
    host = delta._seat[1]
    return isinstance(host, Part) and bool(host.label)


def _host(path: str) -> str:
    """Return the dotted name of the module that a delta is attached to."""
    return path.rpartition(".")[0]


def _check_rows(deltas: Mapping[str, Delta]) -> None:
    """Raise UsageError for DoRA on rows of zeros, which we leave at zero."""
    for path, delta in deltas.items():
        if isinstance(delta, Decomposed):
            lengths = delta.lengths()
            if bool((lengths == 0).any()):
                row = int((lengths == 0).nonzero()[0])
                raise UsageError(f"{path}: row {row} of the weight is zero, and PEFT's DoRA divides by its length")


def _names(model: nn.Module, method: Method, deltas: Mapping[str, Delta]) -> dict[str, str]:
    """Return our name of a trained tensor -> PEFT's."""
    names = FORMATS[method.name].names
    if method.name == "prompt":
        return {f"{path}.{own}": theirs for path in deltas for own, theirs in names.items()}
    return _full(model) | {
        f"{path}.{own}": f"{PREFIX}{_host(path)}.{theirs}" for path in deltas for own, theirs in names.items()
    }


def _full(model: nn.Module) -> dict[str, str]:
    """Return our name of a tensor -> PEFT's, for heads that train in full."""
    return {name: f"{PREFIX}{name}" for name, _ in trainable(model) if name.split(".")[0] in heads(model)}


def _laid_out(model: nn.Module, theirs: str, tensor: torch.Tensor) -> torch.Tensor:
    """Return the tensor in PEFT's shape: (IA)3's vectors are [1, d_in] on an input and [d_out, 1] on an output."""
    if not theirs.endswith(".ia3_l"):
        return tensor
    host = theirs.removeprefix(PREFIX).removesuffix(".ia3_l")
    return tensor[None] if isinstance(model.get_submodule(f"{host}.ia3"), InputScale) else tensor[:, None]


def _config(model: Any, method: Any, deltas: Mapping[str, Delta]) -> dict[str, Any]:
    hosts, form = {_host(path): delta for path, delta in deltas.items()}, FORMATS[method.name]
    config: dict[str, Any] = {"peft_type": form.peft_type, "task_type": None}
    config |= {theirs: getattr(method, own) for own, theirs in form.fields.items()}
    match form.peft_type:
        case "LORA":
            alpha = 2.0 * method.rank if method.alpha is None else method.alpha
            config |= {"lora_alpha": alpha, "use_dora": method.name == "dora", "bias": "none"}
        case "VERA":
            config |= {"save_projection": False, "bias": "none"}
        case "IA3":
            config["feedforward_modules"] = sorted(h for h, delta in hosts.items() if isinstance(delta, InputScale))
        case "PROMPT_TUNING":
            kind = "SEQ_2_SEQ_LM" if model.config.is_encoder_decoder else "CAUSAL_LM"
            return config | {"task_type": kind, "num_transformer_submodules": 1, **_sizes(model, deltas)}
    transposed = any(isinstance(delta._seat[1], Part) and delta._seat[1].transposed for delta in deltas.values())
    saved = sorted(heads(model)) or None
    return config | {"target_modules": sorted(hosts), "modules_to_save": saved, "fan_in_fan_out": transposed}


def _sizes(model: Any, deltas: Mapping[str, Delta]) -> dict[str, int]:
    """Return the sizes of a backbone with a prompt. A token may be narrower than the blocks, as in OPT-350m."""
    prompt: Any = next(iter(deltas.values()))
    return {
        "token_dim": int(prompt.embeddings.shape[1]),
        "num_layers": shape(model).encoder,
        "num_attention_heads": int(getattr(model.config, family(model).sizes["heads"])),
    }


def _without_projection(model: nn.Module, folder: Path, tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return the tensors without VeRA's frozen projection, which PEFT saves by default and both draw from a seed."""
    own = next((module for module in model.modules() if isinstance(module, Scaled)), None)
    remaining = dict(tensors)
    for name, projection in (("vera_A", own.A), ("vera_B", own.B)) if own else ():
        given = next(
            (remaining.pop(key) for key in list(remaining) if key.removeprefix("base_model.").startswith(name)), None
        )
        if given is not None and not (given.shape == projection.shape and torch.allclose(given, projection.cpu())):
            raise UsageError(f"{folder / TENSORS}: {name} is not the projection that its seed draws")
    return remaining


def _without_backbone(model: Any, folder: Path, tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return the tensors without an output layer's frozen weight, which PEFT saves beside its update."""
    remaining = {}
    for theirs, tensor in tensors.items():
        host, marker, name = theirs.removeprefix(PREFIX).rpartition(".base_layer.")
        if not marker:
            remaining[theirs] = tensor
            continue
        own = dict(model.named_modules()).get(host)
        buffer = getattr(own, name, None) if own is not None else None
        if buffer is None or buffer.shape != tensor.shape or not torch.allclose(buffer.cpu().float(), tensor.float()):
            raise UsageError(f"{folder / TENSORS}: it holds a {name} of {host} that is not this backbone's")
    return remaining


def write(folder: Path, tensors: Mapping[str, torch.Tensor], config: Mapping[str, Any]) -> None:
    """Write both files into `folder`, which is created. tensors: by PEFT's names, each in PEFT's shape."""
    copies = {name: tensor.detach().cpu().clone().contiguous() for name, tensor in tensors.items()}  # some share memory
    text = json.dumps(config, indent=2, sort_keys=True, default=_listed)
    folder.mkdir(parents=True, exist_ok=True)
    atomic_files.write_tensors(folder / TENSORS, copies, {"format": "pt", **tensor_reader.header(copies)})
    (folder / CONFIG).write_text(text, encoding="utf-8")


def read_config(folder: Path) -> dict[str, Any]:
    """Return PEFT's configuration. Raise UsageError for a file that is not JSON."""
    try:
        return plain_files.read_json(folder / CONFIG, plain_files.is_hub_link(folder / CONFIG))
    except (OSError, ValueError) as error:
        raise UsageError(f"{folder / CONFIG}: expected PEFT's configuration as JSON ({error})") from error


def read_tensors(folder: Path) -> dict[str, torch.Tensor]:
    """Return the tensors by PEFT's names, each in PEFT's shape. Raise UsageError for a file that is not whole."""
    try:
        return tensor_reader.load(folder / TENSORS, plain_files.is_hub_link(folder / TENSORS))
    except (OSError, ValueError) as error:
        hint = f"; a pickled {PICKLED} is never read" if (folder / PICKLED).exists() else ""
        raise UsageError(f"{folder / TENSORS}: expected a whole safetensors file ({error}){hint}") from error


def _listed(value: Any) -> Any:
    """Return what JSON lacks as what it has: a set as a list, an enumeration as its value."""
    return sorted(value) if isinstance(value, set) else getattr(value, "value", str(value))
