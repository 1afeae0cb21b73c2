"""Folders and files as people name them. Torch is not imported."""

import os
from pathlib import Path

from harness.errors import UsageError

CACHE = "XDG_CACHE_HOME"
"""The environment variable that names the folder of all programs' caches."""


def cached(name: str) -> Path:
    """Return a path in deltabench's folder of the user's cache, for what can be made again."""
    given = os.environ.get(CACHE)
    return (Path(given) if given else Path.home() / ".cache") / "deltabench" / name


def named(text: str) -> Path:
    """Return a path as `located` does.

    Raises UsageError for a text without a name: it would be the current folder.
    """
    if not text.strip() or "\0" in text:
        raise UsageError(f"{text!r} names no place; give a folder (./NAME).")
    return located(text)


def located(text: str) -> Path:
    """Return a path; `~` is the home folder also where a shell left it alone, as in store=~/x.

    Raises UsageError for a user that does not exist.
    """
    try:
        return Path(text).expanduser()
    except RuntimeError as error:
        raise UsageError(
            f"{text}: there is no such home folder. Write ./{text} for a name that starts with ~."
        ) from error
