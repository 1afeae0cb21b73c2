"""Merge another store into a store, export its records to one file, or free disk space.

deltabench store merge OTHER [store=DIR] [--dry-run] [--json]     take the better records of the store OTHER
deltabench store export FILE.parquet [store=DIR] [--json]         one row per record; or FILE.jsonl.gz, JSON lines
deltabench store gc [--delete] [store=DIR] [--json]               list what could be freed; --delete frees it

export: FILE.parquet has a typed column per config field, score, memory figure, step time and count of operations, with
the names of the command line (method.rank) or of the record (memory.train.process_bytes), and the reasons of nulls
(memory.why_null.torch). pandas.read_parquet("FILE.parquet") reads it.
merge: done is better than not done, fresh than stale, a result than a failure; on a tie this store's record stays.
gc: weights of superseded attempts, checkpoints of cells with a result, half-written files and leases of ended
processes. Records, curves, predictions and logs always stay.
As JSON: {"store", "other", "taken": [KEY], "kept": [KEY], "skipped": {KEY: why}}; {"store", "file", "records"};
{"store", "deleted", "bytes", "files": [{"path", "bytes", "why"}]}.
"""

import argparse
import json
from collections import defaultdict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from harness import formatting
from harness.cli import arguments as words
from harness.config import compose
from harness.errors import UsageError, near
from harness.paths import located
from harness.store import archive, garbage_collection, merge
from harness.store.store import Store

KINDS = {".parquet": archive.table, ".jsonl.gz": archive.archive}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `deltabench store`."""
    parser.add_argument("what", metavar="merge|export|gc")
    parser.add_argument("words", nargs="*", metavar="OTHER | FILE | store=DIR")
    parser.add_argument("--dry-run", action="store_true", help="merge: show what would be taken and write nothing")
    parser.add_argument("--delete", action="store_true", help="gc: free the space")
    parser.add_argument("--json", action="store_true", help="print JSON")


def main(arguments: argparse.Namespace) -> int:
    """Run `deltabench store` and return its exit code."""
    if arguments.what not in ACTS:
        raise UsageError(f"there is no action {arguments.what!r} for a store.{near(arguments.what, ACTS)}")
    given = words.parse([word for word in arguments.words if word.startswith("store=")], ())
    named = [word for word in arguments.words if not word.startswith("store=")]
    wanted = 0 if arguments.what == "gc" else 1
    if len(named) != wanted:
        text = {"merge": "the folder of the other store", "export": "one FILE.parquet"}.get(arguments.what, "no more")
        raise UsageError(f"store {arguments.what} takes {text}, not {' '.join(named) or 'nothing'}.")
    path = Path(given.configure(compose.defaults()["runtime"]).store)
    if not (path / "cells").is_dir() and arguments.what != "merge":
        raise UsageError(f"store={path}: there is no store yet; `deltabench run` makes it.")
    result, text = ACTS[arguments.what](Store(path), arguments, *named)
    print(json.dumps(result, ensure_ascii=False, indent=1) if arguments.json else text)
    return 0


def _merge(store: Store, arguments: argparse.Namespace, name: str) -> tuple[dict[str, Any], str]:
    other = located(name)
    if not (other / "cells").is_dir():
        raise UsageError(f"{name}: this is no store of deltabench; name the folder that contains `cells`.")
    if other.resolve() == store.path.resolve():
        raise UsageError(f"{name}: this is the store itself; store=DIR names the store to merge into.")
    if not arguments.dry_run:
        store.check_writable()
    merged = merge.merge(store, Store(other, read_only=True), arguments.dry_run)
    result = {"store": str(store.path), "other": name, **vars(merged)}
    lines = [f"{key[:12]} is left out: {why}" for key, why in merged.skipped.items()]
    verb = "would be taken" if arguments.dry_run else "taken"
    left = f", {len(lines)} left out" if lines else ""
    return result, "\n".join([*lines, f"{len(merged.taken)} cells {verb}, {len(merged.kept)} as good here{left}"])


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
    rows = [{"path": str(one.path.relative_to(store.path)), "bytes": one.bytes, "why": one.why} for one in waste]
    total = sum(one.bytes for one in waste)
    groups: dict[str, list[int]] = defaultdict(list)
    for one in waste:
        groups[one.why].append(one.bytes)
    lines = [(why, str(len(sizes)), f"{sum(sizes) / 1e6:.1f} MB") for why, sizes in groups.items()]
    table = [formatting.aligned([("", "files", ""), *lines], right=(1, 2))] if lines else []
    end = "freed" if arguments.delete else "could be freed; --delete frees it" if waste else "to free"
    result = {"store": str(store.path), "deleted": arguments.delete, "bytes": total, "files": rows}
    return result, "\n".join([*table, f"{len(waste)} files, {total / 1e6:.1f} MB {end}"])


ACTS: Mapping[str, Callable[..., tuple[dict[str, Any], str]]] = {"merge": _merge, "export": _export, "gc": _gc}
