"""The digest of a model's content: of its files, or of a declared architecture. Torch is not imported."""

import hashlib
import json
import math
import os
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psutil

from harness.config.schema import ModelConfig
from harness.errors import UsageError
from harness.files import plain_files, strict_json

TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "vocab.txt",
    "spiece.model",
    "tokenizer.model",
    "vocab.json",
)
MERGES = "merges.txt"
"""This file is no tokenizer by itself, but with other merges the same vocabulary splits text differently."""
BYTES = "bytes"
"""The name of the byte tokenizer (models/tokenizer.py), which has no files."""
Stamp = tuple[int, int, int, int, int]
Digests = Mapping[tuple[str, Stamp], str]
_digests: dict[tuple[str, Stamp], str] = {}
"""(file, its stamp) -> digest of its content. Large weights are read once, and again after a change."""


def known() -> Digests:
    """Return the digests that this process has computed."""
    return dict(_digests)


def learn(digests: Digests) -> None:
    """Add digests that another process of ours has computed."""
    _digests.update(digests)


def of_files(path: Path, weights: str, tokens: Path | None, code: bool = False) -> str:
    """Return 16 hex digits over the configuration, the tokenizer, the weights (unless random) and the
    model's own code.
    """
    files = [path / "config.json", *_tokenizer_files(tokens), *(sorted(path.glob("*.py")) if code else [])]
    if weights == "pretrained":
        files += shards(path)
        shapes(path)
    lines = [f"{file.name} {_content(file)}" for file in files if file.is_file()]
    ends = generation_ends(path)
    return _hash([*lines, *([f"ends {ends}"] if ends not in ([], _ends(path / "config.json")) else [])])


def of_file(file: Path) -> str:
    """Return 16 hex digits over one file, which stand for all that is made of it."""
    return _hash([f"gguf {_content(file)}"])


def of_converted(original: str, tokens: Path | None) -> str:
    """Return 16 hex digits for weights that were made of one file with the digest `original`.

    How they are written may change with the library that makes them. What they are does not. tokens: the folder of
    another tokenizer; None for the file's own.
    """
    files = [f"{file.name} {_content(file)}" for file in _tokenizer_files(tokens) if file.is_file()]
    return _hash([original, *files]) if files else original


def generation_ends(path: Path) -> list[int]:
    """Return the tokens that end a generated text, by a model's generation_config.json; [] where it names none."""
    return _ends(path / "generation_config.json")


def of_plan(config: ModelConfig, tokens: Path | None) -> str:
    """Return 16 hex digits over a declared architecture and its tokenizer."""
    plan = json.dumps({"model_type": config.family, **(config.architecture or {})}, sort_keys=True)
    files = [f"{file.name} {_content(file)}" for file in _tokenizer_files(tokens) if file.is_file()]
    return _hash([f"architecture {plan}", *(files or [BYTES])])


def _ends(file: Path) -> list[int]:
    """Return the end tokens that a JSON file names; [] where it is absent or malformed."""
    try:
        tokens = plain_files.read_json(file, linked=True)["eos_token_id"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return []
    return [token for token in (tokens if isinstance(tokens, list) else [tokens]) if type(token) is int]


def _tokenizer_files(folder: Path | None) -> list[Path]:
    return [folder / name for name in (*TOKENIZER_FILES, MERGES)] if folder else []


def _content(file: Path) -> str:
    """Return the sha256 of a file, computed once per stamp."""
    place = str(file), _stamp(file)
    if place not in _digests:
        with plain_files.opened(file, linked=True) as handle:
            digest = hashlib.file_digest(handle, "sha256").hexdigest()
        if _stamp(file) != place[1]:  # the file changed while it was read
            return digest
        _digests[place] = digest
    return _digests[place]


def _stamp(file: Path) -> Stamp:
    """Return a value that differs for every other file of that name, and after every write (ctime cannot be set)."""
    about = file.stat()
    return about.st_dev, about.st_ino, about.st_size, about.st_mtime_ns, about.st_ctime_ns


def _hash(lines: list[str]) -> str:
    return hashlib.sha256("".join(f"{line}\n" for line in lines).encode()).hexdigest()[:16]


Shape = tuple[int, ...]
_LONGEST = 100_000_000  # bytes of a header, the limit of the format's own library
_LARGE = 2**30  # bytes from which a file is checked for holes: an incomplete download, or an attack
_SIZES = {"BOOL": 1, "U8": 1, "I8": 1, "I16": 2, "U16": 2, "F16": 2, "BF16": 2, "I32": 4, "U32": 4, "F32": 4}
"""Bytes of a number. Types of 8 bits and less mean nothing without the scales that go with them."""
_SIZES |= {"I64": 8, "U64": 8, "F64": 8}
"""Bytes of a number. Types of 8 bits and less mean nothing without the scales that go with them."""


def shards(folder: Path) -> list[Path]:
    """Return the files with a model's tensors.

    Raises UsageError where there are none, where its index names a missing one (an incomplete download), or where a
    torch file is cut off.
    """
    files = sorted(folder.glob("*.safetensors")) or sorted(folder.glob("pytorch_model*.bin"))
    if not files:
        raise UsageError(
            f"{folder}: no *.safetensors and no pytorch_model*.bin there. Get them, or use weights=random for the bare "
            "architecture."
        )
    for index in sorted(folder.glob(f"*{files[0].suffix}.index.json")):
        lacking = sorted(_indexed(index) - {path.name for path in files})
        if lacking:
            raise UsageError(f"{folder}: {index.name} names {lacking[0]}, which is not there. Get the model again.")
    for path in files:
        if path.suffix == ".bin" and not zipfile.is_zipfile(path):
            raise UsageError(f"{path}: this is not a whole torch file. Get it again, or convert it to safetensors.")
    return files


def _indexed(index: Path) -> set[str]:
    """Return the file names in an index of safetensors files. Raises UsageError where it is malformed."""
    try:
        return {str(name) for name in plain_files.read_json(index, linked=True)["weight_map"].values()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UsageError(f"{index}: this is no index of safetensors files ({error}). Get it again.") from error


def shapes(folder: Path) -> dict[str, Shape]:
    """Return tensor name -> shape over the folder's *.safetensors. Raises UsageError for a file that is cut off or
    malformed.
    """
    return {name: shape for path in sorted(folder.glob("*.safetensors")) for name, shape in _of(path).items()}


def check(path: Path, linked: bool = False) -> dict[str, Shape]:
    """Return tensor name -> shape of one safetensors file, which may come from elsewhere.

    Raises ValueError where it is malformed, holds a type that is not read, or exceeds this machine's memory. Raises
    OSError as `plain_files.opened` does.
    """
    with plain_files.opened(path, linked=linked) as file:
        about = os.fstat(file.fileno())
        length = int.from_bytes(file.read(8), "little")
        if length > min(_LONGEST, about.st_size):
            raise ValueError("its first bytes are not the length of a header")
        header = strict_json.parse(file.read(length))
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
    """Return the offset at which a tensor's bytes end. Raises ValueError for an inconsistent entry."""
    fields: dict[str, Any] = entry if isinstance(entry, dict) else {}
    kind, shape, offsets = (fields.get(part, "") for part in ("dtype", "shape", "data_offsets"))
    if not (_counts(shape) and _counts(offsets) and len(offsets) == 2):
        raise ValueError(f"its entry for {name[:80]!r} describes no tensor")
    if kind not in _SIZES:
        raise ValueError(f"{name[:80]!r} is of type {str(kind)[:20]}, which is not read: convert it to BF16 or F32")
    if offsets[1] - offsets[0] != math.prod(shape) * _SIZES[kind]:
        raise ValueError(f"the number of bytes of {name[:80]!r} does not match its shape")
    return int(offsets[1])


def _counts(value: Any) -> bool:
    """Return whether a value is a list of whole numbers from 0 up."""
    return isinstance(value, list) and all(type(item) is int and item >= 0 for item in value)


def _of(path: Path) -> dict[str, Shape]:
    try:
        return check(path, linked=True)
    except (OSError, ValueError) as error:
        raise UsageError(f"{path}: this is not a whole safetensors file ({error}). Get it again.") from error
