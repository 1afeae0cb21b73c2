"""A finished cell's delta with its card, to a folder or a repository of the Hub, and back, in one layout.

The files are PEFT's where PEFT has the method, else our own, beside `card.json` and `README.md`. Only these names are
ever read from elsewhere, and nothing is unpickled.
"""

import os
import re
from pathlib import Path
from typing import Any

from harness import failure, paths
from harness.errors import UsageError
from harness.files import atomic_files, plain_files
from harness.models.hub import SITE
from harness.processes import temporary_folders
from harness.sharing import forms, model_card
from harness.sharing.new_folder import check_free, new_folder
from harness.store.store import Store

ALLOWED = (model_card.CARD, model_card.README, *(name for names in forms.FILES.values() for name in names))
_REPO = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}")


def place(text: str) -> Path | str:
    """Return a folder, or `owner/name` on the Hub. Raises UsageError for a text that could be both or is neither."""
    if not text.strip() or "\0" in text:
        raise UsageError(f"{text!r} names no place; give a folder (./NAME), or a repository of the Hub (owner/name).")
    if text.startswith("hf://"):
        if not _REPO.fullmatch(text.removeprefix("hf://")):
            raise UsageError(f"{text}: a repository of the Hub is hf://owner/name.")
        return text.removeprefix("hf://")
    if not _REPO.fullmatch(text):
        return paths.located(text)
    if Path(text).parent.exists():
        raise UsageError(f"{text}: there is a folder {Path(text).parent}/ here: write ./{text} for it, or hf://{text}.")
    return text


def pack(
    store: Store, key: str, checkpoint: str, folder: Path, form: str = "auto", licence: str | None = None
) -> dict[str, Any]:
    """Write files and card into a folder, which is empty or new, and return the card.

    Raises UsageError for a cell without a delta, or in a form that it cannot have.
    """
    from harness.sharing import delta_folder
    from harness.training import finished_model

    cell, record = store.cell(key), store.read(key)
    built = finished_model.finished(store, key, checkpoint)
    assert record is not None, "the cell is finished"
    if form == "auto":
        form = _form(built)
    if form == "peft":
        delta_folder.write_to_peft(built, folder)
    else:
        delta_folder.write(built, folder, {"key": key, "checkpoint": checkpoint})
    card = model_card.make(cell, record, checkpoint, form, licence)
    model_card.write(card, folder)
    return card


def send(store: Store, key: str, checkpoint: str, repo: str, form: str, licence: str | None, public: bool) -> str:
    """Push a delta to the Hub, as a repository that is new or empty; return its address.

    Raises UsageError where the network is forbidden, the repository is not empty, or the Hub refuses.
    """
    from huggingface_hub import HfApi, constants

    if constants.HF_HUB_OFFLINE:
        raise UsageError(f"{repo}: HF_HUB_OFFLINE forbids the network; unset it, or push to a folder (--to ./NAME).")
    with temporary_folders.folder() as place:
        folder = place / "delta"
        card = pack(store, key, checkpoint, folder, form, licence)
        api = HfApi()
        try:
            api.create_repo(repo, private=not public, exist_ok=True)
            existing = set(api.list_repo_files(repo)) - {".gitattributes", model_card.README}
            if existing:
                raise UsageError(f"{repo}: it already has {sorted(existing)[0]}; name a new repository.")
            api.upload_folder(repo_id=repo, folder_path=folder, commit_message=f"deltabench {card['key'][:12]}")
        except UsageError:
            raise
        except Exception as error:  # each refusal of the Hub is another kind
            raise _refused(repo, error) from error
    return f"{SITE}/{repo}"


def fetch(source: Path | str, folder: Path, revision: str | None = None) -> dict[str, Any]:
    """Copy the checked files of a pushed delta into a new folder, and return the card.

    Nothing is left there where the files are not whole. Raises UsageError then.
    """
    check_free(folder)
    files = source if isinstance(source, Path) else _download(source, revision)
    if not files.is_dir():
        raise UsageError(f"{source}: there is no such folder; a repository of the Hub is owner/name.")
    card = check(files)
    with new_folder(folder) as place:
        for name in _there(files, card["form"]):
            _copy(files / name, place / name)
    return card


def _copy(source: Path, target: Path) -> None:
    """Copy one file. Raises UsageError for a source that is no plain file any more."""
    try:
        atomic_files.copy(source, target, linked=plain_files.is_hub_link(source))
    except (OSError, ValueError) as error:
        if failure.is_disk_error(error):
            raise
        raise UsageError(f"{source}: it could not be copied ({error}).") from error


def _there(files: Path, form: str) -> list[str]:
    """Return the names that are copied; the text for people may be absent."""
    wanted = (model_card.CARD, *forms.FILES[form])
    return [*wanted, *([model_card.README] if os.path.lexists(files / model_card.README) else [])]


def check(folder: Path) -> dict[str, Any]:
    """Return the card of a folder whose files are whole. Raises UsageError otherwise."""
    from harness.training.finished_model import tensors
    from methods.attachment.delta_state import check_finite

    card = model_card.read(folder)
    configuration, weights = forms.FILES[card["form"]]
    try:
        plain_files.read_json(folder / configuration, plain_files.is_hub_link(folder / configuration))
    except (OSError, ValueError) as error:
        raise UsageError(f"{folder / configuration}: expected a JSON object ({error})") from error
    state = tensors(folder / weights, "Get it again.")
    try:
        check_finite(state)
    except UsageError as error:
        raise UsageError(f"{folder / weights}: {error}") from error
    if os.path.lexists(readme := folder / model_card.README):
        try:
            plain_files.read_bytes(readme, plain_files.MOST_TEXT, plain_files.is_hub_link(readme))
        except (OSError, ValueError) as error:
            raise UsageError(f"{readme}: expected a plain text file ({error})") from error
    return card


def _form(built: Any) -> str:
    """Return "peft" where PEFT can hold this delta on this backbone, else "deltabench"."""
    from harness.sharing import delta_folder

    with temporary_folders.folder() as place:
        try:
            delta_folder.write_to_peft(built, place / "peft")
        except UsageError:
            return "deltabench"
    return "peft"


def _download(repo: str, revision: str | None) -> Path:
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(repo, revision=revision, allow_patterns=list(ALLOWED)))
    except Exception as error:  # as in send
        raise _refused(repo, error) from error


def _refused(repo: str, error: Exception) -> UsageError:
    """Return one sentence for an error of huggingface_hub, with the next step."""
    from huggingface_hub import errors

    match error:
        case errors.GatedRepoError():
            return UsageError(f"{repo} is gated: ask for access at {SITE}/{repo}, and log in with `hf auth login`.")
        case errors.RevisionNotFoundError():
            return UsageError(f"{repo} has no such revision; those it has are listed at {SITE}/{repo}/commits/main.")
        case errors.RepositoryNotFoundError() | errors.LocalTokenNotFoundError():
            return UsageError(
                f"{repo}: it does not exist or is not yours; check the name, and log in with `hf auth login`."
            )
        case errors.OfflineModeIsEnabled() | errors.LocalEntryNotFoundError():
            return UsageError(f"{repo}: it is not in the cache, and the Hub cannot be reached; check the network.")
    reason = f"{type(error).__name__}: {error}".splitlines()[0]
    return UsageError(f"{repo}: the Hub refuses ({reason:.200}); check the network, or `hf auth login`.")
