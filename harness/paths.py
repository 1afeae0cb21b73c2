"""Folders and files as people name them. Torch is not imported."""

from pathlib import Path

from harness.errors import UsageError


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
