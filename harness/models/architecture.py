"""The architecture of a backbone as transformers' configuration: declared in the model's YAML, or read from
its files.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from transformers import AutoConfig, PreTrainedConfig

from harness.config.schema import ModelConfig
from harness.errors import UsageError, near
from harness.models import weight_files

ROTATION = ("rope_parameters", "rope_theta", "rope_scaling")  # transformers derives the first from the others
COUNTED = re.compile(r"layers?$|heads?$|_size$|^d_|^n_|_dim$|experts?$|blocks?$|^num_")
MOST_LAYERS, MOST = 10_000, 2**31
"""Above these bounds a configuration is broken, or made to exhaust the memory."""
DECODING = ("decoder_start_token_id", "forced_eos_token_id")  # fields of generation, which transformers keeps apart


def declared(config: ModelConfig) -> PreTrainedConfig:
    """Return the architecture without a download where the YAML declares that of a model of the Hub; else as `read`.

    Raises UsageError for a declaration that transformers refuses or a field that it does not know.
    """
    if not weight_files.declared(config):
        return read(config)
    own = config.architecture or {}
    try:
        made = AutoConfig.for_model(config.family, **own)
    except Exception as error:  # each configuration checks its own fields, with errors of its own
        reason = " ".join(str(error).split())
        raise UsageError(
            f"model.architecture: transformers does not take it for {config.family} ({reason:.200})."
        ) from error
    usual = AutoConfig.for_model(config.family)
    known = {*usual.to_dict(), *usual.attribute_map, *ROTATION, *DECODING}
    unknown = sorted(set(own) - known)
    if unknown:
        raise UsageError(f"model.architecture: {config.family} has no field {unknown[0]!r}.{near(unknown[0], known)}")
    return made


def read(config: ModelConfig) -> PreTrainedConfig:
    """Return the architecture from the model's files.

    Raises UsageError where they contradict the YAML's declaration, are malformed, or need code of their own.
    """
    if weight_files.bare(config):
        return _padded(declared(config))
    folder = weight_files.folder(config)
    weight_files.plan(folder)  # transformers would wait for a pipe, and accept any depth
    try:
        settings: PreTrainedConfig = AutoConfig.from_pretrained(folder, trust_remote_code=config.trust_remote_code)
    except Exception as error:  # each configuration checks its own fields, with errors of its own
        reason = " ".join(str(error).split())
        hint = " It comes with code: model.trust_remote_code=true runs it." if "trust_remote_code" in reason else ""
        raise UsageError(
            f"model {config.name}: its config.json does not make a configuration ({reason:.200}).{hint}"
        ) from error
    for name, value in _sizes(settings.to_dict()):
        most = MOST_LAYERS if "layer" in name else MOST
        if not -most <= value <= most:
            raise UsageError(f"model {config.name}: its config.json says {name}={value:.6g}; no model can have that.")
    if settings.model_type != config.family:
        raise UsageError(
            f"model.family={config.family}: config.json of {config.name} says {settings.model_type}. "
            f"Set model.family={settings.model_type}."
        )
    if config.source == "hub" and config.architecture and not config.path:
        _compare(config, declared(config), settings)
    return _padded(settings)


def _padded(settings: PreTrainedConfig) -> PreTrainedConfig:
    """Remove a padding token outside the vocabulary, such as the -1 of early conversions or one that was
    never added.
    """
    pad, size = getattr(settings, "pad_token_id", None), getattr(settings, "vocab_size", None)
    if pad is not None and size is not None and not 0 <= pad < size:
        settings.pad_token_id = None
    return settings


def _sizes(content: Mapping[str, Any]) -> Iterator[tuple[str, int | float]]:
    """Yield the numbers that give the size of a model's part.

    Shares and rates lie between -1 and 1, or have other names.
    """
    for name, value in content.items():
        if isinstance(value, Mapping):
            yield from _sizes(value)
        elif not isinstance(value, bool) and isinstance(value, int | float) and COUNTED.search(name):
            yield name, value


def _compare(config: ModelConfig, declared_settings: Any, read_settings: Any) -> None:
    """Raise UsageError unless a forecast and a run would use the same architecture."""
    for name in (*(config.architecture or ()), ROTATION[0]):
        ours, theirs = getattr(declared_settings, name, None), getattr(read_settings, name, None)
        if ours != theirs:
            raise UsageError(
                f"model {config.name}: {config.location} has {name}={theirs} and the YAML declares {ours}. "
                "Set model.architecture to what the publisher's config.json says."
            )
