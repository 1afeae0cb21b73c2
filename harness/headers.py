"""What safetensors files say they hold, without reading a tensor. Torch-free.

Format: 8 bytes, the length of the header (little-endian); the header, JSON {name: {dtype, shape, data_offsets}};
the data.
"""

import json
from pathlib import Path

from harness.errors import UsageError

Shape = tuple[int, ...]
_LONGEST = 100_000_000  # bytes of a header, as the format's own library has it


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
