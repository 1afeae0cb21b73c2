"""Write one HTML file with the verdicts, the exhibits and every attempt of a store or of our reference runs.

deltabench report [--store DIR]                      everything in the store, into results/report.html
deltabench report delta-ranking --out ranking.html   this exhibit, as it ran in the store
deltabench report --reference                        our reference runs
deltabench report --reference --store DIR            both

The file needs no network and no server: a browser opens it from the disk. Nothing is written into the store.
"""

import argparse
import time
from pathlib import Path

from harness.analysis.page import html_file, sources
from harness.cli import command_line
from harness.config import compose
from harness.errors import UsageError, plain
from harness.files import atomic_files
from harness.formatting import count
from harness.paths import located
from harness.store.store import Store

USUAL = Path("results") / "report.html"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `deltabench report`."""
    parser.add_argument("words", nargs="*", metavar="EXHIBIT", help="names of `deltabench list exhibits`")
    parser.add_argument("--store", metavar="DIR", help="the store (default: results/store; store=DIR means the same)")
    parser.add_argument("--reference", action="store_true", help="our reference runs instead of the store")
    parser.add_argument("--out", metavar="FILE", help=f"the file to write (default: {USUAL})")


def main(arguments: argparse.Namespace) -> int:
    """Run `deltabench report` and return its exit code."""
    started = time.monotonic()
    path = located(arguments.out) if arguments.out else USUAL
    if path.is_dir():
        raise UsageError(f"--out {path}: this is a folder; name a file.")
    content = chosen(arguments.words, arguments.store, arguments.reference)
    text = html_file.render(content)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_files.atomic(path) as temporary:
            temporary.write_bytes(text.encode("utf-8", errors="replace"))
    except OSError as error:
        raise UsageError(f"--out {path}: it cannot be written ({error.strerror}); name another file.") from error
    size, took = path.stat().st_size / 1e6, time.monotonic() - started
    print("".join(f"{plain(note)}\n" for note in content.notes), end="")
    number = f"{count(len(content.attempts), 'attempt')}, {count(len(content.exhibits), 'exhibit')}"
    print(f"{path}: {number}, {size:.1f} MB in {took:.1f} s")
    return 0


def chosen(words: list[str], store: str | None, reference: bool) -> sources.Content:
    """Return what a command line chooses: exhibits, of a store, of our reference runs, or of both."""
    names = [word for word in words if "=" not in word]
    place = place_of(words, store)
    if not reference:
        return sources.from_store(opened(place), names)
    ours = sources.from_reference(names)
    return ours if place is None else sources.joined(sources.from_store(opened(place), names), ours)


def place_of(words: list[str], store: str | None) -> str | None:
    """Return the folder that `--store DIR` or `store=DIR` names; None for neither. Raise UsageError for both."""
    given = command_line.parse([word for word in words if "=" in word], ())
    if given.block or given.added or set(given.runtime) - {"store"}:
        raise UsageError("a page takes names of exhibits and store=DIR, and no other choice.")
    if store is not None and "store" in given.runtime:
        raise UsageError(f"--store {store} and store={given.runtime['store']}: give one of them.")
    return store if store is not None else given.runtime.get("store")


def opened(place: str | None) -> Store:
    """Return a store that is only read: the named one, or the usual one. Raise UsageError where it does not exist."""
    words = [] if place is None else [f"store={place}"]
    store = Store(command_line.parse(words, ()).configure(compose.defaults()["runtime"]).store, read_only=True)
    store.check_present()
    return store
