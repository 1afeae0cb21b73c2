"""Tensors of a safetensors file, perhaps a stranger's: what it says of itself is checked before the library maps it."""

from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file

from harness.models import digest


def load(path: Path, linked: bool = False) -> dict[str, torch.Tensor]:
    """ValueError for a file that is not whole or not read (`headers.check`); OSError as `files.opened`."""
    digest.check(path, linked)
    try:
        return load_file(path)
    except SafetensorError as error:
        raise ValueError(str(error)) from error


def differ(folder: Path, one: str, other: str) -> bool:
    """Whether a folder's files hold both tensors and they are not the same; only these two are read."""
    held: dict[str, torch.Tensor] = {}
    for path in sorted(folder.glob("*.safetensors")):
        wanted = {one, other} & set(digest.check(path, linked=True))
        if wanted:
            with torch.device("cpu"), safe_open(path, framework="pt") as file:
                held |= {name: file.get_tensor(name) for name in wanted}
    return len(held) == 2 and not torch.equal(held[one], held[other])
