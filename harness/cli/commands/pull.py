"""Fetch a pushed delta with its card, from a folder or the Hub.

deltabench pull owner/name [--revision COMMIT] [--to FOLDER]
deltabench pull FOLDER --to FOLDER

The files are checked (safetensors and JSON only, nothing is unpickled) and written to FOLDER, by default ./name. Score
them with `deltabench delta score FOLDER`. Import PEFT's files with `deltabench delta import FOLDER --to NEW
model=NAME`.
"""

import argparse
from pathlib import Path

from harness.errors import UsageError
from harness.paths import located, named
from harness.sharing import model_card, transfer


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `deltabench pull`."""
    parser.add_argument("source", metavar="FOLDER|owner/name")
    parser.add_argument("--to", metavar="FOLDER", help="an empty or new folder to write to")
    parser.add_argument("--revision", metavar="COMMIT", help="a commit, branch or tag of the Hub")


def main(arguments: argparse.Namespace) -> int:
    """Run `deltabench pull` and return its exit code."""
    own = named(arguments.source)
    source = own if own.is_dir() else transfer.place(arguments.source)
    if isinstance(source, Path) and not arguments.to:
        raise UsageError("pull from a folder needs another one to write to: add --to FOLDER.")
    name = arguments.to or str(source).rpartition("/")[2]
    card = transfer.fetch(source, located(name), arguments.revision)
    cell, base = card["cell"], card["base_model"]
    print(f"{cell['method']['name']} on {base['name']} for {cell['task']['name']}, licence {card['license']}: {name}")
    for split, figures in card["scores"].items():
        text = "  ".join(f"{figure} {value:.4g}" for figure, value in figures.items() if isinstance(value, int | float))
        print(f"{split:<12} {text}")
    plain = name if not name.startswith("-") else f"./{name}"
    print(f"next: {model_card.again(card, plain)[0]}")
    return 0
