"""Measure more about a finished cell, from its stored delta.

deltabench probe KEY latency [store=DIR] [device=cpu] [threads=2]    KEY: the first digits, at least four
deltabench probe KEY latency --again                                 measure again and replace the last result

With probe=latency, run, sweep and reproduce probe all their cells, one at a time and after the last cell has ended, so
that no other cell runs meanwhile. The result is stored in the record, and `deltabench show KEY` shows it.
A probe that needs snapshots of the training (weight_decomposition) gives a finished cell without them another attempt.
keep=none stores no snapshots.
"""

import argparse
import json

from harness.cli import command_line
from harness.config import compose
from harness.errors import UsageError
from harness.probes import registry as probes
from harness.store.store import Store


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `deltabench probe`."""
    parser.add_argument("key", metavar="KEY")
    parser.add_argument("probe", metavar="|".join(probes.names()))
    parser.add_argument("words", nargs="*", metavar="key=value")
    parser.add_argument("--again", action="store_true", help="measure again although there is a result")
    parser.add_argument("--json", action="store_true", help="print JSON")


def main(arguments: argparse.Namespace) -> int:
    """Run `deltabench probe` and return its exit code."""
    given = command_line.parse(arguments.words, ())
    if given.block or given.added:
        raise UsageError(f"{next(iter([*given.block, *given.added]))}=…: the key identifies the cell; leave it out.")
    runtime = given.configure(compose.defaults()["runtime"])
    wanted = probes.parse(arguments.probe)
    if len(wanted) != 1:
        raise UsageError(f"{arguments.probe!r}: give one probe of {', '.join(probes.names())}.")
    store = Store(runtime.store)
    key = store.find(arguments.key)
    result = probes.result(store.read(key) or {}, wanted[0])
    if result is None or arguments.again:
        probes.check(wanted[0])
        result = probes.take(store, key, wanted[0], runtime)
    if arguments.json:
        print(json.dumps(result, ensure_ascii=False, indent=1))
    else:
        print("\n".join(probes.descriptions({"probes": {wanted[0]: result}})[wanted[0]]))
    return 0 if result["status"] == "done" else 1
