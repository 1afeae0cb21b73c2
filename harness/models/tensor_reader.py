"""Tensors of a safetensors file, perhaps from elsewhere: its header is checked before the library maps it."""

from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file

from harness.models import digest


def load(path: Path, linked: bool = False) -> dict[str, torch.Tensor]:
    """Return tensor name -> tensor, in the shapes and types of the file.

    Raises ValueError for a file that `digest.check` refuses, and OSError as `atomic_files.opened` does.
    """
    digest.check(path, linked)
    try:
        return load_file(path)
    except SafetensorError as error:
        raise ValueError(str(error)) from error


def differ(folder: Path, first: str, second: str) -> bool:
    """Return whether a folder's files hold both tensors and they differ; only these two are read."""
    tensors: dict[str, torch.Tensor] = {}
    for path in sorted(folder.glob("*.safetensors")):
        wanted = {first, second} & set(digest.check(path, linked=True))
        if wanted:
            with torch.device("cpu"), safe_open(path, framework="pt") as file:
                tensors |= {name: file.get_tensor(name) for name in wanted}
    return len(tensors) == 2 and not torch.equal(tensors[first], tensors[second])
