"""Show what a sweep would run, without running it.

deltabench plan method=full,lora 'task=micro/*' seed=0,1,2 [--json]

The choices are those of `deltabench sweep`, and `deltabench sweep --dry-run` prints the same. The output lists each
cell with its key, its status in the store and the time that it would take, how many cells would run, and which
combinations cannot run, with the reasons. A grid that a sweep refuses is refused here, too, with the same message;
--skip-impossible plans the other cells. With a launcher of a cluster the output ends with the script that would be
submitted.
Time and bytes are estimated from the finished cells of the store that are most like them, or from our reference runs
where the store has none. Where rows of a task cannot be read, a forecast without them is printed before the refusal.
Checks that passed, and forecasts, are remembered in the user's cache until this code, a library, the model's files or
the task's rows are others.
Exit code: 0 a sweep of these words would start, 2 it would refuse them.
With a GPU here, or --device-memory, the output forecasts which cells fit its memory, the largest batch that fits, and
the gradient accumulation that a larger batch needs.
As in a run, a task is refused where two of its answers have the same tokens, or where the share of tokens that the
model does not know is above task.max_unknown_share. Both are checked where the tokenizer is on this machine.
As JSON: {"cells": [{"key", "status", "stale", "runs", "seconds", "bytes", "memory", "cell"}], "impossible": [{"method",
"model", "task", "cells", "reason", "keys"}], "cost": {"left", "at_once", "launcher", "seconds", "of", "rough",
"past_right", "past_of", "bytes", "why_null"}, "search", "script", "notes": [which fields some methods lack, which rows
of a task are also in train, which have one label alone, two labels for a text or no text, and which have two answers of
the same tokens or tokens unknown to the model]}. seconds and bytes are null where they are unknown, memory without a
device. of names the runs that the seconds come from, if they are not the store's. Of the last past_of finished cells,
past_right took about as long as those before suggest. search:
{"arms" that search for a learning rate, trials that "likely" and at "most" follow the cells, cells "waiting"}, or null.
"""

import argparse
import contextlib
import json
import sys
from collections import Counter
from collections.abc import Sequence
from typing import Any

from harness import formatting
from harness.cli import command_line, request
from harness.config.schema import Cell
from harness.errors import UsageError
from harness.execution import progress, submission, sweep_plan
from harness.execution.sweep_plan import SweepOptions, SweepPlan
from harness.experiments.grids import holes, labels, partial_fields
from harness.experiments.grids.holes import Hole
from harness.experiments.rates import rate_search, rate_tuning
from harness.experiments.rates.planned import Planned
from harness.forecast import device_fit, dry_run, gpu_hours
from harness.forecast.dry_run import Cost
from harness.store import columns, identity, requested_grids
from harness.store.store import Store


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `deltabench plan`."""
    parser.add_argument("words", nargs="*", metavar="key=value")
    parser.add_argument("--device-memory", metavar="24GiB", help="memory of the device to fit (default: this GPU)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    request.add_arguments(parser)


def main(arguments: argparse.Namespace) -> int:
    """Run `deltabench plan` and return its exit code."""
    given = command_line.parse(arguments.words)
    command_line.refuse_added(given)
    options = request.read(given, arguments.skip_impossible)
    return show(given, options, arguments.device_memory, arguments.json)


def show(given: command_line.CommandLine, options: SweepOptions, device_memory: str | None, as_json: bool) -> int:
    """Print the plan of a grid and return 0. Raise UsageError for what a sweep refuses.

    Where only rows are absent, a forecast is printed before.
    """
    store, gaps = Store(options.runtime.store), list[Hole]()
    try:
        with contextlib.redirect_stdout(sys.stderr):
            planned = rate_tuning.expand(rate_tuning.of_words(given.block), store, holes=True, spent=())
            gaps += planned.holes
            plan = sweep_plan.decide(store, planned.now, options, gaps)
    except UsageError as error:
        if holes.lack_rows(error, gaps) and not as_json:
            print(dry_run.without_rows(requested_grids.name_of(given.block), gpu_hours.cells_of([given.block])))
        raise
    cost = dry_run.cost(store, plan)
    memory = device_fit.wanted(device_memory)
    forecasts = device_fit.forecasts(plan.cells, memory) if memory else {}
    notes = [*partial_fields.notes(given.block), *sweep_plan.notes(plan.cells, generated=True)]
    if as_json:
        rows = [{**row, "memory": forecasts.get(row["key"])} for row in _rows(store, plan, cost)]
        content = {
            "cells": rows, "impossible": [vars(gap) for gap in holes.gaps(plan.holes)], "cost": _cost(plan, cost),
            "search": _search(store, planned),
            "script": submission.script(plan.handing, list(plan.todo), store.path), "notes": notes,
        }  # fmt: skip
        print(json.dumps(content, ensure_ascii=False, indent=1))
        return 0
    print(_table(store, plan, cost))
    print(_choices(plan.cells))
    print("".join(f"{line}\n" for line in notes), end="")
    if memory:
        print("\n" + device_fit.text(plan.cells, forecasts, memory))
    print("\n".join(dry_run.lines(store, plan, cost, planned)))
    return 0


def _rows(store: Store, plan: SweepPlan, cost: Cost) -> list[dict[str, Any]]:
    """Return what is known of each cell. seconds and bytes: those that remain, 0 where the cell does not run."""
    rows = []
    for cell in plan.cells:
        key = identity.key(cell)
        runs = key in plan.todo
        row: dict[str, Any] = {"key": key, "status": store.status(key), "stale": key in plan.stale, "runs": runs}
        row["seconds"] = cost.seconds[key] if runs else 0.0
        row["bytes"] = cost.bytes[key] if runs else 0
        rows.append({**row, "cell": identity.to_json(cell)})
    return rows


def _table(store: Store, plan: SweepPlan, cost: Cost) -> str:
    """Return one line per cell in the order in which the cells would run."""
    head = ("key", "status", "method", "model", "task", "seed", "rate", "time", "fields")
    lines, differing = [], labels.of_cells([identity.to_json(cell) for cell in plan.cells])
    for cell, label in zip(plan.cells, differing, strict=True):
        key = identity.key(cell)
        *names, fields = _columns(cell)
        words = [word for part in (label.arm, label.model, label.task) for word in part.split(" ")[1:]]
        fields = " ".join((*fields.split(), *(word for word in words if word not in fields.split())))
        seconds = cost.seconds.get(key)
        about = progress.clock(seconds) if seconds is not None else ""
        status = "stale" if key in plan.stale else store.status(key)
        again = " (runs)" if key in plan.todo and status not in ("missing", "interrupted") else ""
        lines.append((key[:12], status + again, *names, about, fields))
    return formatting.aligned([head, *lines])


def _columns(cell: Cell) -> tuple[str, ...]:
    own = {**cell.method.fields, **columns.solved({"name": cell.method.name, **cell.method.fields})}
    fields = {name: value for name, value in own.items() if value is not None}
    text = " ".join(f"{name}={formatting.value(value)}" for name, value in fields.items())
    names = (cell.method.name, cell.model.name, cell.task.name, str(cell.seed))
    return (*names, formatting.rate(cell.recipe.learning_rate), text)


def _choices(many: Sequence[Cell]) -> str:
    """Return how many cells each choice of each axis has."""
    columns = {"method": 0, "model": 1, "task": 2, "seed": 3}
    counts = {axis: Counter(_columns(cell)[place] for cell in many) for axis, place in columns.items()}
    lines = [
        (axis, ", ".join(f"{name} {count}" for name, count in counted.items())) for axis, counted in counts.items()
    ]
    return "\n" + formatting.aligned([("cells per", ""), *lines])


def _search(store: Store, planned: Planned) -> dict[str, Any] | None:
    """Return what follows the trials of a search for learning rates, which are the cells of the plan; None without."""
    if not planned.searching:
        return None
    likely, most = planned.more(rate_search.LIKELY), planned.more(rate_search.MOST)
    left, done = dry_run.later(store, planned)
    return {
        "arms": planned.searching, "likely": likely, "most": most, "waiting": planned.waiting, "known": left,
        "known_done": done,
    }  # fmt: skip


def _cost(plan: SweepPlan, cost: Cost) -> dict[str, Any]:
    """Return what the plan takes, as plain values."""
    return {
        "left": len(plan.todo),
        "at_once": cost.at_once,
        "launcher": plan.handing.name,
        "seconds": (0.0 if not plan.todo else None) if cost.wall is None else round(cost.wall, 1),
        "of": " ".join(cost.of) or None,
        "rough": len(cost.rough),
        "past_right": cost.past[0],
        "past_of": cost.past[1],
        "bytes": cost.size,
        "why_null": cost.why_null,
    }
