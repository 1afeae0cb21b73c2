"""Folders and files as people name them. Torch-free."""

from pathlib import Path

from harness.errors import UsageError


def located(named: str) -> Path:
    """The path; `~` is the home folder wherever a shell left it alone, as in store=~/x. UsageError for no such user."""
    try:
        return Path(named).expanduser()
    except RuntimeError as error:
        raise UsageError(
            f"{named}: there is no such home folder. Write ./{named} for a name that begins so."
        ) from error
