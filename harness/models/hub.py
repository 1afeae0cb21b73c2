"""Commits and files from the Hugging Face Hub, requested only when a configuration needs them. Torch is not imported.

Every refusal of the Hub becomes one sentence. HF_HUB_OFFLINE=1 is respected: then only the cache is read.
"""

import re
from collections.abc import Sequence
from contextlib import nullcontext
from fnmatch import fnmatch
from functools import cache
from pathlib import Path

from harness import network
from harness.errors import UsageError
from harness.files import plain_files

SITE = "https://huggingface.co"
DESCRIBING = ("*.json", "*.model", "*.txt", "*.py")  # configuration, tokenizer, code that comes with a model
TENSORS = ("*.safetensors", "pytorch_model*.bin")  # the first kind that a repository has
NOT_OURS = ("*/*", "consolidated*")  # other formats of the same weights, and training leftovers, in folders


@cache
def commit(name: str, revision: str | None) -> str:
    """Return the commit of a revision; a full commit is returned as it is, without the network.

    Raises UsageError where the Hub refuses.
    """
    if revision and re.fullmatch(r"[0-9a-f]{40}", revision):
        return revision
    if network.obstacle():
        return _cached_commit(name, revision or "main")
    from huggingface_hub import HfApi

    _quiet()
    try:
        return str(HfApi().model_info(name, revision=revision, timeout=20).sha)
    except Exception as error:  # `refusal` distinguishes the kinds
        raise refusal(name, revision, error) from error


@cache
def download(name: str, revision: str | None, weights: bool) -> Path:
    """Return the folder of a model in the cache, after fetching the missing files, with or without the tensors.

    Raises UsageError where the Hub refuses.
    """
    from huggingface_hub import snapshot_download

    _quiet()
    obstacle = network.obstacle()
    try:
        with network.cache_alone() if obstacle else nullcontext():
            wanted = [*DESCRIBING, *(_tensors(name, revision) if weights else ())]
            folder = snapshot_download(name, revision=revision, allow_patterns=wanted, ignore_patterns=list(NOT_OURS))
    except Exception as error:  # `refusal` distinguishes the kinds
        raise refusal(name, revision, error) from error
    return Path(folder)


def refusal(name: str, revision: str | None, error: Exception) -> UsageError:
    """Return one sentence for an error of huggingface_hub, with the next step."""
    from huggingface_hub import errors

    local = "or give a local copy with model.path=FOLDER"
    at = f" at revision {revision}" if revision else ""
    match error:
        case errors.GatedRepoError():
            text = (
                f"model {name} is gated: accept its licence at {SITE}/{name} and log in with `hf auth login` "
                f"(or set HF_TOKEN), {local}."
            )
        case errors.RevisionNotFoundError():
            text = f"model {name} has no revision {revision}; those it has are listed at {SITE}/{name}/commits/main."
        case errors.RepositoryNotFoundError():
            text = (
                f"there is no model {name} on the Hub, or it is private: check model.location, log in with "
                f"`hf auth login` if it is yours, {local}."
            )
        case errors.HFValidationError():
            text = f"model.location={name}: this is not an id of the Hub (owner/name); correct it, {local}."
        case errors.OfflineModeIsEnabled() | errors.LocalEntryNotFoundError():
            reason = network.obstacle() or "it could not be fetched"
            text = f"model {name}{at} is not whole in the cache, and {reason}. Connect to the network once, {local}."
        case _:
            reason = f"{type(error).__name__}: {error}".splitlines()[0]
            text = (
                f"model {name}{at} could not be read from the Hub ({reason:.200}). Check the network and the id, "
                f"{local}."
            )
    return UsageError(text)


def _cached_commit(name: str, revision: str) -> str:
    """Return the commit of a branch or tag by the cache. Raises UsageError where the cache does not have it."""
    from huggingface_hub import constants, errors
    from huggingface_hub.file_download import repo_folder_name

    path = Path(constants.HF_HUB_CACHE) / repo_folder_name(repo_id=name, repo_type="model") / "refs" / revision
    try:
        return plain_files.read_text(path).strip()
    except OSError as error:
        raise refusal(name, revision, errors.OfflineModeIsEnabled()) from error


def _tensors(name: str, revision: str | None) -> Sequence[str]:
    """Return the file patterns of the first kind of tensors that a repository has.

    Returns all patterns where the Hub does not answer: then the cache decides, or the download reports the reason.
    """
    from huggingface_hub import HfApi

    try:
        there = [file for file in HfApi().list_repo_files(name, revision=revision) if "/" not in file]
    except Exception:  # any kind that `refusal` distinguishes
        return TENSORS
    return next(([kind] for kind in TENSORS if any(fnmatch(file, kind) for file in there)), TENSORS)


def _quiet() -> None:
    """Silence huggingface_hub's warning per retry; one sentence of ours replaces them."""
    from huggingface_hub.utils import logging

    logging.set_verbosity_error()
