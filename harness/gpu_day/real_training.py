"""One real training from end to end. Without the model or the rows a stand-in is taken, which its row names.

Torch is not imported, and nothing is downloaded.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from harness.config.schema import Cell
from harness.errors import UsageError
from harness.gpu_day import sweeping
from harness.gpu_day.day import Day, Row, cells, named
from harness.models import weight_files
from harness.store import identity

NAME = "training"


def rows(day: Day, deadline: float) -> Iterator[Row]:
    """Yield one row: the scores, seconds and energy of the training, and what was taken in place of what is absent."""
    planned, notes = _planned(day)
    todo = [cell for cell in planned if _name(cell) not in day.ended(NAME)]
    if not todo:
        return
    store = sweeping.run(day, NAME, "store", todo, 1, sweeping.left(deadline))
    for cell in todo:
        yield {"name": _name(cell), "notes": notes, **sweeping.facts(store, identity.key(cell))}


def _name(cell: Cell) -> str:
    return f"{named(cell)}, {cell.task.name}"


def _planned(day: Day) -> tuple[list[Cell], list[str]]:
    """Return the cells, and what was taken in place of a model or rows that are not on this machine."""
    settings = day.settings(NAME)
    block, notes = dict(settings["grid"]), list[str]()
    if day.model is not None:
        block["model.path"] = day.model
    for what, stand_in in settings.get("without", {}).items():
        if reason := _absent(block, what, settings["present"]):
            block = _replaced(block, stand_in)
            notes.append(f"{stand_in_words(stand_in)} instead, since {reason}")
    return cells(block), notes


def _absent(block: Mapping[str, Any], what: str, present: Mapping[str, Any]) -> str:
    """Return why the model (or the rows) of a block is not on this machine; "" where it is. present: a model and a task
    that every copy has, with which the other one is tried.
    """
    rest = {name: value for name, value in block.items() if _group(name) not in ("model", "task")}
    other = {name: value for name, value in present.items() if _group(name) != what}
    tried = {name: value for name, value in block.items() if _group(name) == what}
    try:
        for cell in cells({**rest, **other, **tried}):
            weight_files.folder(cell.model)  # a model of the Hub is planned by its commit, without its files
    except UsageError as error:
        return str(error).rstrip(".")
    return ""


def _replaced(block: Mapping[str, Any], stand_in: Mapping[str, Any]) -> dict[str, Any]:
    groups = set(map(_group, stand_in))
    return {**{name: value for name, value in block.items() if _group(name) not in groups}, **stand_in}


def _group(name: str) -> str:
    """Return the group of a choice: "model" of "model.weights"."""
    return name.partition(".")[0]


def stand_in_words(stand_in: Mapping[str, Any]) -> str:
    """Return a stand-in as the command line has it."""
    return " ".join(f"{name}={value}" for name, value in stand_in.items())


def lines(rows: Sequence[Row]) -> list[str]:
    """Return the lines of the summary."""
    text = []
    for row in rows:
        if row["status"] != "done":
            text.append(f"{row['name']}: {row['status']}: {str(row.get('error'))[:70]}")
            continue
        figures = {name: value for name, value in row["scores"]["test"].items() if name != "n"}
        scores = ", ".join(f"{name} {value:.3f}" for name, value in figures.items())
        text.append(f"{row['name']}: {scores}, {row['train_s']:.1f} s, {row['step_ms']:.3g} ms a step")
        text += [f"  {note[:100]}" for note in row["notes"]]
    return text
