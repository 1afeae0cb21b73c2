"""Run one cell.

deltabench run method=lora model=micro-t5-nano task=micro/sentiment seed=0
deltabench run method=lora method.rank=16 recipe.learning_rate=3e-3 store=results/mine

Words are key=value: method, model, task, recipe, objective, seed; method.FIELD, model.FIELD, task.FIELD,
recipe.FIELD; store, device, threads, timeout, keep; launcher, rerun. What is not said comes from conf/run.yaml.
"""

import argparse

from harness import cell as cells
from harness import compose, grid, show, sweep, words
from harness.errors import UsageError
from harness.store import Store


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("words", nargs="*", metavar="key=value")


def main(arguments: argparse.Namespace) -> int:
    said = words.parse(arguments.words, ("launcher", "rerun"))
    words.refuse_added(said)
    runtime = said.configure(compose.defaults()["runtime"])
    found = grid.expand([said.block])
    if len(found) != 1:
        raise UsageError(f"run is for one cell and these choices are {len(found)}: use `deltabench sweep`.")
    rerun = said.settings.get("rerun", "").split(",") if "rerun" in said.settings else ()
    code = sweep.drain(found, runtime, said.settings.get("launcher", "basic"), rerun=rerun)
    store, key = Store(runtime.store), cells.key(found[0])
    record = store.read(key)
    if record is not None:
        print(show.text(record, store.curve(key)))
    return code
