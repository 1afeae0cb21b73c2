"""What the store holds: done, failed, running, stale, missing.

deltabench status [store=DIR] [--json]                     everything in the store
deltabench status method=full,lora seed=0,1,2 [--json]     the cells of this grid
"""

import argparse
import json
from collections import Counter, defaultdict
from collections.abc import Iterable

from harness import cell as cells
from harness import compose, show, words
from harness.fingerprint import is_stale
from harness.store import Store

COLUMNS = (
    "done",
    "stale",
    "oom",
    "failed",
    "diverged",
    "timeout",
    "interrupted",
    "blocked",
    "running",
    "missing",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("words", nargs="*", metavar="key=value")
    parser.add_argument("--json", action="store_true", help="as JSON")


def main(arguments: argparse.Namespace) -> int:
    said = words.parse(arguments.words)
    words.refuse_added(said)
    store = Store(said.configure(compose.defaults()["runtime"]).store)
    table = _count(store, _grid(said) if said.block else _all(store))
    if arguments.json:
        rows = [{"model": model, "task": task, **counts} for (model, task), counts in table.items()]
        print(json.dumps({"store": str(store.path), "rows": rows}, ensure_ascii=False, indent=1))
        return 0
    if not table:
        print(f"store {store.path}: no cells yet. `deltabench run` makes the first.")
        return 0
    used = [column for column in COLUMNS if any(counts[column] for counts in table.values())]
    total = sum((counts for counts in table.values()), Counter[str]())
    lines = [("model", "task", *used)]
    lines += [(model, task, *(str(counts[column]) for column in used)) for (model, task), counts in table.items()]
    lines.append(("all", "", *(str(total[column]) for column in used)))
    print(f"store {store.path}")
    print(show.aligned(lines, right=range(2, len(lines[0]))))
    if total["stale"]:
        print("stale cells count as done; `deltabench why KEY` tells what changed, rerun=stale runs them again.")
    return 0


def _all(store: Store) -> Iterable[tuple[str, str, str]]:
    for key in sorted(store.keys()):
        summary = store.summary(key)
        if summary is not None:
            yield key, summary["model"], summary["task"]
        else:
            cell = store.cell(key)
            yield key, cell.model.name, cell.task.name


def _grid(said: words.Words) -> Iterable[tuple[str, str, str]]:
    from harness import grid

    return [(cells.key(cell), cell.model.name, cell.task.name) for cell in grid.expand([said.block])]


def _count(store: Store, rows: Iterable[tuple[str, str, str]]) -> dict[tuple[str, str], Counter[str]]:
    table: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    for key, model, task in rows:
        status = store.status(key)
        summary = store.summary(key) if status == "done" else None
        table[model, task]["stale" if summary and is_stale(summary) else status] += 1
    return dict(sorted(table.items()))
