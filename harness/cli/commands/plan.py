"""Show what a grid would run, without running it.

deltabench plan method=full,lora 'task=micro/*' seed=0,1,2 [--json]

The output lists each cell with its key and its status in the store, and how many cells are left. Time and bytes are
estimated from the most similar finished cells of the store, or of our reference runs where the store has none.
With a GPU here, or --device-memory, the output forecasts which cells fit its memory, the largest batch that fits, and
the gradient accumulation that a larger batch needs.
Answers that have the same tokens are refused as a run refuses them, and so is text of which the model does not know
more than task.max_unknown_share. Both are checked where the tokenizer is on this machine.
As JSON: {"cells": [{"key", "status", "stale", "seconds", "bytes", "memory", "cell"}], "cost": {"left", "at_once",
"seconds", "of", "bytes", "why_null"}, "notes": [which rows of a task are also in train, and which have two answers of
the same tokens or tokens unknown to the model]}. seconds and bytes are null where no cell of the same model has
finished, memory without a device. of names the runs that the seconds are estimated from, if they are not the store's.
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
    """One cell, its status, and its remaining seconds and bytes: None where unknown, 0 where it has a result.

    of: the runs that the seconds are estimated from; "" for the store's own.
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
        """Return whether the cell still has to run."""
        return self.status not in FINAL


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `deltabench plan`."""
    parser.add_argument("words", nargs="*", metavar="key=value")
    parser.add_argument("--device-memory", metavar="24GiB", help="memory of the device to fit (default: this GPU)")
    parser.add_argument("--json", action="store_true", help="print JSON")


def main(arguments: argparse.Namespace) -> int:
    """Run `deltabench plan` and return its exit code."""
    given = words.parse(arguments.words)
    words.refuse_added(given)
    runtime = given.configure(compose.defaults()["runtime"])
    launchers.choose(given.settings, here=False)
    jobs = words.count("jobs", given.settings.get("jobs"))
    many = grid.expand([given.block])
    notes = [*_leaked(many), *answer_tokens.check_plan(many)]
    store = Store(runtime.store)
    planned = _planned(store, many)
    cost = _cost(planned, at_once=jobs or sweep.slots(runtime))
    memory = device_fit.wanted(arguments.device_memory)
    forecasts = device_fit.forecasts(many, memory) if memory else {}
    if arguments.json:
        rows = [{**vars(one), "memory": forecasts.get(one.key), "cell": identity.to_json(one.cell)} for one in planned]
        print(json.dumps({"cells": rows, "cost": cost, "notes": notes}, ensure_ascii=False, indent=1))
        return 0
    print(_table(planned))
    print(_choices({one.key: one.cell for one in planned}))
    print("".join(f"{line}\n" for line in notes), end="")
    if memory:
        print("\n" + device_fit.text(many, forecasts, memory))
    print(f"{sweep.summary(store, many)}; {cost['left']} to run{_time_left(cost)}")
    return 0


def _planned(store: Store, many: Sequence[Cell]) -> list[Planned]:
    by_key = {identity.key(cell): cell for cell in many}
    states = {key: (status, summary) for key, status, summary in store.statuses(by_key)}
    finished = [(key, summary) for key, summary in store.summaries() if summary and summary["status"] == "done"]
    estimate = Estimate(store, finished)
    missing = [cell for key, cell in by_key.items() if states[key][0] not in FINAL]
    walls = duration.walls(missing, chain([Known(estimate)], duration.from_references(store)))
    rows = []
    for key, cell in by_key.items():
        status, summary = states[key]
        place, left = requested_grids.place(cell), status not in FINAL
        seconds, by = walls.get(key, (None, None)) if left else (0.0, None)
        size = estimate.size(place) if left else 0
        stale = summary is not None and is_stale(summary)
        rows.append(Planned(key, cell, status, stale, seconds, size, by.of if by else ""))
    return rows


def _table(planned: Sequence[Planned]) -> str:
    """Return one line per cell in the order in which the cells would run."""
    head = ("key", "status", "method", "model", "task", "seed", "rate", "about", "fields")
    lines = []
    for one in planned:
        *names, fields = _columns(one.cell)
        about = progress.clock(one.seconds) if one.left and one.seconds is not None else ""
        lines.append((one.key[:12], "stale" if one.stale else one.status, *names, about, fields))
    return formatting.aligned([head, *lines])


def _columns(cell: Cell) -> tuple[str, ...]:
    fields = {name: value for name, value in cell.method.fields.items() if value is not None}
    text = " ".join(f"{name}={formatting.value(one)}" for name, one in fields.items())
    names = (cell.method.name, cell.model.name, cell.task.name, str(cell.seed))
    return (*names, f"{cell.recipe.learning_rate:g}", text)


def _leaked(many: Sequence[Cell]) -> list[str]:
    """Return a line for each task of which rows of test or validation are also in train."""
    leaks = {cell.task.name: tasks.leaked(cell.task) for cell in many}
    return [f"task {name}: {line}" for name, line in leaks.items() if line]


def _choices(by_key: Mapping[str, Cell]) -> str:
    """Return how many cells each choice of each axis has."""
    columns = {"method": 0, "model": 1, "task": 2, "seed": 3}
    counts = {axis: Counter(_columns(cell)[place] for cell in by_key.values()) for axis, place in columns.items()}
    lines = [
        (axis, ", ".join(f"{name} {count}" for name, count in counted.items())) for axis, counted in counts.items()
    ]
    return "\n" + formatting.aligned([("cells of", ""), *lines])


def _cost(planned: Sequence[Planned], at_once: int) -> dict[str, Any]:
    """Return the seconds with `at_once` parallel cells, and the bytes; None where a cell is like no finished one."""
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


def _time_left(cost: Mapping[str, Any]) -> str:
    if not cost["left"]:
        return ""
    if cost["seconds"] is None:
        return f", {cost['at_once']} at once; how long is unknown until one of them has finished"
    text = f", {cost['at_once']} at once: about {progress.clock(cost['seconds'])}"
    text += f" {cost['of']}" if cost["of"] else ""
    return text if cost["bytes"] is None else f"{text} and {cost['bytes'] / 1e6:.1f} MB"
