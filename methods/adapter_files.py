"""PEFT's two files, written and read: adapter_config.json and adapter_model.safetensors. Nothing is ever unpickled."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from harness import atomic_files
from harness.errors import UsageError
from harness.models import tensor_reader as stored

CONFIG, TENSORS = "adapter_config.json", "adapter_model.safetensors"


def write(folder: Path, tensors: Mapping[str, torch.Tensor], config: Mapping[str, Any]) -> None:
    """Both files; `folder` is made."""
    held = {name: tensor.detach().cpu().clone().contiguous() for name, tensor in tensors.items()}  # some share memory
    text = json.dumps(config, indent=2, sort_keys=True, default=_listed)
    folder.mkdir(parents=True, exist_ok=True)
    save_file(held, folder / TENSORS, metadata={"format": "pt"})
    (folder / CONFIG).write_text(text, encoding="utf-8")


def read_config(folder: Path) -> dict[str, Any]:
    try:
        return atomic_files.read_json(folder / CONFIG, atomic_files.of_the_hub(folder / CONFIG))
    except (OSError, ValueError) as error:
        raise UsageError(f"{folder / CONFIG}: expected PEFT's configuration as JSON ({error})") from error


def read_tensors(folder: Path) -> dict[str, torch.Tensor]:
    try:
        return stored.load(folder / TENSORS, atomic_files.of_the_hub(folder / TENSORS))
    except (OSError, ValueError) as error:
        hint = "; a pickled adapter_model.bin is never read" if (folder / "adapter_model.bin").exists() else ""
        raise UsageError(f"{folder / TENSORS}: expected a whole safetensors file ({error}){hint}") from error


def _listed(value: Any) -> Any:
    """What JSON lacks, of a configuration: sets, and enumerations by their value."""
    return sorted(value) if isinstance(value, set) else getattr(value, "value", str(value))
