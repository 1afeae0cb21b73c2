"""Run one cell.

deltabench run method=lora model=micro-t5-nano task=micro/sentiment seed=0
deltabench run method=lora method.rank=16 recipe.learning_rate=3e-3 store=results/mine

Choices are key=value: method, model, task, recipe, objective, seed; method.FIELD, model.FIELD, task.FIELD,
recipe.FIELD; store, device, threads, timeout, keep; launcher, rerun. Other values come from conf/run.yaml.
A method that builds on finished cells takes them as parents.ROLE=KEY or 'parents.ROLE={task: NAME}'.
--json: progress goes to the error stream, and the output is that of `deltabench show KEY --json`.
"""

import argparse
import contextlib
import json
import sys
from dataclasses import replace

from harness.cli import command_line, record_text, request
from harness.cli.commands.show import look
from harness.config.launchers import Launcher
from harness.errors import UsageError
from harness.execution import sweep
from harness.experiments.grids import grid, parent_order
from harness.files import strict_json
from harness.store import identity
from harness.store.store import Store


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `deltabench run`."""
    parser.add_argument("words", nargs="*", metavar="key=value")
    parser.add_argument("--retry", metavar="N", help="how often to retry a cell that was killed or timed out")
    parser.add_argument("--json", action="store_true", help="print the record as JSON")


def main(arguments: argparse.Namespace) -> int:
    """Run `deltabench run` and return its exit code."""
    given = command_line.parse([*arguments.words, *command_line.flag("retry", arguments.retry)], ("launcher", "rerun"))
    command_line.refuse_added(given)
    options = request.read(given)
    planned = grid.expand([given.block])
    wanted = parent_order.without_children(planned)
    if len(wanted) != 1:
        raise UsageError(f"run takes one cell and these choices are {len(wanted)}: use `deltabench sweep`.")
    with contextlib.redirect_stdout(sys.stderr) if arguments.json else contextlib.nullcontext():
        code = sweep.run_cells(planned, replace(options, launcher=options.launcher or Launcher("basic")))
    store, key = Store(options.runtime.store), identity.key(wanted[0])
    record = store.read(key)
    if arguments.json:
        print(json.dumps(strict_json.finite(look(store, key)), ensure_ascii=False, indent=1))
    elif record is not None:
        print(record_text.text(record, store.curve(key)))
    return code
