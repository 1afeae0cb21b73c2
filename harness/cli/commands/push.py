"""Publish a finished cell's delta with its card.

deltabench push KEY --to FOLDER                 a folder in the Hub's layout, without a network
deltabench push KEY --to owner/name [--public]  a repository of the Hub, private unless --public is given
    [--format auto|peft|deltabench] [--checkpoint best|last] [--license ID] [store=DIR]

auto writes PEFT's files where PEFT has the method, and ours otherwise. The card lists method, task, score, parent and
licence (the backbone's, unless --license gives another). Log in to the Hub with `hf auth login`.
"""

import argparse
from pathlib import Path

from harness.cli import command_line
from harness.config import compose
from harness.errors import UsageError, near
from harness.sharing import forms, transfer
from harness.sharing.new_folder import new_folder
from harness.store.attempt_folder import CHECKPOINTS
from harness.store.store import Store

FORMATS = ("auto", *forms.FILES)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `deltabench push`."""
    parser.add_argument("key", metavar="KEY")
    parser.add_argument("words", nargs="*", metavar="store=DIR")
    parser.add_argument("--to", required=True, metavar="FOLDER|owner/name")
    parser.add_argument("--format", default="auto", metavar="|".join(FORMATS))
    parser.add_argument("--checkpoint", default="best", metavar="|".join(CHECKPOINTS))
    parser.add_argument(
        "--license", metavar="ID", help="licence of the delta, e.g. apache-2.0 (default: the backbone's)"
    )
    parser.add_argument("--public", action="store_true", help="make the repository public")


def main(arguments: argparse.Namespace) -> int:
    """Run `deltabench push` and return its exit code."""
    for value, known in ((arguments.format, FORMATS), (arguments.checkpoint, CHECKPOINTS)):
        if value not in known:
            raise UsageError(f"{value!r} must be one of {', '.join(known)}.{near(value, known)}")
    given = command_line.parse(arguments.words, ())
    if given.block or given.added:
        raise UsageError(f"push takes a key and store=DIR, not {next(iter([*given.block, *given.added]))}=….")
    store = Store(given.configure(compose.defaults()["runtime"]).store)
    key, target = store.find(arguments.key), transfer.place(arguments.to)
    form, checkpoint = arguments.format, arguments.checkpoint
    if isinstance(target, Path):
        with new_folder(target) as folder:
            card = transfer.pack(store, key, checkpoint, folder, form, arguments.license)
        print(f"{card['form']} files and card: {target}")
    else:
        print(transfer.send(store, key, checkpoint, target, form, arguments.license, arguments.public))
    return 0
