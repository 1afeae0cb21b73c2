"""What the page shows: exhibits with their tables and figures, and every attempt, of a store or of our reference runs.

Nothing is written into the store. The exhibits of a store are drawn into a temporary folder.
"""

import os
import tempfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from harness import assets, private_paths
from harness.analysis import grid_table, report
from harness.analysis.output import proofs, table
from harness.analysis.output.table import Table
from harness.analysis.page.attempt_rows import Attempt, from_runs
from harness.config import conf_files
from harness.errors import UsageError, near
from harness.experiments import exhibits
from harness.experiments.exhibits import Exhibit
from harness.files import plain_files
from harness.store import archive, identity, requested_grids
from harness.store.archive import Run
from harness.store.attempt_folder import FILE
from harness.store.requested_grids import Grid
from harness.store.store import Store

LOG_LINES = 40


@dataclass(frozen=True)
class Shown:
    """One exhibit, or the table of a grid that no exhibit reports.

    index: the content of its exhibit.json. figures: name -> SVG. command: what makes it again.
    group: that of its cells among the attempts.
    """

    name: str
    index: Mapping[str, Any]
    tables: Sequence[Table]
    figures: Mapping[str, str] = field(default_factory=dict)
    command: str = ""
    group: str = ""
    floor: str | None = None
    ceiling: str | None = None


@dataclass(frozen=True)
class Content:
    """All that the page shows. origin: where the records come from. notes: sentences that a reader should know."""

    origin: str
    exhibits: Sequence[Shown]
    attempts: Sequence[Attempt]
    notes: Sequence[str] = ()


def from_reference(names: Collection[str] = ()) -> Content:
    """Return our committed reference runs. names: of exhibits; all where none is given."""
    places = {path.parent.name: path.parent for path in sorted(assets.reference().glob("*/exhibit.json"))}
    _check(names, places, "reference run")
    chosen = [name for name in places if not names or name in names]
    shown, homes = [], {}
    for name in chosen:
        exhibit = exhibits.load(name, conf_files.folders()[:-1])
        homes[exhibit.cells_of] = assets.reference() / exhibit.cells_of
        shown.append(_read(places[name], exhibit))
    attempts: list[Attempt] = []
    for name, home in homes.items():
        if (home / archive.ARCHIVE).is_file():
            runs = archive.from_archive(home / archive.ARCHIVE)
            attempts += from_runs(runs, name, proofs.stale(runs, proofs.load(home)))
    return Content("our reference runs", shown, attempts)


def from_store(store: Store, names: Collection[str] = ()) -> Content:
    """Return what a store has. names: of exhibits that ran there; everything where none is given."""
    noted = requested_grids.noted(store)
    known = exhibits.names(conf_files.folders()[:-1])
    ran = [grid for grid in noted if grid.name.partition(" ")[0] in known]
    _check(names, [grid.name.partition(" ")[0] for grid in ran], f"exhibit in the store {store.path}")
    groups = {place.key: grid.name for grid in reversed(noted) for place in grid.places}
    chosen = [grid for grid in ran if not names or grid.name.partition(" ")[0] in names]
    wanted = {place.key for grid in chosen for place in grid.places} if names else None
    attempts = list(_attempts(store, groups, wanted))
    shown: list[Shown] = []
    notes: list[str] = []
    for grid in chosen:
        made, note = _drawn(store, grid)
        shown += [made] if made else []
        notes += [note] if note else []
    if not names:
        everything, note = _everything(store, noted, attempts)
        shown += [everything] if everything else []
        notes += [note] if note else []
    if aside := store.aside():
        notes.append(f"{aside} files of the store did not parse and are in its quarantine.")
    if store.unreadable:
        notes.append(f"{len(store.unreadable)} files of the store cannot be read, or are of a newer version.")
    if running := store.running_keys():
        notes.append(f"{len(running)} cells are running now, so the store is being written.")
    return Content(f"the store {private_paths.hidden(str(store.path))}", shown, attempts, notes)


def _check(names: Collection[str], known: Collection[str], what: str) -> None:
    """Raise UsageError for a name that is not there."""
    for name in names:
        if name not in known:
            raise UsageError(f"there is no {what} named {name!r}.{near(name, list(known))}")


def _read(folder: Path, exhibit: Exhibit) -> Shown:
    """Return a rendered exhibit from its folder."""
    index = plain_files.read_json(folder / report.INDEX, linked=True)
    made = [table.from_json(content) for content in index["tables"]]
    words = requested_grids.exhibit_name(exhibit.name, index["scale"], str(index.get("words") or ""))
    return Shown(
        exhibit.name, index, made,
        {name: plain_files.read_text(folder / f"{name}.svg") for name in index["figures"]},
        private_paths.command(f"deltabench reproduce {words}"),
        exhibit.cells_of,
        exhibit.floor, exhibit.ceiling,
    )  # fmt: skip


def _drawn(store: Store, grid: Grid) -> tuple[Shown | None, str]:
    """Return an exhibit as it ran in a store, and a sentence where it cannot be shown."""
    name, _, rest = grid.name.partition(" ")
    scale, _, words = rest.partition(" ")
    exhibit = exhibits.load(name, conf_files.folders()[:-1])
    runs = archive.from_store(store, [place.key for place in grid.places])
    if not any(run.record["status"] == "done" for run in runs):
        return None, f"{grid.name}: no cell has finished yet."
    with tempfile.TemporaryDirectory(prefix="deltabench-page-") as folder:
        try:
            report.render(exhibit, scale.removeprefix("scale="), runs, Path(folder), words=words)
            return replace(_read(Path(folder), exhibit), name=_address(grid.name), group=grid.name), ""
        except (UsageError, ValueError, KeyError, TypeError) as error:
            return None, f"{grid.name} cannot be shown: {' '.join(str(error).split())[:200]}"


def _address(name: str) -> str:
    """Return the name of a grid as a part of an address."""
    return name.replace(" scale=", "@").replace(" ", ",")


def _everything(store: Store, noted: Sequence[Grid], attempts: Sequence[Attempt]) -> tuple[Shown | None, str]:
    """Return the table of all scores of a store, and a sentence where it has none."""
    counting = {attempt.record["key"]: Run(attempt.record) for attempt in attempts if attempt.counts}
    if not any(run.record["status"] == "done" for run in counting.values()):
        return None, "No cell of this store has a result yet." if counting else "This store has no record yet."
    try:
        choice = grid_table.everything(store, noted)
        made = grid_table.make(store, choice, runs=[counting[key] for key in choice.cells if key in counting])
    except UsageError as error:
        return None, f"The table of all cells cannot be made: {error}"
    index = {
        "exhibit": "all-cells", "title": "All cells of the store", "source": "", "scale": "", "words": "",
        "cells": len(counting), "labels": [], "texts": {}, "figures": [], "findings": [], "stale": {},
    }  # fmt: skip
    return Shown("all-cells", index, made.tables, command="deltabench table"), ""


def _attempts(store: Store, groups: Mapping[str, str], wanted: Collection[str] | None) -> Iterator[Attempt]:
    """Yield every attempt of a store that has a record, failed and repeated ones included."""
    for key, summary in store.summaries(None if wanted is None else sorted(wanted)):
        if summary is None:
            continue
        stale = store.is_stale(key, summary)
        for number in store.numbers(key):
            record = store.record(key, number)
            if record is None:
                continue
            paths = private_paths.paths(record["cell"])
            rest = {name: value for name, value in record.items() if name not in ("cell", "key")}
            public = private_paths.hidden(rest, paths)
            shown = {**public, "key": key, "cell": identity.without_runtime(record["cell"])}
            counts = number == summary["attempt"]
            log = () if record["status"] == "done" and not counts else store.attempt(key, number).log_tail(LOG_LINES)
            lines = private_paths.hidden(list(log), paths)
            stored = _bytes(store.at(key, f"attempts/{number}/{FILE}"))
            curve, group = store.evaluations(key, number), groups.get(key, "")
            yield Attempt(shown, curve, group, counts, stale and counts, lines, stored)


def _bytes(path: str) -> int | None:
    """Return the size of a file; None where there is none."""
    try:
        return os.stat(path).st_size
    except OSError:
        return None


def joined(first: Content, second: Content) -> Content:
    """Return records of a store and of our reference runs as one.

    What both have is told apart: an exhibit by its name, and a cell, which has one key in both, by its origin.
    """
    names = {shown.name for shown in first.exhibits}
    other = [
        replace(shown, name=f"{shown.name},reference") if shown.name in names else shown for shown in second.exhibits
    ]
    origin = f"{first.origin} and {second.origin}"
    return Content(
        origin,
        [*first.exhibits, *other],
        [*first.attempts, *(replace(attempt, origin="reference") for attempt in second.attempts)],
        [*first.notes, *second.notes],
    )


def from_folder(folder: Path, exhibit: Exhibit, store: Store | None, keys: Sequence[str]) -> Content:
    """Return one rendered exhibit, with the attempts at its cells in a store."""
    shown = replace(_read(folder, exhibit), group=exhibit.name)
    groups = dict.fromkeys(keys, exhibit.name)
    return Content(exhibit.name, [shown], [] if store is None else list(_attempts(store, groups, keys)))
