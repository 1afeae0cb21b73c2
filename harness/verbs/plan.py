"""What a grid would run, without running it.

deltabench plan method=full,lora 'task=micro/*' seed=0,1,2 [--json]

Shows each cell with its key and state in the store, how many are left, and, from what has finished there, about
how long they take and how many bytes they keep.
"""

import argparse
import json
import statistics
from collections import Counter
from collections.abc import Mapping
from typing import Any

from harness import cell as cells
from harness import compose, grid, progress, show, sweep, words
from harness.config import Cell
from harness.store import FINAL, Store


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("words", nargs="*", metavar="key=value")
    parser.add_argument("--json", action="store_true", help="as JSON")


def main(arguments: argparse.Namespace) -> int:
    said = words.parse(arguments.words)
    words.refuse_added(said)
    runtime = said.configure(compose.defaults()["runtime"])
    found = {cells.key(cell): cell for cell in grid.expand([said.block])}
    store = Store(runtime.store)
    states = {key: store.status(key) for key in found}
    cost = _cost(
        store,
        found,
        states,
        said_jobs=words.count("jobs", said.settings.get("jobs")),
        slots=sweep.slots(runtime),
    )
    if arguments.json:
        rows = [{"key": key, "status": states[key], "cell": cells.to_json(cell)} for key, cell in found.items()]
        print(json.dumps({"cells": rows, "cost": cost}, ensure_ascii=False, indent=1))
        return 0
    print(_table(found, states))
    print(_choices(found))
    print(f"{sweep.summary(store, list(found.values()))}; {cost['left']} to run{_told(cost)}")
    return 0


def _table(found: Mapping[str, Cell], states: Mapping[str, str]) -> str:
    """One line per cell in the order in which they would run."""
    head = ("key", "status", "method", "model", "task", "seed", "rate", "fields")
    lines = [(key[:12], states[key], *_columns(cell)) for key, cell in found.items()]
    return show.aligned([head, *lines])


def _columns(cell: Cell) -> tuple[str, ...]:
    fields = {name: value for name, value in cell.method.fields.items() if value is not None}
    told = " ".join(f"{name}={show.value(one)}" for name, one in fields.items())
    names = (cell.method.name, cell.model.name, cell.task.name, str(cell.seed))
    return (*names, f"{cell.recipe.learning_rate:g}", told)


def _choices(found: Mapping[str, Cell]) -> str:
    """How many cells each choice of each axis has."""
    columns = {"method": 0, "model": 1, "task": 2, "seed": 3}
    counts = {axis: Counter(_columns(cell)[place] for cell in found.values()) for axis, place in columns.items()}
    lines = [
        (axis, ", ".join(f"{name} {count}" for name, count in counted.items())) for axis, counted in counts.items()
    ]
    return "\n" + show.aligned([("cells of", ""), *lines])


def _cost(
    store: Store, found: Mapping[str, Cell], states: Mapping[str, str], said_jobs: int | None, slots: int
) -> dict[str, Any]:
    """Seconds (all cells one after the other, over the cells at once) and bytes, by the median finished cell here."""
    left = sum(status not in FINAL for status in states.values())
    done = [key for key, status in states.items() if status == "done"]
    walls = [wall for key in done if isinstance(wall := (store.summary(key) or {}).get("wall_s"), int | float)]
    sizes = [sum(path.stat().st_size for path in store.folder(key).rglob("*") if path.is_file()) for key in done]
    at_once = min(said_jobs or slots, max(left, 1))
    return {
        "left": left,
        "at_once": at_once,
        "seconds": round(statistics.median(walls) * left / at_once, 1) if walls else None,
        "bytes": round(statistics.median(sizes) * left) if sizes else None,
        "why_null": None if walls else "no cell of this grid has finished in this store",
    }


def _told(cost: Mapping[str, Any]) -> str:
    if not cost["left"]:
        return ""
    if cost["seconds"] is None:
        return f", {cost['at_once']} at once; how long is unknown until one of them has finished"
    megabytes = cost["bytes"] / 1e6
    return f", {cost['at_once']} at once: about {progress.clock(cost['seconds'])} and {megabytes:.1f} MB"
