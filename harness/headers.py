"""What safetensors files say they hold, without reading a tensor. Torch-free.

Format: 8 bytes, the length of the header (little-endian); the header, JSON {name: {dtype, shape, data_offsets}};
the data.
"""

import json
import zipfile
from pathlib import Path

from harness.errors import UsageError

Shape = tuple[int, ...]
_LONGEST = 100_000_000  # bytes of a header, as the format's own library has it


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
        return {str(name) for name in json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UsageError(f"{index}: this is no index of safetensors files ({error}). Get it again.") from error


def shapes(folder: Path) -> dict[str, Shape]:
    """Tensor name -> shape over the folder's *.safetensors. UsageError for a file that is none, or is cut off."""
    return {name: shape for path in sorted(folder.glob("*.safetensors")) for name, shape in _of(path).items()}


def _of(path: Path) -> dict[str, Shape]:
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if length > _LONGEST:
                raise ValueError("its first bytes are no length of a header")
            header = json.loads(file.read(length))
        tensors = {name: entry for name, entry in header.items() if name != "__metadata__"}
        end = 8 + length + max((entry["data_offsets"][1] for entry in tensors.values()), default=0)
        if path.stat().st_size < end:
            raise ValueError(f"it has {path.stat().st_size:,} bytes of {end:,}")
        return {name: tuple(entry["shape"]) for name, entry in tensors.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise UsageError(f"{path}: this is not a whole safetensors file ({error}). Get it again.") from error
