"""Measure something more of a finished cell, from the delta it kept.

deltabench probe KEY latency [store=DIR] [device=cpu] [threads=2]    KEY: the first digits, at least four
deltabench probe KEY latency --again                                 once more, in the place of the last result

run, sweep and reproduce do it for all their cells with probe=latency, after the last of them has ended and one at a
time, so that no cell of ours runs beside. The result stands in the record; `deltabench show KEY` shows it.
Where a probe looks at training from inside (weight_decomposition), they give a finished cell that kept too little
another attempt; keep=none keeps nothing for it.
"""

import argparse
import json

from harness.cli import arguments as words
from harness.config import compose
from harness.errors import UsageError
from harness.probes import registry as probes
from harness.store.store import Store


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("key", metavar="KEY")
    parser.add_argument("probe", metavar="|".join(probes.names()))
    parser.add_argument("words", nargs="*", metavar="key=value")
    parser.add_argument("--again", action="store_true", help="measure although there is a result")
    parser.add_argument("--json", action="store_true", help="as JSON")


def main(arguments: argparse.Namespace) -> int:
    said = words.parse(arguments.words, ())
    if said.block or said.added:
        raise UsageError(f"{next(iter([*said.block, *said.added]))}=…: the key says which cell it is; leave it out.")
    runtime = said.configure(compose.defaults()["runtime"])
    wanted = probes.parse(arguments.probe)
    if len(wanted) != 1:
        raise UsageError(f"{arguments.probe!r}: give one probe of {', '.join(probes.names())}.")
    store = Store(runtime.store)
    key = store.find(arguments.key)
    found = probes.result(store.read(key) or {}, wanted[0])
    if found is None or arguments.again:
        probes.check(wanted[0])
        found = probes.take(store, key, wanted[0], runtime)
    if arguments.json:
        print(json.dumps(found, ensure_ascii=False, indent=1))
    else:
        print("\n".join(probes.told({"probes": {wanted[0]: found}})[wanted[0]]))
    return 0 if found["status"] == "done" else 1
