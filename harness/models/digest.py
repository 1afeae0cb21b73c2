"""What a model is by its content: a digest of its files, or of a declared architecture. Torch-free."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

from harness import atomic_files as plain
from harness import headers
from harness.config.schema import ModelConfig

TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "vocab.txt",
    "spiece.model",
    "tokenizer.model",
    "vocab.json",
)
MERGES = "merges.txt"
"""No tokenizer by itself, but with other merges the same vocabulary reads text in another way."""
BYTES = "bytes"
"""The stand-in for a tokenizer (standin.py), which has no files."""
Stamp = tuple[int, int, int, int, int]
Digests = Mapping[tuple[str, Stamp], str]
_digests: dict[tuple[str, Stamp], str] = {}
"""(file, which one it was) -> digest of its content: large weights are read once, and again when they are others."""


def known() -> Digests:
    """The digests that this process has."""
    return dict(_digests)


def learn(digests: Digests) -> None:
    """Take over what another process of ours has read."""
    _digests.update(digests)


def of_files(path: Path, weights: str, tokens: Path | None, code: bool = False) -> str:
    """16 hex digits over the configuration, the tokenizer, (unless random) the weights and the code that is run."""
    files = [path / "config.json", *_tokenizer_files(tokens), *(sorted(path.glob("*.py")) if code else [])]
    if weights == "pretrained":
        files += headers.shards(path)
        headers.shapes(path)
    lines = [f"{file.name} {_content(file)}" for file in files if file.is_file()]
    ends = generation_ends(path)
    return _hash([*lines, *([f"ends {ends}"] if ends not in ([], _ends(path / "config.json")) else [])])


def generation_ends(path: Path) -> list[int]:
    """The tokens that end a generated text, as a model's generation_config.json says; none where it does not say."""
    return _ends(path / "generation_config.json")


def of_plan(config: ModelConfig, tokens: Path | None) -> str:
    """16 hex digits over a declared architecture and the tokenizer that goes with it."""
    plan = json.dumps({"model_type": config.family, **(config.architecture or {})}, sort_keys=True)
    files = [f"{file.name} {_content(file)}" for file in _tokenizer_files(tokens) if file.is_file()]
    return _hash([f"architecture {plan}", *(files or [BYTES])])


def _ends(file: Path) -> list[int]:
    try:
        told = plain.read_json(file, linked=True)["eos_token_id"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return []
    return [token for token in (told if isinstance(told, list) else [told]) if type(token) is int]


def _tokenizer_files(folder: Path | None) -> list[Path]:
    return [folder / name for name in (*TOKENIZER_FILES, MERGES)] if folder else []


def _content(file: Path) -> str:
    place = str(file), _stamp(file)
    if place not in _digests:
        with plain.opened(file, linked=True) as handle:
            digest = hashlib.file_digest(handle, "sha256").hexdigest()
        if _stamp(file) != place[1]:  # written to while it was read
            return digest
        _digests[place] = digest
    return _digests[place]


def _stamp(file: Path) -> Stamp:
    """Another one for every other file of that name, and after every write (ctime, which nobody can set)."""
    about = file.stat()
    return about.st_dev, about.st_ino, about.st_size, about.st_mtime_ns, about.st_ctime_ns


def _hash(lines: list[str]) -> str:
    return hashlib.sha256("".join(f"{line}\n" for line in lines).encode()).hexdigest()[:16]
