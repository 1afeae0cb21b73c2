"""The files of a store one by one: which attempt counts, which files are broken, and which cannot be read.

Torch is not imported.
"""

import errno
import logging
import os
import re
import stat
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from harness.errors import UsageError
from harness.files import atomic_files, plain_files
from harness.store import record
from harness.store.attempt_folder import RECORD, AttemptFolder
from harness.store.record import displaces, summarise

Summary = dict[str, Any]
KEY = re.compile(r"[0-9a-f]{64}")
_NUMBER = re.compile(r"[1-9][0-9]{0,8}")
_log = logging.getLogger("deltabench")


class CellFiles:
    """The files of cells, by key, and of their attempts, by number.

    quarantined, unreadable: the files that are broken or cannot be read, each reported once.
    """

    def __init__(self, path: Path, read_only: bool) -> None:
        self.path, self.read_only = path, read_only
        self._cells = str(path / "cells")
        self.quarantined: list[Path] = []
        self.unreadable: list[Path] = []
        self._check()

    def keys(self) -> Iterator[str]:
        """Yield every key that has a folder."""
        for shard in listing(self.path / "cells"):
            yield from (key for key in listing(self.path / "cells" / shard) if KEY.fullmatch(key))

    def folder(self, key: str) -> Path:
        """Return the folder of one cell. Raises ValueError for a text that is no key: no name may become a path."""
        return Path(self.at(key, ""))

    def at(self, key: str, name: str) -> str:
        """Return the path of a file of a cell as text: a store has many, and building a Path takes as long as reading
        the file.
        """
        if not KEY.fullmatch(key):
            raise ValueError(f"not a key: {key!r}")
        return f"{self._cells}/{key[:2]}/{key}/{name}"

    def attempt(self, key: str, number: int) -> AttemptFolder:
        """Return the folder of one attempt; it need not exist."""
        return AttemptFolder(self.folder(key) / "attempts" / str(number))

    def numbers(self, key: str) -> list[int]:
        """Return the numbers of the attempts that were begun, in order."""
        path = self.at(key, "attempts")
        try:
            if os.path.islink(os.path.dirname(path)):
                raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
            names = _own_names(path)
        except FileNotFoundError:
            return []
        except OSError as error:
            self.unreadable_file(path, error)
            return []
        return sorted(int(name) for name in names if _NUMBER.fullmatch(name))

    def current(self, key: str) -> Summary | None:
        """Return the content of `current`; None where it is absent or broken (then it goes to quarantine)."""
        path = self.at(key, "current")
        try:
            summary = plain_files.read_json(path)
            if record.is_summary(summary):
                return summary
            raise ValueError("it is not the summary of a record")
        except FileNotFoundError:
            return None
        except OSError as error:
            self.unreadable_file(path, error)
        except ValueError as error:
            self.quarantine(key, path, str(error))
        return None

    def later(self, key: str, numbers: list[int], attempt: int) -> bool:
        """Return whether an attempt with a higher number than `attempt` has a record."""
        return any(
            number > attempt and os.path.exists(self.at(key, f"attempts/{number}/{RECORD}")) for number in numbers
        )

    def record(self, key: str, number: int) -> dict[str, Any] | None:
        """Return one attempt's record; None where it is absent or broken (then it goes to quarantine)."""
        path = self.at(key, f"attempts/{number}/{RECORD}")
        try:
            return record.record(plain_files.read_json(path), key, number)
        except FileNotFoundError:
            return None
        except (OSError, record.Newer) as error:
            self.unreadable_file(path, error)
        except ValueError as error:
            self.quarantine(key, path, str(error))
        return None

    def rebuild(self, key: str, numbers: list[int]) -> Summary | None:
        """Rebuild `current` from the attempts' records, and return its content; None without a record.

        The file stays as it is where the store is read-only, and where a file of the cell cannot be read.
        """
        best: Summary | None = None
        for number in numbers:
            record = self.record(key, number)
            if record is not None and (best is None or displaces(record["status"], best["status"])):
                best = summarise(record)
        path = self.folder(key) / "current"
        readable = not any(key in broken.parts for broken in self.unreadable)
        if not self.read_only and readable and best != self.current(key):
            with suppress(OSError):  # a full or write-protected disk can still be read
                atomic_files.write_json(path, best) if best else path.unlink(missing_ok=True)
        return best

    def quarantine(self, key: str, path: Path | str, reason: str) -> None:
        """Move a broken file to the quarantine folder and report it; in a read-only store only report it."""
        path = Path(path)
        name = f"{time.strftime('%Y%m%dT%H%M%S')}-{key[:16]}-{path.parent.name}-{path.name}"
        target = self.path / "quarantine" / f"{name}.{time.time_ns() % 10**9}"
        outcome = "it stays there, because the store cannot be written"
        if not self.read_only:
            with suppress(OSError):
                check_own(target.parent)
                target.parent.mkdir(exist_ok=True)
                os.replace(path, target)
                outcome = f"it was moved to {target}"
        if path not in self.quarantined:
            self.quarantined.append(path)
            _log.warning("quarantine: %s does not parse (%s); %s", path, reason[:120], outcome)

    def damaged_files(self) -> int:
        """Return how many files this process found that are broken or that it cannot read."""
        return len(self.quarantined) + len(self.unreadable)

    def is_damaged(self, key: str) -> bool:
        """Return whether this process found a file of the cell that is broken or that it cannot read."""
        return any(key in path.parts for path in (*self.quarantined, *self.unreadable))

    def damaged_attempts(self, key: str) -> set[int]:
        """Return the attempts that have ended and whose records are broken: in quarantine, or found so by this process
        in a store that is only read.
        """
        name = re.compile(rf"[0-9T]+-{key[:16]}-({_NUMBER.pattern})-{re.escape(RECORD)}\.[0-9]+")
        aside = map(name.fullmatch, listing(self.path / "quarantine"))
        found_now = [path.parent.name for path in self.quarantined if path.name == RECORD and key in path.parts]
        return {int(number) for number in [*(match[1] for match in aside if match), *found_now]}

    def without_record(self, key: str) -> str:
        """Return why no record of the cell counts, where none does."""
        if not self.damaged_attempts(key) & set(self.numbers(key)):
            return "it has no record yet"
        if self.read_only:
            return "its record is damaged; the same command moves it to quarantine and runs it again"
        return "its record was damaged and is in quarantine; the same command runs it again"

    def aside(self) -> int:
        """Return the number of files in quarantine."""
        return len(listing(self.path / "quarantine"))

    def unreadable_file(self, path: Path | str, error: Exception) -> None:
        """Leave a file alone that this process cannot read but that may be intact; report it once."""
        path = Path(path)
        if path not in self.unreadable:
            self.unreadable.append(path)
            _log.warning("%s cannot be read and is left as it is: %s", path, getattr(error, "strerror", None) or error)

    def check_present(self) -> None:
        """Raise UsageError where there is no store yet, for a verb that only reads one: the path may be mistyped."""
        if not (self.path / "cells").is_dir():
            raise UsageError(f"store={self.path}: there is no store yet; `deltabench run` makes it.")

    def _check(self) -> None:
        """Raise UsageError where the path cannot be a store: a file, a foreign folder, or a store of a newer schema."""
        above = next(folder for folder in (self.path, *self.path.absolute().parents) if folder.exists())
        if not above.is_dir():
            raise UsageError(f"store={self.path}: {above} is a file, not a folder.")
        if above != self.path:
            return
        marker = self.path / "store.json"
        try:
            record.upgrade(plain_files.read_json(marker))
        except FileNotFoundError:
            if not (self.path / "cells").is_dir() and listing(self.path):
                raise UsageError(
                    f"store={self.path}: this folder is no store of deltabench; name an empty or a new folder."
                ) from None
        except record.Newer as error:
            raise UsageError(f"store={self.path}: {error}.") from None
        except ValueError as error:
            self.quarantine("store", marker, str(error))


def listing(folder: Path) -> list[str]:
    """Return the names in a folder; [] where it is absent or cannot be read (then it is reported once)."""
    try:
        return sorted(os.listdir(folder))
    except FileNotFoundError:
        return []
    except OSError as error:
        if folder not in _unlisted:
            _unlisted.add(folder)
            _log.warning("%s cannot be read and is left as it is: %s", folder, error.strerror or error)
        return []


_unlisted: set[Path] = set()
"""Folders that could not be read, each reported once."""


def check_own(path: Path) -> None:
    """Raise OSError for a path that exists and is no real folder: writing through a link would write elsewhere."""
    with suppress(FileNotFoundError):
        if not stat.S_ISDIR(path.lstat().st_mode):
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(path))


def _own_names(path: str) -> list[str]:
    """Return the folders in a folder of the store, without links, since a link could lead anywhere."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        with os.scandir(descriptor) as entries:
            return [entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]
    finally:
        os.close(descriptor)
