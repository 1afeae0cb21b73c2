"""Tensors of a safetensors file, perhaps from elsewhere: its header is checked before the library maps it."""

from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file

from harness.errors import UsageError
from harness.models import digest


def load(path: Path, linked: bool = False) -> dict[str, torch.Tensor]:
    """Return tensor name -> tensor, in the shapes and types of the file.

    Raises ValueError for a file that `digest.check` refuses, and OSError as `plain_files.opened` does.
    """
    digest.check(path, linked)
    try:
        return load_file(path)
    except SafetensorError as error:
        raise ValueError(str(error)) from error


def differ(folder: Path, first: str, second: str) -> bool:
    """Return whether a folder's files hold both tensors and they differ; only these two are read.

    Raises UsageError for a file that is not whole.
    """
    tensors: dict[str, torch.Tensor] = {}
    for path in sorted(folder.glob("*.safetensors")):
        try:
            tensors |= _some(path, {first, second})
        except (OSError, ValueError) as error:
            raise UsageError(f"{path}: this is not a whole safetensors file ({error}). Get it again.") from error
    return len(tensors) == 2 and not torch.equal(tensors[first], tensors[second])


def _some(path: Path, names: set[str]) -> dict[str, torch.Tensor]:
    """Return those of the named tensors that a file holds. Raises ValueError and OSError as `load` does."""
    wanted = names & set(digest.check(path, linked=True))
    if not wanted:
        return {}
    try:
        with torch.device("cpu"), safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in wanted}
    except SafetensorError as error:
        raise ValueError(str(error)) from error
