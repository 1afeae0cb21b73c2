"""What safetensors files say they hold, without reading a tensor. Torch-free.

Format: 8 bytes, the length of the header (little-endian); the header, JSON {name: {dtype, shape, data_offsets}};
the data.
"""

import math
import os
import zipfile
from pathlib import Path
from typing import Any

import psutil

from harness import atomic_files
from harness.errors import UsageError

Shape = tuple[int, ...]
_LONGEST = 100_000_000  # bytes of a header, as the format's own library has it
_LARGE = 2**30  # bytes of a file whose holes are looked for: a download that stopped, or a trap
_SIZES = {"BOOL": 1, "U8": 1, "I8": 1, "I16": 2, "U16": 2, "F16": 2, "BF16": 2, "I32": 4, "U32": 4, "F32": 4}
_SIZES |= {"I64": 8, "U64": 8, "F64": 8}
"""Bytes of a number. Types of 8 bits and less mean nothing without the scales that go with them."""


def shards(folder: Path) -> list[Path]:
    """The files with a model's tensors. UsageError where there are none, or where its index names one that is not
    there (a download that stopped half-way), or where a torch file is cut off.
    """
    found = sorted(folder.glob("*.safetensors")) or sorted(folder.glob("pytorch_model*.bin"))
    if not found:
        raise UsageError(
            f"{folder}: no *.safetensors and no pytorch_model*.bin there. Get them, or use weights=random for the bare "
            "architecture."
        )
    for index in sorted(folder.glob(f"*{found[0].suffix}.index.json")):
        lacking = sorted(_indexed(index) - {path.name for path in found})
        if lacking:
            raise UsageError(f"{folder}: {index.name} names {lacking[0]}, which is not there. Get the model again.")
    for path in found:
        if path.suffix == ".bin" and not zipfile.is_zipfile(path):
            raise UsageError(f"{path}: this is not a whole torch file. Get it again, or convert it to safetensors.")
    return found


def _indexed(index: Path) -> set[str]:
    try:
        return {str(name) for name in atomic_files.read_json(index, linked=True)["weight_map"].values()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UsageError(f"{index}: this is no index of safetensors files ({error}). Get it again.") from error


def shapes(folder: Path) -> dict[str, Shape]:
    """Tensor name -> shape over the folder's *.safetensors. UsageError for a file that is none, or is cut off."""
    return {name: shape for path in sorted(folder.glob("*.safetensors")) for name, shape in _of(path).items()}


def check(path: Path, linked: bool = False) -> dict[str, Shape]:
    """Tensor name -> shape of one safetensors file, which may be a stranger's. ValueError where it is none, where it
    holds what is not read, and where this machine could not hold it; OSError as `files.opened`.
    """
    with atomic_files.opened(path, linked=linked) as file:
        about = os.fstat(file.fileno())
        length = int.from_bytes(file.read(8), "little")
        if length > min(_LONGEST, about.st_size):
            raise ValueError("its first bytes are no length of a header")
        header = atomic_files.parse(file.read(length))
    if not isinstance(header, dict):
        raise ValueError("its header is not a JSON object")
    tensors = {name: entry for name, entry in header.items() if name != "__metadata__"}
    end = 8 + length + max((_end(name, entry) for name, entry in tensors.items()), default=0)
    if about.st_size < end:
        raise ValueError(f"it has {about.st_size:,} bytes of {end:,}")
    if about.st_size > _LARGE and about.st_blocks * 512 < about.st_size // 8:
        raise ValueError(f"of its {about.st_size:,} bytes most were never written")
    if about.st_size > psutil.virtual_memory().total:
        raise ValueError(f"it has {about.st_size:,} bytes, more than this machine's memory")
    return {name: tuple(entry["shape"]) for name, entry in tensors.items()}


def _end(name: str, entry: Any) -> int:
    """Where a tensor's bytes end. ValueError for an entry that does not agree with itself."""
    said: dict[str, Any] = entry if isinstance(entry, dict) else {}
    kind, shape, offsets = (said.get(part, "") for part in ("dtype", "shape", "data_offsets"))
    if not (_counts(shape) and _counts(offsets) and len(offsets) == 2):
        raise ValueError(f"what it says of {name[:80]!r} is no tensor")
    if kind not in _SIZES:
        raise ValueError(f"{name[:80]!r} is of type {str(kind)[:20]}, which is not read: convert it to BF16 or F32")
    if offsets[1] - offsets[0] != math.prod(shape) * _SIZES[kind]:
        raise ValueError(f"the bytes of {name[:80]!r} are not those of its shape")
    return int(offsets[1])


def _counts(value: Any) -> bool:
    return isinstance(value, list) and all(type(one) is int and one >= 0 for one in value)


def _of(path: Path) -> dict[str, Shape]:
    try:
        return check(path, linked=True)
    except (OSError, ValueError) as error:
        raise UsageError(f"{path}: this is not a whole safetensors file ({error}). Get it again.") from error
