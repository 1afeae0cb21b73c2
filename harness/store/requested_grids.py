"""The grids that were requested, so that `status` knows which cells are missing. Derived; torch is not imported.

A sweep notes its grid under a name: an exhibit and its scale, or the words of a command line. The same name again
replaces the note. A note is never needed to run, resume or read anything.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.config.schema import Cell
from harness.files import atomic_files, plain_files, strict_json
from harness.store import identity
from harness.store.cell_files import KEY, check_own, listing

if TYPE_CHECKING:
    from harness.store.store import Store

FOLDER = "grids"
UNTIL_DECIDED = "until decided"
"""What the name of a grid ends with whose cells were run until their exhibit was decided."""


@dataclass(frozen=True)
class Place:
    """A cell of a requested grid. steps: of its recipe; None where they are not known."""

    key: str
    method: str
    model: str
    task: str
    steps: int | None


@dataclass(frozen=True)
class Gap:
    """A combination of a requested grid that cannot run.

    cells: how many cells of the grid it stands for. keys: those cells of the grid; () where they have no key.
    """

    method: str
    model: str
    task: str
    cells: int
    reason: str
    keys: tuple[str, ...] = ()


@dataclass(frozen=True)
class Grid:
    """Cells that were requested together. note: a remark on them for the reader. gaps: what cannot run of them.

    without_rows: the tasks among the gaps whose rows are not on this machine.
    """

    name: str
    places: tuple[Place, ...]
    note: str = ""
    gaps: tuple[Gap, ...] = ()
    without_rows: tuple[str, ...] = ()


def of(name: str, many: Iterable[Cell], gaps: Iterable[Gap] = ()) -> Grid:
    """Return the grid of these cells, with its combinations that cannot run."""
    return Grid(name, tuple(place(cell) for cell in many), gaps=tuple(gaps))


def with_noted_gaps(grid: Grid, earlier: Iterable[Grid]) -> Grid:
    """Return the grid with the gaps that a sweep of the same name has noted of its cells. earlier: what is noted."""
    keys = {place.key for place in grid.places}
    noted_gaps = (gap for sweep in earlier if sweep.name == grid.name for gap in sweep.gaps)
    return replace(grid, gaps=(*grid.gaps, *(gap for gap in noted_gaps if gap.keys and keys.issuperset(gap.keys))))


def place(cell: Cell) -> Place:
    """Return the short form of a cell."""
    return Place(identity.key(cell), cell.method.name, cell.model.name, cell.task.name, cell.recipe.steps)


def name_of(block: Mapping[str, Sequence[Any]]) -> str:
    """Return the name of a grid that was given in words: its choices as they are written on a command line."""
    return " ".join(f"{key}={','.join(_as_written(value) for value in values)}" for key, values in block.items())


def _as_written(value: Any) -> str:
    """Return a value as it is written on a command line."""
    if isinstance(value, list | tuple):
        return f"[{','.join(map(_as_written, value))}]"
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{name}: {_as_written(item)}' for name, item in value.items())}}}"
    return str(value).lower() if isinstance(value, bool) else "null" if value is None else str(value)


def exhibit_name(exhibit: str, scale: str, *words: str) -> str:
    """Return the name of an exhibit's grid: the words that choose it behind `deltabench reproduce`."""
    return " ".join(filter(None, (exhibit, f"scale={scale}", *words)))


def of_exhibit(index: Mapping[str, Any], records: Iterable[Mapping[str, Any]]) -> list[Grid]:
    """Return the grids that a rendered exhibit was: of its cells, and where it was judged at several looks, of the same
    cells as run until they were decided. index: the content of its exhibit.json.
    """
    places = tuple(_of_record(row["key"], row["cell"]) for row in records)
    name = exhibit_name(str(index["exhibit"]), str(index["scale"]), str(index.get("words") or ""))
    return [Grid(each, places) for each in ((name, f"{name} {UNTIL_DECIDED}") if "looks" in index else (name,))]


def _of_record(key: str, cell: Mapping[str, Any]) -> Place:
    method, model, task = (cell[part]["name"] for part in ("method", "model", "task"))
    return Place(key, method, model, task, cell["recipe"].get("steps"))


def note(store: "Store", grid: Grid) -> None:
    """Write a grid's note; a store that cannot be written stays as it is."""
    if store.read_only or not grid.name or not store.path.is_dir():
        return
    path = _path(store, grid.name)
    rows = [[place.key, place.method, place.model, place.task, place.steps] for place in grid.places]
    with suppress(OSError):
        check_own(path.parent)
        path.parent.mkdir(exist_ok=True)
        atomic_files.write_json(path, {"grid": grid.name, "cells": rows, "gaps": [vars(gap) for gap in grid.gaps]})


def forget(store: "Store", name: str) -> None:
    """Remove a grid's note; its cells stay as they are."""
    check_own(store.path / FOLDER)
    _path(store, name).unlink(missing_ok=True)


def _path(store: "Store", name: str) -> Path:
    digest = hashlib.sha256(strict_json.encode(name)).hexdigest()[:16]
    return store.path / FOLDER / f"{digest}.json"


def noted(store: "Store") -> list[Grid]:
    """Return every grid that was noted, sorted by name; a note that does not parse is moved to quarantine."""
    grids = (_read(store, name) for name in listing(store.path / FOLDER) if name.endswith(".json"))
    return sorted((grid for grid in grids if grid is not None), key=lambda grid: grid.name)


def _read(store: "Store", name: str) -> Grid | None:
    """Return the grid of one note; None where the file is gone, unreadable or broken."""
    path = store.path / FOLDER / name
    if name.startswith("."):  # a temporary file that is being written
        return None
    try:
        content = plain_files.read_json(path)
        places = tuple(_place(row) for row in content["cells"])
        return Grid(str(content["grid"]), places, gaps=tuple(_gap(gap) for gap in content.get("gaps", ())))
    except FileNotFoundError:
        return None
    except OSError as error:
        store.unreadable_file(path, error)
    except (ValueError, KeyError, TypeError) as error:
        store.quarantine("grid", path, f"{type(error).__name__}: {error}")
    return None


def _place(row: Sequence[object]) -> Place:
    """Return the cell of one row [key, method, model, task, steps]. Raises ValueError for any other row."""
    key, method, model, task, steps = row
    if not all(isinstance(text, str) for text in (key, method, model, task)) or not KEY.fullmatch(str(key)):
        raise ValueError("a cell is [key, method, model, task, steps]")
    return Place(str(key), str(method), str(model), str(task), steps if type(steps) is int else None)


def _gap(content: Mapping[str, object]) -> Gap:
    """Return the combination of one mapping. Raises ValueError for any other content."""
    method, model, task, reason = (content[name] for name in ("method", "model", "task", "reason"))
    cells, keys = content["cells"], content["keys"]
    if type(cells) is not int or type(keys) is not list or not all(KEY.fullmatch(str(key)) for key in keys):
        raise ValueError("a gap has a number of cells and their keys")
    if not all(isinstance(text, str) for text in (method, model, task, reason)):
        raise ValueError("a gap has a method, a model, a task and a reason")
    return Gap(str(method), str(model), str(task), cells, str(reason), tuple(map(str, keys)))
