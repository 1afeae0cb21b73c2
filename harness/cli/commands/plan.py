"""What a grid would run, without running it.

deltabench plan method=full,lora 'task=micro/*' seed=0,1,2 [--json]

Shows each cell with its key and state in the store, how many are left, and, by the finished cells of the store that
are most like them, about how long they take and how many bytes they keep; how long by our own runs, where the store
does not know.
With a GPU here, or --device-memory, it forecasts which cells fit its memory, the largest batch that does, and in how
many parts (gradient accumulation) a batch would.
Answers that the model's tokenizer cannot tell apart are refused as a run refuses them: all rows are looked at where the
tokenizer is on this machine.
As JSON: {"cells": [{"key", "status", "stale", "seconds", "bytes", "memory", "cell"}], "cost": {"left", "at_once",
"seconds", "of", "bytes", "why_null"}, "notes": [which rows of a task are also in train, and which have two answers of
the same tokens]}; seconds and bytes are null where no cell of the same model has finished, memory without a device; of:
whose cells tell the seconds, if others than the store's.
"""

import argparse
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

from harness import formatting
from harness.cli import arguments as words
from harness.config import compose, launchers
from harness.config.schema import Cell
from harness.execution import progress, sweep
from harness.experiments import grid
from harness.forecast import device_fit, duration
from harness.forecast.duration import Estimate, Known
from harness.models import answer_tokens
from harness.store import identity, requested_grids
from harness.store.fingerprint import is_stale
from harness.store.store import FINAL, Store
from tasks import registry as tasks


@dataclass(frozen=True)
class Planned:
    """One cell, its state, and what is left of it to pay: None where that is not known, 0 where it has its result.

    of: whose cells tell the seconds; "" for the store's own.
    """

    key: str
    cell: Cell
    status: str
    stale: bool
    seconds: float | None
    bytes: int | None
    of: str = ""

    @property
    def left(self) -> bool:
        return self.status not in FINAL


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("words", nargs="*", metavar="key=value")
    parser.add_argument("--device-memory", metavar="24GiB", help="of the device they should fit (default: this GPU)")
    parser.add_argument("--json", action="store_true", help="as JSON")


def main(arguments: argparse.Namespace) -> int:
    said = words.parse(arguments.words)
    words.refuse_added(said)
    runtime = said.configure(compose.defaults()["runtime"])
    launchers.choose(said.settings, here=False)
    jobs = words.count("jobs", said.settings.get("jobs"))
    many = grid.expand([said.block])
    notes = [*_leaked(many), *answer_tokens.check_plan(many)]
    store = Store(runtime.store)
    planned = _planned(store, many)
    cost = _cost(planned, at_once=jobs or sweep.slots(runtime))
    memory = device_fit.wanted(arguments.device_memory)
    told = device_fit.forecasts(many, memory) if memory else {}
    if arguments.json:
        rows = [{**vars(one), "memory": told.get(one.key), "cell": identity.to_json(one.cell)} for one in planned]
        print(json.dumps({"cells": rows, "cost": cost, "notes": notes}, ensure_ascii=False, indent=1))
        return 0
    print(_table(planned))
    print(_choices({one.key: one.cell for one in planned}))
    print("".join(f"{line}\n" for line in notes), end="")
    if memory:
        print("\n" + device_fit.text(many, told, memory))
    print(f"{sweep.summary(store, many)}; {cost['left']} to run{_told(cost)}")
    return 0


def _planned(store: Store, many: Sequence[Cell]) -> list[Planned]:
    found = {identity.key(cell): cell for cell in many}
    states = {key: (status, summary) for key, status, summary in store.statuses(found)}
    finished = [(key, summary) for key, summary in store.summaries() if summary and summary["status"] == "done"]
    estimate = Estimate(store, finished)
    missing = [cell for key, cell in found.items() if states[key][0] not in FINAL]
    walls = duration.walls(missing, chain([Known(estimate)], duration.from_references(store)))
    rows = []
    for key, cell in found.items():
        status, summary = states[key]
        place, left = requested_grids.place(cell), status not in FINAL
        seconds, by = walls.get(key, (None, None)) if left else (0.0, None)
        size = estimate.size(place) if left else 0
        stale = summary is not None and is_stale(summary)
        rows.append(Planned(key, cell, status, stale, seconds, size, by.of if by else ""))
    return rows


def _table(planned: Sequence[Planned]) -> str:
    """One line per cell in the order in which they would run."""
    head = ("key", "status", "method", "model", "task", "seed", "rate", "about", "fields")
    lines = []
    for one in planned:
        *names, fields = _columns(one.cell)
        about = progress.clock(one.seconds) if one.left and one.seconds is not None else ""
        lines.append((one.key[:12], "stale" if one.stale else one.status, *names, about, fields))
    return formatting.aligned([head, *lines])


def _columns(cell: Cell) -> tuple[str, ...]:
    fields = {name: value for name, value in cell.method.fields.items() if value is not None}
    told = " ".join(f"{name}={formatting.value(one)}" for name, one in fields.items())
    names = (cell.method.name, cell.model.name, cell.task.name, str(cell.seed))
    return (*names, f"{cell.recipe.learning_rate:g}", told)


def _leaked(many: Sequence[Cell]) -> list[str]:
    """A line for each task of which rows of test or validation are also in train."""
    told = {cell.task.name: tasks.leaked(cell.task) for cell in many}
    return [f"task {name}: {line}" for name, line in told.items() if line]


def _choices(found: Mapping[str, Cell]) -> str:
    """How many cells each choice of each axis has."""
    columns = {"method": 0, "model": 1, "task": 2, "seed": 3}
    counts = {axis: Counter(_columns(cell)[place] for cell in found.values()) for axis, place in columns.items()}
    lines = [
        (axis, ", ".join(f"{name} {count}" for name, count in counted.items())) for axis, counted in counts.items()
    ]
    return "\n" + formatting.aligned([("cells of", ""), *lines])


def _cost(planned: Sequence[Planned], at_once: int) -> dict[str, Any]:
    """Seconds with so many cells at once, and bytes; None where one of the cells to run is like none that finished."""
    left = [one for one in planned if one.left]
    at_once = min(at_once, max(len(left), 1))
    seconds, sizes = [one.seconds for one in left], [one.bytes for one in left]
    known = None not in seconds
    return {
        "left": len(left),
        "at_once": at_once,
        "seconds": round(sum(one for one in seconds if one) / at_once, 1) if known else None,
        "of": "".join(dict.fromkeys(one.of for one in left)).strip() or None if known else None,
        "bytes": sum(one for one in sizes if one) if None not in sizes else None,
        "why_null": None if known else "no cell of the same model has finished in this store or in our own runs",
    }


def _told(cost: Mapping[str, Any]) -> str:
    if not cost["left"]:
        return ""
    if cost["seconds"] is None:
        return f", {cost['at_once']} at once; how long is unknown until one of them has finished"
    told = f", {cost['at_once']} at once: about {progress.clock(cost['seconds'])}"
    told += f" {cost['of']}" if cost["of"] else ""
    return told if cost["bytes"] is None else f"{told} and {cost['bytes'] / 1e6:.1f} MB"
