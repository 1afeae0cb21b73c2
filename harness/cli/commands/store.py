"""Look after a store: merge another one into it, export it to one file, free what nobody needs.

deltabench store merge OTHER [store=DIR] [--dry-run] [--json]     take over what is better in the folder OTHER
deltabench store export FILE.parquet [store=DIR] [--json]         one row per record; or FILE.jsonl.gz, JSON lines
deltabench store gc [--delete] [store=DIR] [--json]               what could be freed; --delete frees it

merge: done is better than not done, fresh than stale, a result than a failure; what is as good here stays.
gc: weights of attempts that no longer count, checkpoints of cells with a result, half-written files and leases of
processes that are gone. Records, curves, predictions and logs stay whatever happens.
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
    parser.add_argument("what", metavar="merge|export|gc")
    parser.add_argument("words", nargs="*", metavar="OTHER | FILE | store=DIR")
    parser.add_argument("--dry-run", action="store_true", help="merge: say what would be taken, write nothing")
    parser.add_argument("--delete", action="store_true", help="gc: free it")
    parser.add_argument("--json", action="store_true", help="as JSON")


def main(arguments: argparse.Namespace) -> int:
    if arguments.what not in ACTS:
        raise UsageError(f"a store is not to be {arguments.what!r}.{near(arguments.what, ACTS)}")
    said = words.parse([word for word in arguments.words if word.startswith("store=")], ())
    named = [word for word in arguments.words if not word.startswith("store=")]
    wanted = 0 if arguments.what == "gc" else 1
    if len(named) != wanted:
        told = {"merge": "the folder of the other store", "export": "one FILE.parquet"}.get(arguments.what, "no more")
        raise UsageError(f"store {arguments.what} takes {told}, not {' '.join(named) or 'nothing'}.")
    path = Path(said.configure(compose.defaults()["runtime"]).store)
    if not (path / "cells").is_dir() and arguments.what != "merge":
        raise UsageError(f"store={path}: there is no store yet; `deltabench run` makes it.")
    found, told = ACTS[arguments.what](Store(path), arguments, *named)
    print(json.dumps(found, ensure_ascii=False, indent=1) if arguments.json else told)
    return 0


def _merge(store: Store, arguments: argparse.Namespace, name: str) -> tuple[dict[str, Any], str]:
    other = located(name)
    if not (other / "cells").is_dir():
        raise UsageError(f"{name}: there is no store of deltabench; name its folder, the one with `cells` in it.")
    if other.resolve() == store.path.resolve():
        raise UsageError(f"{name}: this is the store itself; store=DIR names the one that shall take it over.")
    if not arguments.dry_run:
        store.check_writable()
    merged = merge.merge(store, Store(other, read_only=True), arguments.dry_run)
    found = {"store": str(store.path), "other": name, **vars(merged)}
    lines = [f"{key[:12]} is left out: {why}" for key, why in merged.skipped.items()]
    verb = "would be taken" if arguments.dry_run else "taken"
    left = f", {len(lines)} left out" if lines else ""
    return found, "\n".join([*lines, f"{len(merged.taken)} cells {verb}, {len(merged.kept)} as good here{left}"])


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
    found = {"store": str(store.path), "deleted": arguments.delete, "bytes": total, "files": rows}
    return found, "\n".join([*table, f"{len(waste)} files, {total / 1e6:.1f} MB {end}"])


ACTS: Mapping[str, Callable[..., tuple[dict[str, Any], str]]] = {"merge": _merge, "export": _export, "gc": _gc}
