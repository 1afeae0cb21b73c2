"""Show why a cell is stale, or how two cells differ.

deltabench why KEY [store=DIR] [--json]          which code, package, weights or rows changed since it was made
deltabench why KEY OTHER [store=DIR] [--json]    the fields in which they differ, and how their code differs

As JSON: {"key", "status", "stale", "message": of a failure, "code": [{"part", "then", "now"}], "inputs": [{"part",
"then", "now"}]: weights and rows on this machine that the cell's command would use instead}, or
{"key", "other", "fields": [{"field", "one", "other"}], "code": [{"part", "one", "other"}]}. Code is shown as digests.
"""

import argparse
import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

from harness import formatting
from harness.cli import command_line
from harness.config import compose
from harness.config.schema import Cell
from harness.errors import UsageError, plain
from harness.files import strict_json
from harness.models import weight_files
from harness.store import columns, fingerprint, identity
from harness.store.store import Store
from tasks import registry as tasks


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `deltabench why`."""
    parser.add_argument("key", metavar="KEY")
    parser.add_argument("words", nargs="*", metavar="OTHER | store=DIR")
    parser.add_argument("--json", action="store_true", help="print JSON")


def main(arguments: argparse.Namespace) -> int:
    """Run `deltabench why` and return its exit code."""
    others = [word for word in arguments.words if "=" not in word]
    given = command_line.parse([word for word in arguments.words if "=" in word], ())
    if given.block or given.added:
        raise UsageError(f"why takes keys and store=DIR, not {next(iter([*given.block, *given.added]))}=….")
    store = Store(given.configure(compose.defaults()["runtime"]).store)
    key = store.find(arguments.key)
    if len(others) > 1:
        raise UsageError("why takes one key, or two keys to compare.")
    result = differences(store, key, store.find(others[0])) if others else changes(store, key)
    if arguments.json:
        print(json.dumps(strict_json.finite(result), ensure_ascii=False, indent=1))
    else:
        print("\n".join(map(plain, _lines_of_differences(result) if others else _lines_of_changes(result))))
    return 0


def changes(store: Store, key: str) -> dict[str, Any]:
    """Return what changed since the current record was made."""
    record = store.read(key)
    if record is None:
        absent = store.without_record(key)
        return {"key": key, "status": store.status(key), "stale": False, "message": absent, "code": [], "inputs": []}
    then = _parts(record)
    now = fingerprint.parts(fingerprint.Subject.of_record(record))
    changed = fingerprint.differing(then, now)
    return {
        "key": key,
        "status": record["status"],
        "stale": record["status"] == "done" and bool(changed),
        "message": (record.get("error") or {}).get("message"),
        "code": [{"part": name, "then": before, "now": today} for name, (before, today) in changed.items()],
        "inputs": list(_inputs(_cell(store, key))),
    }


def _inputs(cell: Cell) -> Iterator[dict[str, str]]:
    """Yield the weights and the rows of this machine that are no longer those of the cell. Nothing is fetched."""
    with suppress(UsageError, OSError):
        if weight_files.with_source(cell.model).source != "hub":
            now = weight_files.resolve(replace(cell.model, revision="")).revision
            if now != cell.model.revision:
                yield {"part": f"weights of {cell.model.name}", "then": cell.model.revision, "now": now}
    with suppress(UsageError, OSError):
        if tasks.row(cell.task).generated or cell.task.data_dir:
            now = tasks.resolve(replace(cell.task, digest="")).digest
            if now != cell.task.digest:
                yield {"part": f"rows of {cell.task.name}", "then": cell.task.digest, "now": now}


def differences(store: Store, key: str, other: str) -> dict[str, Any]:
    """Return how two cells differ: in fields of their identity, and in the code that made their records."""
    cells = (identity.to_json(_cell(store, name), kinds=("identity",)) for name in (key, other))
    left, right = (dict(_flat(columns.without_solved(cell))) for cell in cells)
    ours, theirs = (fingerprint.by_row(_parts(store.read(name) or {})) for name in (key, other))
    shared = ours.keys() & theirs.keys()  # other methods have other rows, and a row may be newer than a record
    return {
        "key": key,
        "other": other,
        "fields": [{"field": name, "one": a, "other": b} for name, a, b in _apart(left, right)],
        "code": [{"part": name, "one": a, "other": b} for name, a, b in _apart(ours, theirs) if name in shared],
    }


def _lines_of_changes(result: Mapping[str, Any]) -> Iterator[str]:
    head = f"{result['key'][:12]} is {result['status']}"
    if result["message"]:
        yield f"{head}: {result['message']}"
    for row in result["inputs"]:
        change = f"{row['then']} then, {row['now']} now"
        yield f"{head}, but the {row['part']} changed: {change}. Its command makes another cell."
    if not result["code"]:
        if not result["message"] and not result["inputs"]:
            yield f"{head} and up to date: its results version is the current one."
        return
    changed = {row["part"]: (row["then"], row["now"]) for row in result["code"]}
    yield f"{head} and stale:" if result["stale"] else "since then:"
    yield from (f"  {line}" for line in fingerprint.sentences(changed))


def _lines_of_differences(result: Mapping[str, Any]) -> Iterator[str]:
    pair = f"{result['key'][:12]} and {result['other'][:12]}"
    if not result["fields"]:
        yield f"{pair}: they are the same cell."
    else:
        yield f"{pair} differ in (- where a cell has no value):"
    valued = (row for row in result["fields"] if row["one"] is not None or row["other"] is not None)
    yield from (f"  {row['field']}: {_word(row['one'])} | {_word(row['other'])}" for row in valued)
    if result["code"]:
        yield "their records were made under different results versions:"
        yield from (f"  {row['part']}: {_word(row['one'])} | {_word(row['other'])}" for row in result["code"])


def _cell(store: Store, key: str) -> Cell:
    record = store.read(key)
    return identity.from_json(record["cell"]) if record else store.cell(key)


def _parts(record: Mapping[str, Any]) -> dict[str, Any]:
    return dict((record.get("provenance") or {}).get("fingerprint_parts") or {})


def _apart(left: Mapping[str, Any], right: Mapping[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    for name in sorted({*left, *right}):
        if left.get(name) != right.get(name) or (name in left) != (name in right):
            yield name, left.get(name), right.get(name)


def _word(value: Any) -> str:
    return "-" if value is None else formatting.value(value)


def _flat(content: Mapping[str, Any], start: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in content.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{start}{name}.")
        else:
            yield f"{start}{name}", value
