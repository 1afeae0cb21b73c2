"""Which fields of PEFT's adapter_config.json an import accepts, and with which values. Torch-free.

A field that changes what the tensors mean, or what they are added to, is refused by its name unless a method here does
the same. A field that is not known here is refused too, unless it is null, false or empty.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.errors import UsageError, shown
from methods.peft_files.file_names import CONFIG

_NAMES = {"task_type", "peft_type", "auto_mapping", "peft_version", "base_model_name_or_path", "revision"}
_PLACES = {"target_modules", "exclude_modules", "layers_to_transform", "layers_pattern", "feedforward_modules"}
_INERT = _NAMES | _PLACES | {"inference_mode", "fan_in_fan_out", "modules_to_save"}
"""Who made it; places, which show in the tensors' names (heads are told apart there, too); how a weight is laid out."""

INERT: Mapping[str, set[str]] = {
    # settings of starts and of variants that other fields switch on
    "LORA": {
        *("use_dora", "megatron_core", "runtime_config", "qalora_group_size"),
        *("loftq_config", "eva_config", "corda_config", "lora_ga_config"),
    },
    "VERA": {"save_projection", "init_weights"},
    "IA3": {"init_ia3_weights"},
    "PROMPT_TUNING": {
        *("token_dim", "num_transformer_submodules", "num_attention_heads", "num_layers"),
        *("prompt_tuning_init", "prompt_tuning_init_text", "tokenizer_name_or_path", "tokenizer_kwargs"),
    },
}
"""Further fields of a type that do not matter once it is trained."""

STARTS = (True, False, "gaussian", "orthogonal", "eva")
"""LoRA's starts that leave the backbone as it is; the others write their first update into its weights."""


def check(folder: Path, config: Mapping[str, Any], used: set[str]) -> None:
    """Raise UsageError for a field that no method here has. used: the fields that the method itself reads."""
    kind = str(config["peft_type"])
    known = _INERT | INERT[kind] | used
    for field, value in config.items():
        if field in known or _unset(value):
            continue
        if field == "bias" and value == "none":
            continue
        if field == "init_lora_weights":
            if value in STARTS:
                continue
            raise _refused(folder, field, value, "which starts from other backbone weights than this one")
        raise _refused(folder, field, value, "which no method here has")


def _unset(value: Any) -> bool:
    return value is None or value is False or value in ("", [], {})


def _refused(folder: Path, field: str, value: Any, why: str) -> UsageError:
    return UsageError(f"{folder / CONFIG}: {field} is {shown(value, 80)}, {why}")
