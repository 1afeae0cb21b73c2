"""Show one cell's record: scores, curve, cost, error, log, and the command that runs it.

deltabench show KEY [store=DIR] [--json]     KEY: the first digits, at least four

As JSON: {"key", "status", "stale", "attempts": [{"attempt", "status"}], "record": null if there is none, "curve":
evaluations, "log": the last lines, "folder", "command", "why_null": why there is no command}.
"""

import argparse
import json
import sys
from typing import Any

from harness.cli import command_line, record_text
from harness.config import compose
from harness.errors import UsageError, plain
from harness.experiments.rerun_command import command, missing
from harness.files import plain_files, strict_json
from harness.paths import located
from harness.store import identity
from harness.store.attempt_folder import LOG
from harness.store.store import Store

LOG_LINES = 10


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `deltabench show`."""
    parser.add_argument("key", metavar="KEY")
    parser.add_argument("words", nargs="*", metavar="store=DIR")
    parser.add_argument("--json", action="store_true", help="print JSON")


def main(arguments: argparse.Namespace) -> int:
    """Run `deltabench show` and return its exit code."""
    given = command_line.parse(arguments.words, ())
    if given.block or given.added:
        raise UsageError(f"show takes a KEY and store=DIR, not {next(iter([*given.block, *given.added]))}=….")
    store = Store(given.configure(compose.defaults()["runtime"]).store)
    view = look(store, store.find(arguments.key))
    if arguments.json:
        print(json.dumps(strict_json.finite(view), ensure_ascii=False, indent=1))
    else:
        _print(view)
    return 0


def look(store: Store, key: str) -> dict[str, Any]:
    """Return everything that the store has about a cell."""
    record, summary = store.read(key), store.summary(key)
    begun = store.numbers(key)
    ended = dict(store.attempts(key))  # which may find a damaged record
    ended = dict.fromkeys(store.damaged_attempts(key), "damaged") | ended
    status = store.status(key)
    unfinished = "running" if status == "running" else "cut off"
    number = record["attempt"] if record and status != "running" else begun[-1] if begun else None
    folder = store.attempt(key, number).path if number else store.folder(key)
    rerun, why = _command(store, key, record)
    return {
        "key": key,
        "status": status,
        "stale": summary is not None and store.is_stale(key, summary),
        "attempts": [{"attempt": attempt, "status": ended.get(attempt, unfinished)} for attempt in begun],
        "record": record,
        "curve": store.evaluations(key, number) if number else [],
        "log": plain_files.tail(folder / LOG, LOG_LINES),
        "folder": str(folder),
        "command": rerun,
        "why_null": why,
    }


def _command(store: Store, key: str, record: dict[str, Any] | None) -> tuple[str | None, str | None]:
    try:
        cell = identity.from_json(record["cell"]) if record else store.cell(key)
        lost = missing(cell)
        return (None, lost) if lost else (command(cell, _place(store)), None)
    except UsageError as error:  # a method or a field that is not known here
        return None, str(error)


def _place(store: Store) -> str | None:
    """Return the store's path where it is not the default store."""
    usual = located(str(compose.defaults()["runtime"]["store"]))
    return None if store.path.resolve() == usual.resolve() else str(store.path.resolve())


def _print(view: dict[str, Any]) -> None:
    record, curve = view["record"], view["curve"]
    if record is not None:
        print(record_text.text(record, curve))
    if record is None or view["status"] == "running":
        print(f"{'key':<10} {view['key']}\n{'status':<10} {view['status']}")
    if len(view["attempts"]) > 1 or record is None:
        attempts = ", ".join(f"{attempt['attempt']} {attempt['status']}" for attempt in view["attempts"])
        print(f"{'attempts':<10} {attempts or 'none'}")
    points = record_text.series(curve)
    if len(points) > 1:
        mark = "•" if "utf" in (sys.stdout.encoding or "").lower() else "*"
        print("\n".join(["", "validation score by step", *record_text.plot(points, mark), ""]))
    if view["log"] and not (record or {}).get("error"):
        print("\n".join(f"{'log' if not place else '':<10} {plain(line)}" for place, line in enumerate(view["log"])))
    print(f"{'folder':<10} {view['folder']}")
    print(f"{'command':<10} {view['command'] or view['why_null']}")
