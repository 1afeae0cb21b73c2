"""The location and content of a backbone's files. Torch is not imported.

`revision` identifies the weights: a digest of the files' content, or the Hub's commit. With `weights=random` only the
configuration and the tokenizer count, and the weights may be absent. A model of the Hub whose YAML declares its
architecture then needs no file at all, and reads text with `model.tokenizer` (see `tokenizer_folder`).
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

from harness.config.schema import ModelConfig
from harness.errors import UsageError, near
from harness.files import plain_files
from harness.models import digest, gguf_cache, hub, installed
from harness.models.digest import BYTES, TOKENIZER_FILES
from harness.paths import located
from tasks import registry as tasks

WORLDS = {number: Path(tasks.__file__).parent / name for number, name in ((1, "microworld"), (2, "microworld2"))}
"""The folders of the embedded worlds, by version; each has weights and the tokenizer that they share."""
AUTO = "auto"
DECLARING = ("hub", "package")
"""Sources of models whose YAML may declare the publisher's architecture."""
UNNAMED = "OWNER/NAME"  # the placeholder in the YAML for any model


def resolve(config: ModelConfig) -> ModelConfig:
    """Return the model with source, location and revision resolved. Raises UsageError for a missing folder
    or package.
    """
    settled = with_source(config)
    if AUTO in (settled.family, settled.objective):
        settled = _recognised(settled)
    if bare(settled):
        return replace(settled, revision=digest.of_plan(settled, tokenizer_folder(settled)))
    if settled.source == "hub":
        _refuse_tokenizer(settled)
        return replace(settled, revision=hub.commit(settled.location, settled.revision or None))
    if _known_unread(settled):
        return settled
    files = folder(settled)
    _check_family(settled, files)
    revision = _of_files(settled, files)
    if settled.revision and settled.revision != revision:
        if settled.source == "package":
            raise installed.another(settled, revision)
        raise UsageError(
            f"model.revision={settled.revision}: {files.name} holds revision {revision}, and only the Hub has others. "
            "Leave model.revision out."
        )
    return replace(settled, revision=revision)


def _known_unread(settled: ModelConfig) -> bool:
    """Return whether the YAML declares all that a file holds which is not converted yet, and it is that file.

    Converting takes half a minute, and asking which cells a store has needs no weights.
    """
    file = unconverted(settled) if settled.revision and declared(settled) else None
    if file is None:
        return False
    tokens = tokenizer_folder(settled) if settled.tokenizer else None
    return digest.of_converted(gguf_cache.place(file).name, tokens) == settled.revision


def verify(config: ModelConfig) -> None:
    """Raise UsageError where the files changed since `resolve`. A commit of the Hub cannot change."""
    settled = with_source(config)
    if not config.revision or (settled.source == "hub" and not bare(settled)):
        return
    bare_digest = digest.of_plan(settled, tokenizer_folder(settled)) if bare(settled) else None
    revision = bare_digest or _of_files(settled, folder(settled))
    if revision != config.revision:
        raise UsageError(
            f"model {config.name}: its files have changed since this cell was planned (they were {config.revision} and "
            f"are {revision}). Put the old files back, or plan again: with other files it is another cell."
        )


def _of_files(settled: ModelConfig, files: Path) -> str:
    """Return the digest of a local model's files; of converted weights that of what they were made of."""
    if original := gguf_cache.manifest(files).get("gguf"):
        return digest.of_converted(original, tokenizer_folder(settled) if settled.tokenizer else None)
    return digest.of_files(files, settled.weights, tokenizer_folder(settled), settled.trust_remote_code)


def folder(config: ModelConfig) -> Path:
    """Return the local folder with the model's config.json; download it where the source is the Hub."""
    settled = with_source(config)
    if settled.source == "hub":
        return hub.download(settled.location, settled.revision or None, settled.weights == "pretrained")
    if settled.source == "package":
        return _readable(installed.folder(settled.location) or installed.refuse(settled))
    if settled.source == "embedded":
        return _embedded(settled.location or settled.name)
    return _local(settled)


def _readable(path: Path) -> Path:
    """Return a model's folder, or that of the converted model of a GGUF file."""
    return gguf_cache.folder(path) if gguf_cache.is_gguf(path) else path


def unconverted(config: ModelConfig) -> Path | None:
    """Return the GGUF file that reading this model would convert first; None where nothing has to be converted."""
    settled = with_source(config)
    path = installed.folder(settled.location) if settled.source == "package" else None
    path = located(settled.location) if settled.source == "folder" else path
    if path is None or not gguf_cache.is_gguf(path) or gguf_cache.is_whole(gguf_cache.place(path)):
        return None
    return path


def note(config: ModelConfig) -> dict[str, str]:
    """Return what a record says of the weights beside their revision; {} for weights that are as they were saved."""
    if bare(config) or config.source == "hub":
        return {}
    return gguf_cache.note(folder(config))


def declared(config: ModelConfig) -> bool:
    """Return whether the YAML declares the architecture, so that no file is needed for it."""
    return bool(config.architecture) and config.source in DECLARING and not config.path


def bare(config: ModelConfig) -> bool:
    """Return whether the YAML contains everything: random weights of a declared architecture."""
    return config.weights == "random" and declared(config)


def tokenizer_folder(config: ModelConfig) -> Path | None:
    """Return the folder with the tokenizer's files, or None for text as bytes.

    It is `model.tokenizer`, else the model's own, else the one that the embedded models share. Bytes are also what a
    bare architecture without a tokenizer reads.
    """
    if config.tokenizer:
        return _given_tokenizer(config.tokenizer)
    return None if bare(with_source(config)) else _tokenizer_beside(folder(config))


def _given_tokenizer(value: str) -> Path | None:
    """Return the folder that `model.tokenizer` names; None for bytes. Raises UsageError for a folder without tokenizer
    files.
    """
    if value == BYTES:
        return None
    given = located(value)
    if not any((given / name).is_file() for name in TOKENIZER_FILES):
        raise UsageError(
            f"model.tokenizer={value}: it must be {BYTES}, or a folder with one of {', '.join(TOKENIZER_FILES)}."
        )
    return given


def _refuse_tokenizer(config: ModelConfig) -> None:
    if config.tokenizer:
        raise UsageError(
            f"model.tokenizer={config.tokenizer}: pretrained weights of the Hub come with their own tokenizer. Leave "
            "it out, or take weights=random."
        )


def with_source(config: ModelConfig) -> ModelConfig:
    """Return the model with its actual source: `path` overrides everything, and an absent package the model's Hub id
    replaces.

    A commit of the Hub does not describe a local path, so it is dropped there.
    """
    if config.path:
        known = "" if config.source in DECLARING else config.revision
        return replace(config, source="folder", location=config.path, revision=known)
    if config.source == "package" and config.hub and installed.folder(config.location) is None:
        name, _, commit = config.hub.partition("@")
        return replace(config, source="hub", location=name, revision=commit)
    return config if config.location else replace(config, location=config.name)


def _embedded(name: str) -> Path:
    """Return the folder of an embedded model's weights. Raises UsageError where this copy does not have them."""
    candidates = [path for world in WORLDS.values() for path in (world / "weights").glob("*")]
    folders = {path.name: path for path in candidates if (path / "config.json").is_file()}
    if name in folders:
        return folders[name]
    raise UsageError(
        f"model {name}: its weights are not in this copy.{near(name, folders)} "
        f"Build them with: deltabench pretrain model={name}"
    )


def _local(config: ModelConfig) -> Path:
    """Return the folder of `model.path`, or of what its GGUF file was converted into.

    Raises UsageError unless it holds config.json.
    """
    path = _readable(located(config.location))
    if not path.is_dir():
        raise UsageError(f"model.path={config.location}: there is no such folder, and no such GGUF file.")
    if not (path / "config.json").is_file():
        raise UsageError(f"model.path={config.location}: a model's folder must hold config.json; this one does not.")
    return path


def _recognised(config: ModelConfig) -> ModelConfig:
    """Return a model of which only the location is known with family, objective and name from its config.json."""
    if config.location == UNNAMED:
        raise UsageError(
            "model.location: name a model of the Hub (owner/name), or give a folder with model.path=FOLDER."
        )
    content = plan(folder(replace(config, weights="random")))
    made_for = str((content.get("architectures") or [""])[0])
    objective = "seq2seq" if content.get("is_encoder_decoder") else "causal" if "Causal" in made_for else "classifier"
    if made_for.endswith("LMHeadModel"):
        objective = "causal"
    return replace(
        config,
        name=Path(config.location).name,
        family=str(content["model_type"]) if config.family == AUTO else config.family,
        objective=objective if config.objective == AUTO else config.objective,
    )


def _check_family(config: ModelConfig, files: Path) -> None:
    """Raise UsageError where the YAML's family is not that of the files."""
    family = plan(files)["model_type"]
    if family != config.family:
        raise UsageError(
            f"model.family={config.family}: {files.name}/config.json says {family}. Set model.family={family}."
        )


def plan(files: Path) -> dict[str, Any]:
    """Return the content of config.json. Raises UsageError where it is no JSON object with a model_type."""
    try:
        content = plain_files.read_json(files / "config.json", linked=True)
        if not isinstance(content["model_type"], str) or not isinstance(content.get("architectures") or [], list):
            raise ValueError("its model_type is no text, or its architectures are no list")
        return content
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(f"{files / 'config.json'}: it must be JSON with a model_type ({error}).") from error


def _tokenizer_beside(weights: Path) -> Path:
    """Return the folder of the weights, or the tokenizer folder that all models of a world share."""
    if any((weights / name).is_file() for name in TOKENIZER_FILES):
        return weights
    if (weights / "pretraining.json").is_file():
        world = int(plain_files.read_json(weights / "pretraining.json").get("world") or 1)
        return WORLDS.get(world, WORLDS[1]) / "tokenizer"
    raise UsageError(f"{weights}: it holds no tokenizer; save the model's own there ({', '.join(TOKENIZER_FILES)}).")
