"""One cell's record: scores, curve, cost, error, and the command that runs it.

deltabench show KEY [store=DIR] [--json]     KEY: the first digits, at least four
"""

import argparse
import json

from harness import compose, show, words
from harness.command import command
from harness.errors import UsageError
from harness.store import Store


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("key", metavar="KEY")
    parser.add_argument("words", nargs="*", metavar="store=DIR")
    parser.add_argument("--json", action="store_true", help="as JSON")


def main(arguments: argparse.Namespace) -> int:
    store = Store(words.parse(arguments.words).configure(compose.defaults()["runtime"]).store)
    key = store.find(arguments.key)
    record = store.read(key)
    if record is None:
        raise UsageError(f"cell {key[:12]} is {store.status(key)}: it has no record yet.")
    if arguments.json:
        print(json.dumps({"record": record, "curve": store.curve(key)}, ensure_ascii=False, indent=1))
        return 0
    print(show.text(record, store.curve(key)))
    print(f"command    {command(store.cell(key))}")
    return 0
