"""Run a grid of cells; the same command again resumes.

deltabench sweep method=full,lora,adapter 'task=micro/*' seed=0,1,2
deltabench sweep method=lora method.rank=1,2,4,8 seed=0,1,2 --for 30m launcher=joblib jobs=4
deltabench sweep method=full,lora recipe.learning_rate=tuned seed=0,1,2     a rate for each arm, searched first
deltabench sweep method=lora recipe.learning_rate=tuned search.method.rank=4,8,16 search.trials=24    a rank, too
deltabench sweep 'method=*' --dry-run                        what would run, as `deltabench plan` prints it
deltabench sweep 'method=*' --skip-impossible                the cells that can run, where some combinations cannot

Choices are separated by commas; * ? [] are patterns. A method.FIELD applies to the methods that have it.
search.FIELD=A,B with the rate tuned: Optuna searches the rate and these fields together, with as many trials for every
arm (search.trials, 16); pip install "deltabench[optuna]".
Settings: store, device, threads, timeout (seconds per cell), keep (delta|none); launcher with its fields
(launcher.FIELD=value, see `deltabench list launchers`), jobs (cells at once), rerun (statuses to try again, e.g.
rerun=stale,failed), probe (measurements of finished cells, see `deltabench probe --help`), deterministic (GPUs),
checkpoint_minutes and checkpoint_steps (how often training is saved).
one_pass=4: up to four cells that differ in their learning rate alone train in one process, in one forward and backward
pass a step, which is faster where a step is small. They end as apart, up to rounding, and their records have neither
times nor memory. With --for, and where a method acts between steps, each cell trains by itself.
reuse_frozen=true: a body, an encoder or lower blocks in which nothing trains compute each row once.
compile=true: training steps run as code that torch compiles, which takes minutes once and is kept for later cells.
--for 1h30m: no cell begins that would end later, by its estimate, which the cells that have ended correct. One that
runs when the time is over stops at a checkpoint.
A cell that was killed, or could not read or write, is retried once; --retry N: N times, and after a timeout too.
Exit code: 0 every cell done or out of memory, 1 some failed, 2 usage, 130 interrupted or stopped by --for before
every cell had run, 143 ended by SIGTERM, 129 by SIGHUP (the terminal closed).
At the end the scores are printed as a table, which `deltabench table` prints again at any time.
--json: progress goes to the error stream, and the output is {"exit_code", "store", "counts": {STATUS: cells},
"cells": [{"key", "status", "stale", "method", "arm", "model", "task", "learning_rate", "seed", "name", "metric",
"test", "validation", "why_null"}], "impossible": [{"method", "model", "task", "cells", "reason", "keys"}]}.
"""

import argparse
import contextlib
import json
import sys
from collections import Counter
from dataclasses import replace
from typing import Any

from harness.analysis import cell_rows
from harness.analysis.grid_table import Choice
from harness.cli import cell_choice, command_line, request, table_output
from harness.cli.commands import plan
from harness.errors import Halted
from harness.execution import rounds
from harness.execution.sweep import STOPPED
from harness.experiments.grids import partial_fields
from harness.experiments.rates import rate_tuning
from harness.forecast import dry_run
from harness.store import requested_grids
from harness.store.store import Store


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `deltabench sweep`."""
    parser.add_argument("words", nargs="*", metavar="key=value")
    parser.add_argument("--retry", metavar="N", help="how often to retry a cell that was killed or timed out")
    parser.add_argument("--for", dest="duration", metavar="1h30m", help="stop after this time, at most a tenth later")
    parser.add_argument("--dry-run", action="store_true", help="show what would run and run nothing")
    parser.add_argument("--json", action="store_true", help="print the outcome as JSON")
    request.add_arguments(parser)


def main(arguments: argparse.Namespace) -> int:
    """Run `deltabench sweep` and return its exit code."""
    given = command_line.parse([*arguments.words, *command_line.flag("retry", arguments.retry)])
    command_line.refuse_added(given)
    options = request.read(given, arguments.skip_impossible)
    deadline_s = command_line.seconds(arguments.duration) if arguments.duration else None
    if arguments.dry_run:
        return plan.show(given, options, None, arguments.json)
    store, blocks = Store(options.runtime.store), rate_tuning.of_words(given.block)
    name = requested_grids.name_of(given.block)
    halted: Halted | None = None
    with contextlib.redirect_stdout(sys.stderr) if arguments.json else contextlib.nullcontext():
        planned = rate_tuning.expand(blocks, store, holes=True, spent=())
        print("".join(f"{line}\n" for line in partial_fields.notes(given.block)), end="")
        timed = replace(options, name=name, deadline_s=deadline_s, seconds=dry_run.seconds(store))
        try:
            code, planned = rounds.run(planned, blocks, timed)
        except Halted as error:
            code, halted = 1, error
    store, choice = Store(options.runtime.store), cell_choice.of_cells(name, planned.cells, blocks)
    if arguments.json:
        print(json.dumps({"exit_code": code, **_outcome(store, choice, name)}, indent=1))
    elif halted is None and (code != STOPPED or deadline_s is not None):
        table_output.after(store, choice)
    if halted is not None:  # what ran is reported before the sentence on why the rest did not
        raise halted
    return code


def _outcome(store: Store, choice: Choice, name: str) -> dict[str, Any]:
    """Return the current status and scores of these cells in the store, and what of the grid `name` cannot run."""
    known = {key: cell for key, cell in choice.cells.items() if cell is not None}
    rows = cell_rows.rows(store, choice.cells, known)
    gaps = [vars(gap) for noted in requested_grids.noted(store) if noted.name == name for gap in noted.gaps]
    counts = dict(Counter(str(row["status"]) for row in rows))
    return {"store": str(store.path), "counts": counts, "cells": rows, "impossible": gaps}
