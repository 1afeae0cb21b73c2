"""The store: cells, attempts and records, and which of them counts. Torch is not imported.

  store/store.json                          the schema of this folder
  store/cells/<k[:2]>/<key>/cell.json       the cell
                            current         the attempt that counts, with its summary: derived, rebuilt when lost
                            attempts/<n>/   record.json, curve.jsonl, predictions.jsonl.gz, row_scores.json,
                                            delta-*.safetensors, log.txt
  store/grids/                              the cells that were requested together (requested_grids.py)
  store/leases/                             the processes that run cells now (lease.py)
  store/quarantine/                         files that did not parse: moved here, never deleted
  store/index.json                          all summaries in one file (index.py): derived, may be deleted

Opening and reading a store writes nothing, except that a broken file is moved to quarantine and that derived files are
rebuilt. Under `protect` not even that happens.
"""

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from harness.config.schema import Cell
from harness.errors import UsageError
from harness.files import atomic_files, plain_files, strict_json
from harness.store import fingerprint, identity, index, lease, record
from harness.store.attempt_folder import CURVE, FILE, RECORD, AttemptFolder
from harness.store.cell_files import KEY, CellFiles, Summary, check_own, listing
from harness.store.record import FINAL, SCHEMA, STATUSES, displaces, summarise
from tasks.metrics.row_figures import Packed

__all__ = ["FINAL", "SCHEMA", "STATUSES", "AttemptFolder", "Store", "protect", "summarise"]

_protected = False


def protect(wanted: bool) -> None:
    """Set whether this process leaves every store as it is (`--read-only`), wherever it opens one."""
    global _protected
    _protected = wanted


class Store(CellFiles):
    """A folder of records. Nothing is created before the first cell is registered."""

    def __init__(self, path: Path | str, read_only: bool | None = None) -> None:
        super().__init__(Path(path), _protected if read_only is None else read_only)
        self.leases = self.path / "leases"
        self._stale: dict[tuple[str | None, fingerprint.Subject], bool] = {}

    def find(self, prefix: str) -> str:
        """Return the one key that starts with `prefix` (at least four digits). Raises UsageError where not exactly one
        does, and where there is no store.
        """
        if not re.fullmatch(r"[0-9a-f]{4,64}", prefix):
            raise UsageError(f"{prefix[:80]!r} is not a key: give its first digits, at least four of 0-9 and a-f.")
        self.check_present()
        listed = listing(self.path / "cells" / prefix[:2])
        matching = [key for key in listed if key.startswith(prefix) and KEY.fullmatch(key)]
        if len(matching) != 1:
            count = f"{len(matching)} cells start" if matching else "no cell starts"
            some = f" ({', '.join(key[: len(prefix) + 4] for key in matching[:5])})" if matching else ""
            where = f"in the store {self.path}{some}; `deltabench status` shows what is there."
            raise UsageError(f"{count} with {prefix} {where}")
        return matching[0]

    def status(self, key: str) -> str:
        """Return one of STATUSES, or `running`, or `missing`."""
        if self.is_running(key):
            return "running"
        summary = self.summary(key)
        if summary is not None:
            return str(summary["status"])
        return "interrupted" if self.numbers(key) else "missing"

    def is_running(self, key: str) -> bool:
        """Return whether a live process holds the cell."""
        try:
            return lease.running(self.leases, key, touch=not self.read_only)
        except OSError as error:
            self.unreadable_file(self.leases, error)
            return False

    def running_keys(self) -> set[str]:
        """Return every key that a live process holds."""
        try:
            leased = lease.keys(self.leases)
        except OSError as error:
            self.unreadable_file(self.leases, error)
            return set()
        return {key for key in leased if self.is_running(key)}

    def summary(self, key: str) -> Summary | None:
        """Return the short form of the attempt that counts (see `record.summarise`); None without a record."""
        numbers = self.numbers(key)
        if not numbers:
            return None
        summary = self.current(key)
        # A worker that was killed between the two writes of `finish` leaves a record that `current` does not know.
        # In a store that is only read, a broken record stays where it is, and so does its summary.
        if summary is None or self.later(key, numbers, int(summary["attempt"])) or self.is_damaged(key):
            return self.rebuild(key, numbers)
        return summary

    def is_stale(self, key: str, summary: Mapping[str, Any]) -> bool:
        """Return whether a finished cell has numbers that today's code would not give. summary: `summary` of the cell.

        Where the fingerprint is another than today's, the record says of which rows it is. All records with one
        fingerprint are of the same rows, so one of them is read.
        """
        made, subject = summary["fingerprint"], fingerprint.Subject.of_summary(summary)
        if summary["status"] != "done" or made == fingerprint.fingerprint(subject):
            return False
        if (made, subject) not in self._stale:
            known = self._counting(key, summary)
            self._stale[made, subject] = known is None or fingerprint.is_stale(known)
        return self._stale[made, subject]

    def summaries(self, keys: Iterable[str] | None = None) -> Iterator[tuple[str, Summary | None]]:
        """Yield `summary` of many cells (None: of all), from the index where it is still valid."""
        for key, summary in index.summaries(self, self.keys() if keys is None else keys, self.summary):
            # The index may still have the summary of a record that proved to be broken.
            yield key, self.rebuild(key, self.numbers(key)) if summary and self.is_damaged(key) else summary

    def statuses(self, keys: Iterable[str] | None = None) -> Iterator[tuple[str, str, Summary | None]]:
        """Yield (key, status, summary) of many cells, as `status` and `summary` return them."""
        running = self.running_keys()
        for key, summary in self.summaries(keys):
            rest = str(summary["status"]) if summary else "interrupted" if self.numbers(key) else "missing"
            yield key, "running" if key in running else rest, summary

    def read(self, key: str) -> dict[str, Any] | None:
        """Return the record of the attempt that counts; None without one."""
        return self._counting(key, self.summary(key))

    def records(self) -> Iterator[dict[str, Any]]:
        """Yield the record that counts of every cell that has one."""
        yield from (record for record, _ in self.runs(self.keys(), curves=False))

    def runs(self, keys: Iterable[str], curves: bool = True) -> Iterator[tuple[dict[str, Any], list[dict[str, Any]]]]:
        """Yield (record, curve) of the attempt that counts, for each of these cells that has one."""
        for key, summary in self.summaries(keys):
            record = self._counting(key, summary)
            if record is not None:
                yield record, self.evaluations(key, int(record["attempt"])) if curves else []

    def row_scores(self, record: Mapping[str, Any]) -> Packed:
        """Return what each test row scored in the attempt of a record, packed; empty where that is not known."""
        facts = record.get("task_facts") or {}
        if record["status"] != "done" or not facts.get("metric"):
            return {}
        folder = self.attempt(record["key"], int(record["attempt"]))
        return folder.row_scores(str(facts["metric"]), facts.get("tests") or ["test"])

    def curve(self, key: str) -> list[dict[str, Any]]:
        """Return the evaluations of the attempt that counts, in order of steps."""
        summary = self.summary(key)
        return self.evaluations(key, int(summary["attempt"])) if summary else []

    def cell(self, key: str) -> Cell:
        """Return the cell of a key, from a record where its own file is lost. Raises UsageError without either."""
        path = self.folder(key) / "cell.json"
        try:
            content = plain_files.read_json(path)
        except (OSError, ValueError) as error:
            if isinstance(error, ValueError):
                self.quarantine(key, path, str(error))
            record = self.read(key)
            if record is None:
                raise UsageError(
                    f"the store {self.path} has no readable cell {key[:12]}: {error}. Repeat the command that made it."
                ) from error
            content = record["cell"]
        cell = identity.from_json(content)
        if identity.key(cell) != key and identity.known(cell):
            raise UsageError(
                f"the store {self.path} holds cell {identity.key(cell)[:12]} under the key of {key[:12]}; remove it."
            )
        return cell

    def register(self, cell: Cell, durable: bool = True) -> str:
        """Create the cell's folder, so that a worker can find it by key; return the key. durable: see `register_as`."""
        return self.register_as(identity.key(cell), identity.to_json(cell), durable)

    def register_as(self, key: str, content: Mapping[str, Any], durable: bool = True) -> str:
        """Register a cell as JSON under a key that is known to be its own; return the key.

        durable: the file outlives a crash of the machine. A sweep registers thousands of cells, and the same command
        registers them again.
        """
        if not (self.path / "store.json").exists():
            self.path.mkdir(parents=True, exist_ok=True)
            atomic_files.write_json(self.path / "store.json", {"schema": SCHEMA})
        path, wanted = self.folder(key) / "cell.json", strict_json.encode(content, indent=1)
        for folder in (path.parents[1], path.parent, path.parent / "attempts"):
            check_own(folder)
        with suppress(OSError, ValueError):
            if plain_files.read_bytes(path) == wanted:  # a large grid that resumes is not written again
                return key
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_files.atomic(path, durable) as temporary:
            temporary.write_bytes(wanted)
        return key

    def begin(self, cell: Cell) -> AttemptFolder:
        """Return the folder of a new attempt."""
        return self.next_attempt(self.register(cell))

    def next_attempt(self, key: str) -> AttemptFolder:
        """Create and return the folder of an attempt that no other process has begun."""
        number = max(self.numbers(key), default=0) + 1
        while True:
            folder = self.attempt(key, number)
            with suppress(FileExistsError):
                folder.path.mkdir(parents=True)
                return folder
            number += 1

    def finish(self, key: str, folder: AttemptFolder, record: Mapping[str, Any]) -> bool:
        """Write an attempt's record and let it count, unless that would hide a finished one; return whether it was
        written.

        An attempt that has a record keeps it: a worker that was suspended while another took the cell over comes too
        late.
        """
        if not folder.create(RECORD, record):
            return False
        earlier = self.current(key)
        if earlier is None and folder.number > 1:
            self.rebuild(key, self.numbers(key))
        elif earlier is None or displaces(record["status"], earlier["status"]):
            atomic_files.write_json(self.folder(key) / "current", summarise(record))
        return True

    def attempts(self, key: str) -> Iterator[tuple[int, str]]:
        """Yield (number, status) of every attempt that has a record, in order."""
        for number in self.numbers(key):
            record = self.record(key, number)
            if record is not None:
                yield number, str(record["status"])

    def unfinished(self, key: str) -> list[AttemptFolder]:
        """Return the attempts without a record: they are running now, or were cut off."""
        folders = (self.attempt(key, number) for number in self.numbers(key))
        return [folder for folder in folders if not os.path.lexists(folder.path / RECORD)]

    def counting_file(self, key: str, name: str) -> Path:
        """Return the path of a file of this name in the attempt that counts; the file need not exist."""
        summary = self.summary(key)
        return self.attempt(key, int(summary["attempt"]) if summary else 0).path / name

    def check_writable(self) -> None:
        """Raise UsageError for a store that must not or cannot be written; nothing is written to find out."""
        if self.read_only:
            raise UsageError(f"store={self.path}: it is opened read-only; leave out --read-only.")
        if self.leases.is_symlink():
            raise UsageError(f"store={self.path}: {self.leases} is a link that leads out of the store; remove it.")
        for path in (self.path, self.path / "cells", self.leases):
            there = next(folder for folder in (path, *path.absolute().parents) if folder.exists())
            if not os.access(there, os.W_OK | os.X_OK):
                raise UsageError(f"store={self.path}: {there} cannot be written; name another store with store=DIR.")

    def evaluations(self, key: str, number: int) -> list[dict[str, Any]]:
        """Return the evaluations of one attempt's curve, in order of steps."""
        ended = os.path.exists(self.at(key, f"attempts/{number}/{RECORD}"))
        rows = plain_files.read_lines(self.at(key, f"attempts/{number}/{CURVE}"), torn=not ended)
        return list(filter(record.is_point, rows))

    def _counting(self, key: str, summary: Mapping[str, Any] | None) -> dict[str, Any] | None:
        """Return the record of the attempt in `summary`; where it is broken, that of the attempt that counts then."""
        if summary is None:
            return None
        record = self.record(key, int(summary["attempt"]))
        if record is None:
            rebuilt = self.rebuild(key, self.numbers(key))
            record = self.record(key, int(rebuilt["attempt"])) if rebuilt else None
        return record


def obstacle(store: Store, cell: Cell) -> str | None:
    """Return why the cell cannot run now: a parent is not done or kept no tensors; None where it can."""
    for role, key in cell.parents:
        status = store.status(key)
        if status != "done":
            return f"parent {role} ({key[:12]}) is {status}"
        if lacks_weights(store, key):
            return (
                f"parent {role} ({key[:12]}) has no stored {FILE}: run that cell again with keep=delta rerun=done; "
                f"`deltabench show {key[:12]}` prints its command"
            )
    return None


def lacks_weights(store: Store, key: str) -> bool:
    """Return whether a cell that is done has no stored tensors though it trained some: they were not kept, were freed,
    or its record came from an archive.
    """
    return store.status(key) == "done" and not store.counting_file(key, FILE).is_file() and trained(store, key)


def trained(store: Store, key: str) -> bool:
    """Return whether anything trained in a finished cell; one without tuning has no tensors to keep."""
    counted = (store.read(key) or {}).get("parameters") or {}
    return any(counted.get(part) != 0 for part in ("delta", "head"))
