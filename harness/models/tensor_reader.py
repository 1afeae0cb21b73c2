"""Tensors of a safetensors file, perhaps from elsewhere: its header is checked before the library maps it.

A file that deltabench wrote names the digest of its tensors in its header, so a damaged one is refused. A safetensors
file is whole for its library where its header and its size are.
"""

import hashlib
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file

from harness.errors import UsageError
from harness.models import digest

DIGEST = "deltabench_sha256"
"""The field of a header that holds the digest of the file's tensors."""


def header(tensors: Mapping[str, torch.Tensor]) -> dict[str, str]:
    """Return the header's fields for a file of these tensors, of any shape, by name."""
    return {DIGEST: sha256(tensors)}


def sha256(tensors: Mapping[str, torch.Tensor], text: str = "") -> str:
    """Return the digest of a text and of tensors of any shape, with their names, types and shapes."""
    made = hashlib.sha256(text.encode())
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        made.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        made.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return made.hexdigest()


def load(path: Path, linked: bool = False) -> dict[str, torch.Tensor]:
    """Return tensor name -> tensor, in the shapes and types of the file.

    Raises ValueError for a file that `digest.check` refuses or whose tensors are not those of its header's digest, and
    OSError as `plain_files.opened` does.
    """
    digest.check(path, linked)
    try:
        with safe_open(path, framework="pt") as file:
            written = (file.metadata() or {}).get(DIGEST)
        tensors = load_file(path)
    except SafetensorError as error:
        raise ValueError(str(error)) from error
    if written is not None and written != sha256(tensors):
        raise ValueError("its tensors are not those that were written")
    return tensors


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
