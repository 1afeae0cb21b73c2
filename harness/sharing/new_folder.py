"""A folder that is written whole or not at all, for what leaves a store. Torch is not imported.

Half a delta would look like a damaged one, and would stand in the way of the same command when there is room again.
"""

import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from harness import failure
from harness.errors import Halted, UsageError


@contextmanager
def new_folder(folder: Path) -> Iterator[Path]:
    """Yield another folder to write to; its files are those of `folder` when the block succeeds, and are removed
    otherwise.

    Raises UsageError for a folder that is not empty, and Halted where it cannot be written.
    """
    check_free(folder)
    made = [above for above in folder.parents if not above.exists()]
    staging = (folder if folder.exists() else folder.parent) / f".tmp-{uuid.uuid4().hex}-{folder.name}"
    try:
        staging.mkdir(parents=True)
        yield staging
        _move(staging, folder)
    except Exception as error:
        if failure.is_disk_error(error) or isinstance(error, OSError):
            raise _unwritten(folder, error) from error
        raise
    finally:  # after Ctrl-C too nothing is left
        shutil.rmtree(staging, ignore_errors=True)
        for above in made:
            with suppress(OSError):  # it has what was written, or somebody else's files
                above.rmdir()


def check_free(folder: Path) -> None:
    """Raise UsageError unless the folder is absent or empty."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"--to {folder}: this is not an empty folder; name a new one.")


def _move(staging: Path, folder: Path) -> None:
    """Give the staging folder its name; a folder that is there already, with its rights, takes its files instead."""
    if staging.parent != folder:
        os.rename(staging, folder)
        return
    for path in staging.iterdir():
        os.replace(path, folder / path.name)


def _unwritten(folder: Path, error: Exception) -> Halted:
    """Return a sentence that names the place, the reason and the next step."""
    return Halted(
        f"--to {folder}: it cannot be written ({failure.reason(error)}), and nothing is left there. Make room, or name "
        "another place."
    )
