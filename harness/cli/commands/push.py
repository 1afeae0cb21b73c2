"""Pass on a finished cell's delta with its card.

deltabench push KEY --to FOLDER                 a folder in the Hub's layout, without any network
deltabench push KEY --to owner/name [--public]  a repository of the Hub, private unless told otherwise
    [--format auto|peft|deltabench] [--checkpoint best|last] [--license ID] [store=DIR]

auto is PEFT's files where PEFT has the method, ours otherwise. The card tells method, task, score, parent and licence
(the backbone's, unless --license says another). Log in to the Hub with `hf auth login`.
"""

import argparse
from pathlib import Path

from harness.cli import arguments as words
from harness.config import compose
from harness.errors import UsageError, near
from harness.sharing import transfer
from harness.store.store import Store

FORMATS = ("auto", *transfer.FORMS)
CHECKPOINTS = ("best", "last")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("key", metavar="KEY")
    parser.add_argument("words", nargs="*", metavar="store=DIR")
    parser.add_argument("--to", required=True, metavar="FOLDER|owner/name")
    parser.add_argument("--format", default="auto", metavar="|".join(FORMATS))
    parser.add_argument("--checkpoint", default="best", metavar="|".join(CHECKPOINTS))
    parser.add_argument("--license", metavar="ID", help="of the delta, e.g. apache-2.0; the backbone's by default")
    parser.add_argument("--public", action="store_true", help="anybody may see the repository")


def main(arguments: argparse.Namespace) -> int:
    for value, known in ((arguments.format, FORMATS), (arguments.checkpoint, CHECKPOINTS)):
        if value not in known:
            raise UsageError(f"{value!r} must be one of {', '.join(known)}.{near(value, known)}")
    said = words.parse(arguments.words, ())
    if said.block or said.added:
        raise UsageError(f"push takes a key and store=DIR, not {next(iter([*said.block, *said.added]))}=….")
    store = Store(said.configure(compose.defaults()["runtime"]).store)
    key, target = store.find(arguments.key), transfer.place(arguments.to)
    form, checkpoint = arguments.format, arguments.checkpoint
    if isinstance(target, Path):
        card = transfer.pack(store, key, checkpoint, target, form, arguments.license)
        print(f"{card['form']} files and card: {target}")
    else:
        print(transfer.send(store, key, checkpoint, target, form, arguments.license, arguments.public))
    return 0
