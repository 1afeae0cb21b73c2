"""Why a cell is stale, or how two cells differ.

deltabench why KEY [store=DIR] [--json]          which file or package changed since it was made
deltabench why KEY OTHER [store=DIR] [--json]    which fields make them two cells, and which code made them

As JSON: {"key", "status", "stale", "message": of a failure, "code": [{"part", "then", "now"}]}, or
{"key", "other", "fields": [{"field", "one", "other"}], "code": [{"part", "one", "other"}]}. Files are told by digests.
"""

import argparse
import json
from collections.abc import Iterator, Mapping
from typing import Any

from harness import atomic_files, formatting
from harness.cli import arguments as words
from harness.config import compose
from harness.config.schema import Cell
from harness.errors import UsageError, plain
from harness.store import fingerprint, identity
from harness.store.store import Store


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("key", metavar="KEY")
    parser.add_argument("words", nargs="*", metavar="OTHER | store=DIR")
    parser.add_argument("--json", action="store_true", help="as JSON")


def main(arguments: argparse.Namespace) -> int:
    others = [word for word in arguments.words if "=" not in word]
    said = words.parse([word for word in arguments.words if "=" in word], ())
    if said.block or said.added:
        raise UsageError(f"why takes keys and store=DIR, not {next(iter([*said.block, *said.added]))}=….")
    store = Store(said.configure(compose.defaults()["runtime"]).store)
    key = store.find(arguments.key)
    if len(others) > 1:
        raise UsageError("why compares one cell with the code of today, or two cells.")
    found = two(store, key, store.find(others[0])) if others else one(store, key)
    if arguments.json:
        print(json.dumps(atomic_files.finite(found), ensure_ascii=False, indent=1))
    else:
        print("\n".join(map(plain, _told_two(found) if others else _told_one(found))))
    return 0


def one(store: Store, key: str) -> dict[str, Any]:
    """What changed since the record that counts was made."""
    record = store.read(key)
    if record is None:
        return {"key": key, "status": store.status(key), "stale": False, "message": "it has no record yet", "code": []}
    cell = record["cell"]
    then = _parts(record)
    now = fingerprint.parts(cell["method"]["name"], cell["task"]["name"], cell["objective"])
    names = sorted({*then, *now})
    changed = [{"part": n, "then": then.get(n), "now": now.get(n)} for n in names if then.get(n) != now.get(n)]
    return {
        "key": key,
        "status": record["status"],
        "stale": record["status"] == "done" and bool(changed),
        "message": (record.get("error") or {}).get("message"),
        "code": changed,
    }


def two(store: Store, key: str, other: str) -> dict[str, Any]:
    """In what two cells differ: fields of their identity, and the code that made their records."""
    left, right = (dict(_flat(identity.to_json(_cell(store, one), kinds=("identity",)))) for one in (key, other))
    ours, theirs = (_parts(store.read(one) or {}) for one in (key, other))
    known = ours and theirs
    return {
        "key": key,
        "other": other,
        "fields": [{"field": name, "one": a, "other": b} for name, a, b in _apart(left, right)],
        "code": [{"part": name, "one": a, "other": b} for name, a, b in _apart(ours, theirs)] if known else [],
    }


def _told_one(found: Mapping[str, Any]) -> Iterator[str]:
    head = f"{found['key'][:12]} is {found['status']}"
    if found["message"]:
        yield f"{head}: {found['message']}"
    then, now = ({row["part"]: row[side] for row in found["code"] if row[side]} for side in ("then", "now"))
    if not found["code"]:
        if not found["message"]:
            yield f"{head} and fresh: the code that made it is the code of today."
        return
    yield f"{head} and stale:" if found["stale"] else "since then:"
    yield from (f"  {line}" for line in fingerprint.changes(then, now))


def _told_two(found: Mapping[str, Any]) -> Iterator[str]:
    pair = f"{found['key'][:12]} and {found['other'][:12]}"
    if not found["fields"]:
        yield f"{pair}: they are the same cell."
    else:
        yield f"{pair} differ in:"
    yield from (f"  {row['field']}: {_word(row['one'])} | {_word(row['other'])}" for row in found["fields"])
    if found["code"]:
        yield "their records were made by different code:"
        yield from (f"  {row['part']}: {_word(row['one'])} | {_word(row['other'])}" for row in found["code"])


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
