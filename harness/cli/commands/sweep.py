"""Run a grid of cells; the same command again resumes.

deltabench sweep method=full,lora,adapter 'task=micro/*' seed=0,1,2
deltabench sweep method=lora method.rank=1,2,4,8 seed=0,1,2 --for 30m launcher=joblib jobs=4

Choices are separated by commas; * ? [] are patterns. A method.FIELD applies to the methods that have it.
Settings: store, device, threads, timeout (seconds per cell), keep (delta|none); launcher with its fields
(launcher.FIELD=value, see `deltabench list launchers`), jobs (cells at once), rerun (statuses to try again, e.g.
rerun=stale,failed), probe (measured of finished cells, see `deltabench probe --help`), deterministic (GPUs),
checkpoint_minutes and checkpoint_steps (how often training is saved).
--for 1h30m: no cell begins that would end later, by its estimate, and a running one stops at a checkpoint.
A cell that was killed, or could not read or write, is retried once; --retry N: N times, and after a timeout too.
Exit code: 0 every cell done or out of memory, 1 some failed, 2 usage, 130 interrupted or stopped by --for before
every cell had run.
At the end the scores are printed as a table, which `deltabench table` prints again at any time.
--json: progress goes to the error stream, and the output is {"exit_code", "store", "counts": {STATUS: cells},
"cells": [{"key", "status", "stale", "method", "arm", "model", "task", "learning_rate", "seed", "name", "metric",
"test", "validation", "why_null"}]}.
"""

import argparse
import contextlib
import json
import sys
from collections import Counter
from typing import Any

from harness.analysis import cell_rows
from harness.analysis.grid_table import Choice
from harness.cli import arguments as words
from harness.cli import cell_choice, table_output
from harness.config import compose, launchers
from harness.execution import sweep
from harness.experiments import grid
from harness.store import requested_grids
from harness.store.store import Store

INTERRUPTED = 130


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `deltabench sweep`."""
    parser.add_argument("words", nargs="*", metavar="key=value")
    parser.add_argument("--retry", metavar="N", help="how often to retry a cell that was killed or timed out")
    parser.add_argument("--for", dest="duration", metavar="1h30m", help="stop after this time, within a tenth")
    parser.add_argument("--json", action="store_true", help="print the outcome as JSON")


def main(arguments: argparse.Namespace) -> int:
    """Run `deltabench sweep` and return its exit code."""
    given = words.parse([*arguments.words, *words.flag("retry", arguments.retry)])
    words.refuse_added(given)
    runtime = given.configure(compose.defaults()["runtime"])
    deadline_s = words.seconds(arguments.duration) if arguments.duration else None
    launcher = launchers.choose(given.settings)
    planned = grid.expand([given.block])
    with contextlib.redirect_stdout(sys.stderr) if arguments.json else contextlib.nullcontext():
        code = sweep.run_cells(
            planned,
            runtime,
            launcher=launcher,
            jobs=words.count("jobs", given.settings.get("jobs")),
            deadline_s=deadline_s,
            rerun=given.settings["rerun"].split(",") if "rerun" in given.settings else (),
            name=requested_grids.name_of(given.block),
        )
    store, choice = Store(runtime.store), cell_choice.of_cells(requested_grids.name_of(given.block), planned)
    if arguments.json:
        print(json.dumps({"exit_code": code, **_outcome(store, choice)}, indent=1))
    elif code != INTERRUPTED or deadline_s is not None:
        table_output.after(store, choice)
    return code


def _outcome(store: Store, choice: Choice) -> dict[str, Any]:
    """Return the current status and scores of these cells in the store."""
    known = {key: cell for key, cell in choice.cells.items() if cell is not None}
    rows = cell_rows.rows(store, choice.cells, known)
    return {"store": str(store.path), "counts": dict(Counter(str(row["status"]) for row in rows)), "cells": rows}
