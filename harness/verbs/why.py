"""Why a cell is stale, or how two cells differ.

deltabench why KEY [store=DIR]          which file or package changed since
deltabench why KEY OTHER [store=DIR]    which fields make them two cells
"""

import argparse
from collections.abc import Iterator, Mapping
from typing import Any

from harness import cell as cells
from harness import compose, fingerprint, words
from harness.errors import UsageError
from harness.store import Store


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("key", metavar="KEY")
    parser.add_argument("words", nargs="*", metavar="OTHER | store=DIR")


def main(arguments: argparse.Namespace) -> int:
    others = [word for word in arguments.words if "=" not in word]
    said = words.parse([word for word in arguments.words if "=" in word])
    store = Store(said.configure(compose.defaults()["runtime"]).store)
    key = store.find(arguments.key)
    if len(others) > 1:
        raise UsageError("why compares one cell with the code of today, or two cells.")
    print(_two(store, key, store.find(others[0])) if others else _one(store, key))
    return 0


def _one(store: Store, key: str) -> str:
    record = store.read(key)
    if record is None:
        return f"{key[:12]} is {store.status(key)}: it has no record yet."
    cell = record["cell"]
    now = fingerprint.parts(cell["method"]["name"], cell["task"]["name"], cell["objective"])
    changed = fingerprint.changes(record["provenance"].get("fingerprint_parts") or {}, now)
    if not changed:
        return f"{key[:12]} is {record['status']} and fresh: the code that made it is the code of today."
    return "\n".join([f"{key[:12]} is {record['status']} and stale:", *(f"  {line}" for line in changed)])


def _two(store: Store, key: str, other: str) -> str:
    left, right = (dict(_flat(cells.to_json(store.cell(k), kinds=("identity",)))) for k in (key, other))
    lines = [
        f"  {name}: {left.get(name, '-')} | {right.get(name, '-')}"
        for name in sorted({*left, *right})
        if left.get(name, "-") != right.get(name, "-")
    ]
    return "\n".join([f"{key[:12]} and {other[:12]} differ in:", *lines]) if lines else "they are the same cell."


def _flat(content: Mapping[str, Any], start: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in content.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{start}{name}.")
        else:
            yield f"{start}{name}", value
