"""Merge another store into a store, export its records to one file, free disk space, or remove cells.

deltabench store merge OTHER [store=DIR] [--dry-run] [--json]     take the better records of OTHER: a store, or a folder
                                                                  that --export wrote (or its records.jsonl.gz)
deltabench store export FILE.parquet [store=DIR] [--json]         one row per record; or FILE.jsonl.gz, JSON lines
deltabench store gc [--delete] [store=DIR] [--json]               list what could be freed; --delete frees it
deltabench store rm KEY|GRID [--yes] [store=DIR] [--json]         remove a cell, or a grid of `deltabench status`

export: FILE.parquet has a typed column per config field, score, memory figure, step time and count of operations, with
the names of the command line (method.rank) or of the record (memory.train.process_bytes), and the reasons of nulls
(memory.why_null.torch). pandas.read_parquet("FILE.parquet") reads it.
merge: done is better than not done, current than stale, a result than a failure; on a tie this store's record stays.
To go on from one of our reference runs with more seeds or arms: deltabench store merge results/reference/icl. An
exported run has records, curves and what test rows scored, but no weights and no predictions. A sweep trains a merged
cell again where another cell builds on it.
gc: weights of superseded attempts, checkpoints of cells with a result, half-written files and leases of ended
processes. Records, curves, predictions and logs always stay.
rm: prints what would be removed and which other cells build on it, and asks for confirmation on a terminal; --yes
confirms, --dry-run removes nothing. A GRID is its name or its choices (method=lora seed=0,1). A cell that is running
stays. Several KEYs may be given.
As JSON: {"store", "other", "taken": [KEY], "kept": [KEY], "skipped": {KEY: why}}; {"store", "file", "records"};
{"store", "deleted", "bytes", "files": [{"path", "bytes", "why"}]}; {"store", "removed": [KEY], "bytes",
"running": [KEY], "needed_by": {KEY: [KEY]}}.
"""

import argparse
import contextlib
import json
import re
import sys
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from harness import formatting
from harness.analysis import report
from harness.cli import cell_choice, command_line
from harness.config import compose
from harness.errors import UsageError, near
from harness.experiments.rates import rate_tuning
from harness.files import plain_files
from harness.paths import located
from harness.store import archive, garbage_collection, identity, merge, requested_grids
from harness.store.store import Store

_ARCHIVE_END = ".jsonl.gz"
KINDS = {".parquet": archive.table, _ARCHIVE_END: archive.archive}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `deltabench store`."""
    parser.add_argument("what", metavar="merge|export|gc|rm")
    parser.add_argument("words", nargs="*", metavar="OTHER | FILE | KEY | GRID | store=DIR")
    parser.add_argument("--dry-run", action="store_true", help="merge, rm: show what would be done and do nothing")
    parser.add_argument("--yes", action="store_true", help="rm: remove without a question")
    parser.add_argument("--delete", action="store_true", help="gc: free the space")
    parser.add_argument("--json", action="store_true", help="print JSON")


def main(arguments: argparse.Namespace) -> int:
    """Run `deltabench store` and return its exit code."""
    if arguments.what not in ACTS:
        raise UsageError(f"there is no action {arguments.what!r} for a store.{near(arguments.what, ACTS)}")
    given = command_line.parse([word for word in arguments.words if word.startswith("store=")], ())
    named = [word for word in arguments.words if not word.startswith("store=")]
    least, most, text = TAKES[arguments.what]
    if not least <= len(named) <= most:
        raise UsageError(f"store {arguments.what} takes {text}, not {' '.join(named) or 'nothing'}.")
    store = Store(given.configure(compose.defaults()["runtime"]).store)
    if arguments.what != "merge":
        store.check_present()
    result, text = ACTS[arguments.what](store, arguments, *named)
    print(json.dumps(result, ensure_ascii=False, indent=1) if arguments.json else text)
    return 0


def _merge(store: Store, arguments: argparse.Namespace, name: str) -> tuple[dict[str, Any], str]:
    with _other(located(name), name) as other:
        if other.path.resolve() == store.path.resolve():
            raise UsageError(f"{name}: this is the store itself; store=DIR names the store to merge into.")
        if not arguments.dry_run:
            store.check_writable()
        merged = merge.merge(store, other, arguments.dry_run)
    result = {"store": str(store.path), "other": name, **vars(merged)}
    lines = [f"{key[:12]} is left out: {why}" for key, why in merged.skipped.items()]
    verb = "would be taken" if arguments.dry_run else "taken"
    left = f", {len(lines)} left out" if lines else ""
    return result, "\n".join(
        [*lines, f"{len(merged.taken)} cells {verb}, {len(merged.kept)} already as good in this store{left}"]
    )


@contextlib.contextmanager
def _other(path: Path, name: str) -> Iterator[Store]:
    """Yield the store in a folder, or a temporary one with the runs of an archive."""
    if not path.exists():
        raise UsageError(f"{name}: there is no such file or folder.")
    packed = path / archive.ARCHIVE if (path / archive.ARCHIVE).is_file() else path
    if packed.is_file() and packed.name.endswith(_ARCHIVE_END):
        with tempfile.TemporaryDirectory(prefix="deltabench-") as folder:
            unpacked = Store(folder, read_only=False)
            archive.unpack(packed, unpacked, _index(packed.with_name(report.INDEX)))
            yield unpacked
        return
    if not (path / "cells").is_dir():
        raise UsageError(
            f"{name}: this is no store of deltabench and no archive of records; name a folder that contains `cells` "
            f"or {archive.ARCHIVE}, or a file that ends in {_ARCHIVE_END}."
        )
    yield Store(path, read_only=True)


def _index(path: Path) -> dict[str, Any] | None:
    """Return the description of the exhibit whose records an archive has; None where there is none beside it."""
    try:
        index = plain_files.read_json(path)
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise UsageError(
            f"{path}: this is no description of an exhibit: {error}. Remove it, or copy it again."
        ) from None
    if not (isinstance(index.get("exhibit"), str) and isinstance(index.get("scale"), str)):
        raise UsageError(f"{path}: it names no exhibit and no scale. Remove it, or copy it again.")
    return index


def _export(store: Store, arguments: argparse.Namespace, name: str) -> tuple[dict[str, Any], str]:
    act, path = next((act for end, act in KINDS.items() if name.endswith(end)), None), located(name)
    if act is None or path.is_dir():
        raise UsageError(f"{name}: the file's name must end in {' or '.join(KINDS)}.")
    count = act(store, store.keys(), path)
    return {"store": str(store.path), "file": name, "records": count}, f"{count} records: {name}"


def _gc(store: Store, arguments: argparse.Namespace) -> tuple[dict[str, Any], str]:
    if arguments.delete:
        store.check_writable()
    waste = garbage_collection.find(store)
    if arguments.delete:
        waste = garbage_collection.free(store, waste)
    rows = [{"path": str(file.path.relative_to(store.path)), "bytes": file.bytes, "why": file.why} for file in waste]
    total = sum(file.bytes for file in waste)
    groups: dict[str, list[int]] = defaultdict(list)
    for file in waste:
        groups[file.why].append(file.bytes)
    lines = [(why, str(len(sizes)), f"{sum(sizes) / 1e6:.1f} MB") for why, sizes in groups.items()]
    table = [formatting.aligned([("", "files", ""), *lines], right=(1, 2))] if lines else []
    end = "freed" if arguments.delete else "could be freed; --delete frees it" if waste else "to free"
    result = {"store": str(store.path), "deleted": arguments.delete, "bytes": total, "files": rows}
    return result, "\n".join([*table, f"{len(waste)} files, {total / 1e6:.1f} MB {end}"])


def _rm(store: Store, arguments: argparse.Namespace, *names: str) -> tuple[dict[str, Any], str]:
    keys, noted = _named(store, names)
    removal = garbage_collection.removal(store, keys)
    total, dry = sum(removal.bytes.values()), arguments.dry_run
    result = {"store": str(store.path), "bytes": total, "running": [*removal.running], "needed_by": removal.needed_by}
    lines = [f"{key[:12]} is running and stays" for key in removal.running]
    for key, children in removal.needed_by.items():
        few = ", ".join(child[:12] for child in children[:3]) + (" …" if len(children) > 3 else "")
        lines.append(f"{key[:12]} is a parent of {few}, which cannot be run again without it")
    what = f"{formatting.count(len(removal.bytes), 'cell')} with all records, {total / 1e6:.1f} MB"
    if dry or not removal.bytes:
        return {**result, "removed": []}, "\n".join(
            [*lines, f"{what} would be removed" if dry else "nothing to remove"]
        )
    store.check_writable()
    if not arguments.yes:
        _ask("\n".join([*lines, f"remove {what}, from {store.path}? [y/N] "]))
        lines = []
    removed = garbage_collection.remove(store, removal.bytes)
    if noted and not removal.running and len(removed) == len(removal.bytes):
        requested_grids.forget(store, noted)
    text = f"{len(removed)} removed, {sum(removal.bytes[key] for key in removed) / 1e6:.1f} MB freed"
    return {**result, "removed": removed}, "\n".join([*lines, text])


def _named(store: Store, names: Sequence[str]) -> tuple[list[str], str]:
    """Return the keys that a command line names, and the name of the noted grid that they are; "" for none."""
    grids = {grid.name: grid for grid in requested_grids.noted(store)}
    if (name := " ".join(names)) in grids:
        return [place.key for place in grids[name].places], name
    if not any("=" in name for name in names):
        if all(re.fullmatch(r"[0-9a-f]{4,64}", name) for name in names):
            return [store.find(name) for name in names], ""
        known = near(name, grids) or " It has no grids."
        raise UsageError(f"{name!r} is neither a key nor a grid of this store.{known}")
    given = command_line.parse(names, ())
    command_line.refuse_added(given)
    return [identity.key(cell) for cell in cell_choice.of_blocks(rate_tuning.of_words(given.block), store)], ""


def _ask(question: str) -> None:
    """Ask on a terminal. Raises UsageError for any answer but yes, and where nobody can be asked."""
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise UsageError("store rm asks before it removes, and this is no terminal: add --yes, or --dry-run to look.")
    answer = ""
    with contextlib.suppress(EOFError):  # Ctrl-D
        answer = input(question)
    if answer.strip().casefold() not in ("y", "yes"):
        raise UsageError("nothing was removed; answer y to remove.")


ACTS: Mapping[str, Callable[..., tuple[dict[str, Any], str]]] = {
    "merge": _merge,
    "export": _export,
    "gc": _gc,
    "rm": _rm,
}
TAKES = {
    "merge": (1, 1, "the folder of the other store, or an archive"),
    "export": (1, 1, "one FILE.parquet"),
    "gc": (0, 0, "no more"),
    "rm": (1, 1000, "a KEY or a GRID"),
}
