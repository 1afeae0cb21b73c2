"""The store: cells, attempts, records and which of them counts. Torch-free.

store/store.json                          what this folder is
store/cells/<k[:2]>/<key>/cell.json       the cell
                          current         which attempt counts, with its summary: derived, rebuilt when lost
                          attempts/<n>/   record.json, curve.jsonl, predictions.jsonl.gz, delta-*.safetensors, log.txt
store/leases/                             who runs what now (lease.py)
store/quarantine/                         files that did not parse: moved here, never deleted

Opening and reading a store writes nothing, except that a broken file is moved to quarantine.
"""

import gzip
import json
import logging
import os
import re
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from harness import cell as cells
from harness import files, lease
from harness.attempt import CURVE, RECORD, AttemptFolder
from harness.config import Cell
from harness.errors import UsageError
from harness.record import FINAL, SCHEMA, STATUSES, displaces, fits, summarise

__all__ = ["FINAL", "SCHEMA", "STATUSES", "AttemptFolder", "Store", "summarise"]

_KEY = re.compile(r"[0-9a-f]{64}")
_log = logging.getLogger("deltabench")


class Store:
    """A folder of records. Nothing is created before the first cell is registered."""

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self.leases = self.path / "leases"
        self.quarantined: list[Path] = []
        self._check()

    def keys(self) -> Iterator[str]:
        """Every key that has a folder."""
        for shard in _listing(self.path / "cells"):
            yield from (key for key in _listing(self.path / "cells" / shard) if _KEY.fullmatch(key))

    def find(self, prefix: str) -> str:
        """The one key that starts with `prefix` (at least four digits)."""
        if not re.fullmatch(r"[0-9a-f]{4,64}", prefix):
            raise UsageError(f"{prefix!r} is not a key: give its first digits, at least four of 0-9 and a-f.")
        found = [key for key in _listing(self.path / "cells" / prefix[:2]) if key.startswith(prefix)]
        if len(found) != 1:
            told = f"{len(found)} cells start" if found else "no cell starts"
            raise UsageError(f"{told} with {prefix} in the store {self.path}; `deltabench status` shows what is there.")
        return found[0]

    def status(self, key: str) -> str:
        """One of STATUSES, or running, or missing."""
        if self.is_running(key):
            return "running"
        summary = self.summary(key)
        if summary is not None:
            return str(summary["status"])
        return "interrupted" if self._numbers(key) else "missing"

    def is_running(self, key: str) -> bool:
        return lease.running(self.leases, key)

    def running_keys(self) -> set[str]:
        """Every key that somebody alive holds."""
        return {key for key in lease.keys(self.leases) if self.is_running(key)}

    def summary(self, key: str) -> dict[str, Any] | None:
        """The short form of the attempt that counts: attempt, status, fingerprint, names, seconds."""
        try:
            summary = files.read_json(self.folder(key) / "current")
            if summary["status"] in STATUSES and int(summary["attempt"]) > 0:
                return summary
        except FileNotFoundError:
            if not self._numbers(key):
                return None
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            self._quarantine(key, self.folder(key) / "current")
        return self._rebuild(key)

    def read(self, key: str) -> dict[str, Any] | None:
        """The record that counts, or None."""
        summary = self.summary(key)
        if summary is None:
            return None
        record = self._record(key, int(summary["attempt"]))
        if record is None:
            with suppress(OSError):
                (self.folder(key) / "current").unlink(missing_ok=True)
            rebuilt = self._rebuild(key)
            record = self._record(key, int(rebuilt["attempt"])) if rebuilt else None
        return record

    def records(self) -> Iterator[dict[str, Any]]:
        """The record that counts of every cell that has one."""
        for key in self.keys():
            record = self.read(key)
            if record is not None:
                yield record

    def curve(self, key: str) -> list[dict[str, Any]]:
        """The evaluations of the attempt that counts, in order of steps."""
        summary = self.summary(key)
        return files.read_lines(self.attempt(key, int(summary["attempt"])).path / CURVE) if summary else []

    def cell(self, key: str) -> Cell:
        """The cell a key stands for."""
        try:
            return cells.from_json(files.read_json(self.folder(key) / "cell.json"))
        except (OSError, ValueError) as error:
            raise UsageError(f"the store {self.path} has no readable cell {key[:12]}: {error}") from error

    def register(self, cell: Cell) -> str:
        """Make the cell's folder, so that a worker can find it by key."""
        key = cells.key(cell)
        if not (self.path / "store.json").exists():
            self.path.mkdir(parents=True, exist_ok=True)
            files.write_json(self.path / "store.json", {"schema": SCHEMA})
        self.folder(key).mkdir(parents=True, exist_ok=True)
        files.write_json(self.folder(key) / "cell.json", cells.to_json(cell))
        return key

    def begin(self, cell: Cell) -> AttemptFolder:
        """A fresh attempt's folder."""
        key = self.register(cell)
        number = max(self._numbers(key), default=0) + 1
        while True:
            folder = self.attempt(key, number)
            with suppress(FileExistsError):
                folder.path.mkdir(parents=True)
                return folder
            number += 1

    def finish(self, key: str, folder: AttemptFolder, record: Mapping[str, Any]) -> None:
        """Write an attempt's record, and let it count unless that would hide a finished one."""
        folder.write(RECORD, record)
        earlier = self.summary(key)
        if earlier is None or displaces(record["status"], earlier["status"]):
            files.write_json(self.folder(key) / "current", summarise(record))

    def attempts(self, key: str) -> Iterator[tuple[int, str]]:
        """(number, status) of every attempt that has a record, in order."""
        for number in self._numbers(key):
            record = self._record(key, number)
            if record is not None:
                yield number, str(record["status"])

    def unfinished(self, key: str) -> list[AttemptFolder]:
        """Attempts without a record: running now, or cut off."""
        folders = (self.attempt(key, number) for number in self._numbers(key))
        return [folder for folder in folders if not (folder.path / RECORD).exists()]

    def export(self, keys: Iterable[str], path: Path) -> int:
        """Records and curves as gzipped JSON lines, sorted by key, without paths of this machine; how many."""
        path.parent.mkdir(parents=True, exist_ok=True)
        count = 0
        with (
            files.atomic(path) as temporary,
            temporary.open("wb") as raw,
            gzip.GzipFile(filename="", mode="wb", fileobj=raw, mtime=0) as packed,
        ):
            for key in sorted(set(keys)):
                record = self.read(key)
                if record is not None:
                    packed.write(_line(record, self.curve(key)))
                    count += 1
        return count

    def folder(self, key: str) -> Path:
        """The folder of one cell. ValueError for what is not a key, so that no name becomes a path."""
        if not _KEY.fullmatch(key):
            raise ValueError(f"not a key: {key!r}")
        return self.path / "cells" / key[:2] / key

    def attempt(self, key: str, number: int) -> AttemptFolder:
        return AttemptFolder(self.folder(key) / "attempts" / str(number))

    def kept(self, key: str, name: str) -> Path:
        """Where the attempt that counts has, or would have, a file of this name."""
        summary = self.summary(key)
        return self.attempt(key, int(summary["attempt"]) if summary else 0).path / name

    def _numbers(self, key: str) -> list[int]:
        return sorted(int(name) for name in _listing(self.folder(key) / "attempts") if name.isdecimal())

    def _record(self, key: str, number: int) -> dict[str, Any] | None:
        """One attempt's record; None where there is none or it is broken (then it goes to quarantine)."""
        path = self.attempt(key, number).path / RECORD
        try:
            record = files.read_json(path)
            if fits(record, key, number):
                return record
        except FileNotFoundError:
            return None
        except (OSError, ValueError, RecursionError):
            pass
        self._quarantine(key, path)
        return None

    def _rebuild(self, key: str) -> dict[str, Any] | None:
        """`current` again, from the attempts' records."""
        best: dict[str, Any] | None = None
        for number in self._numbers(key):
            record = self._record(key, number)
            if record is not None and (best is None or displaces(record["status"], best["status"])):
                best = summarise(record)
        if best is not None:
            with suppress(OSError):  # a read-only store is still readable
                files.write_json(self.folder(key) / "current", best)
        return best

    def _quarantine(self, key: str, path: Path) -> None:
        """Move a broken file aside; in a read-only store only report it."""
        name = f"{time.strftime('%Y%m%dT%H%M%S')}-{key[:16]}-{path.parent.name}-{path.name}"
        target = self.path / "quarantine" / f"{name}.{time.time_ns() % 10**9}"
        with suppress(OSError):
            target.parent.mkdir(exist_ok=True)
            os.replace(path, target)
        self.quarantined.append(path)
        _log.warning("quarantine: %s does not parse; moved to %s", path, target)

    def _check(self) -> None:
        above = next(folder for folder in (self.path, *self.path.absolute().parents) if folder.exists())
        if not above.is_dir():
            raise UsageError(f"store={self.path}: {above} is a file, not a folder.")
        if above != self.path:
            return
        marker = self.path / "store.json"
        if not marker.exists() and _listing(self.path):
            raise UsageError(f"store={self.path}: not a store of deltabench; name an empty or a new folder.")
        with suppress(FileNotFoundError, ValueError):
            schema = files.read_json(marker).get("schema")
            if schema != SCHEMA:
                raise UsageError(f"store={self.path}: its schema is {schema}, this deltabench reads {SCHEMA}.")


def _line(record: dict[str, Any], curve: list[dict[str, Any]]) -> bytes:
    cell = cells.to_json(cells.from_json(record["cell"]), kinds=("identity", "provenance"))
    row = {"record": {**record, "cell": cell}, "curve": curve}
    return (json.dumps(row, ensure_ascii=False, sort_keys=True) + "\n").encode()


def _listing(folder: Path) -> list[str]:
    try:
        return sorted(os.listdir(folder))
    except (FileNotFoundError, NotADirectoryError):
        return []
