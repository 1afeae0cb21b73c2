"""Run one cell.

deltabench run method=lora model=micro-t5-nano task=micro/sentiment seed=0
deltabench run method=lora method.rank=16 recipe.learning_rate=3e-3 store=results/mine

Words are key=value: method, model, task, recipe, objective, seed; method.FIELD, model.FIELD, task.FIELD,
recipe.FIELD; store, device, threads, timeout, keep; launcher, rerun. What is not said comes from conf/run.yaml.
A method that builds on finished cells is told them as parents.ROLE=KEY or 'parents.ROLE={task: NAME}'.
--json: what it says while it runs goes to the error stream; then what `deltabench show KEY --json` tells.
"""

import argparse
import contextlib
import json
import sys

from harness import atomic_files
from harness.cli import arguments as words
from harness.cli import record_text
from harness.cli.commands.show import look
from harness.config import compose, launchers
from harness.errors import UsageError
from harness.execution import sweep
from harness.experiments import grid, parent_order
from harness.store import identity
from harness.store.store import Store


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("words", nargs="*", metavar="key=value")
    parser.add_argument("--retry", metavar="N", help="how often to try a cell again that was killed or out of time")
    parser.add_argument("--json", action="store_true", help="its record as JSON")


def main(arguments: argparse.Namespace) -> int:
    said = words.parse([*arguments.words, *words.flag("retry", arguments.retry)], ("launcher", "rerun"))
    words.refuse_added(said)
    runtime = said.configure(compose.defaults()["runtime"])
    launcher = launchers.choose(said.settings) or "basic"
    found = grid.expand([said.block])
    wanted = parent_order.leaves(found)
    if len(wanted) != 1:
        raise UsageError(f"run is for one cell and these choices are {len(wanted)}: use `deltabench sweep`.")
    rerun = said.settings.get("rerun", "").split(",") if "rerun" in said.settings else ()
    with contextlib.redirect_stdout(sys.stderr) if arguments.json else contextlib.nullcontext():
        code = sweep.drain(found, runtime, launcher, rerun=rerun)
    store, key = Store(runtime.store), identity.key(wanted[0])
    record = store.read(key)
    if arguments.json:
        print(json.dumps(atomic_files.finite(look(store, key)), ensure_ascii=False, indent=1))
    elif record is not None:
        print(record_text.text(record, store.curve(key)))
    return code
