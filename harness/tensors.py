"""Tensors of a safetensors file, perhaps a stranger's: what it says of itself is checked before the library maps it."""

from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from harness import headers


def load(path: Path, linked: bool = False) -> dict[str, torch.Tensor]:
    """ValueError for a file that is not whole or not read (`headers.check`); OSError as `files.opened`."""
    headers.check(path, linked)
    try:
        return load_file(path)
    except SafetensorError as error:
        raise ValueError(str(error)) from error
