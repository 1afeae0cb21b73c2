"""Show the page of a store in a browser, and refresh it while a sweep runs.

deltabench view [--store DIR] [--port N] [--open]   http://127.0.0.1:8765/, until Ctrl-C
deltabench view delta-ranking                       this exhibit alone, as it ran in the store
deltabench view --reference                         our reference runs

The server answers this machine alone and only reads: nothing is written into the store.
"""

import argparse
import errno
import heapq
import os
import re
from collections.abc import Mapping, Sequence
from typing import Any

from harness.analysis.page import html_file, serve
from harness.cli.commands import report, status
from harness.config import compose
from harness.config.building import build
from harness.config.schema import Runtime
from harness.errors import UsageError, cut, plain
from harness.execution import progress
from harness.store.attempt_folder import RECORD
from harness.store.cell_files import Summary
from harness.store.store import Store

PORT = 8765
MOST_FAILURES = 5
FAILED = ("failed", "diverged", "timeout", "interrupted", "blocked", "oom")
ENDED = ("done", "stale", *FAILED)
Known = tuple[str, str, Summary]
"""The key of a cell, its status, and the summary of its attempt that counts."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `deltabench view`."""
    parser.add_argument("words", nargs="*", metavar="EXHIBIT", help="names of `deltabench list exhibits`")
    parser.add_argument("--store", metavar="DIR", help="the store (default: results/store; store=DIR means the same)")
    parser.add_argument("--reference", action="store_true", help="our reference runs instead of the store")
    parser.add_argument(
        "--port", metavar="N", default=str(PORT), help=f"from 1024 to 65535, 0 for any (default: {PORT})"
    )
    parser.add_argument("--open", action="store_true", help="open a browser")


def main(arguments: argparse.Namespace) -> int:
    """Run `deltabench view` and return its exit code."""
    port = _port(arguments.port)
    place = report.place_of(arguments.words, arguments.store)
    looked_at = None if arguments.reference and place is None else report.opened(place)

    def render(version: str, every: float) -> str:
        content = report.chosen(arguments.words, arguments.store, arguments.reference)
        return html_file.render(content, live=True, version=version, every=every)

    pages = serve.Pages(lambda: news(looked_at), render)
    try:
        server = serve.Server(pages, port)
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise
        raise UsageError(f"--port {port}: another program uses it; name another port, or 0 for any.") from error
    print(f"{server.url} shows it; Ctrl-C ends the server.", flush=True)
    try:
        serve.run(server, _open if arguments.open else None)
    except KeyboardInterrupt:
        print("ended")
    return 0


def _port(text: str) -> int:
    """Return the number of a port. Raise UsageError for any other text."""
    if not re.fullmatch("[0-9]{1,9}", text) or not (int(text) == 0 or 1024 <= int(text) <= 65535):
        raise UsageError(f"--port {cut(text, 40)}: it must be a whole number from 1024 to 65535, or 0 for any one.")
    return int(text)


def _open(url: str) -> None:
    import webbrowser

    if not webbrowser.open(url):
        print(f"no browser can be opened here: open {url} yourself.", flush=True)


def news(store: Store | None) -> Mapping[str, Any]:
    """Return what runs in a store: a line, the cells of its grids, how many have ended, and the last failures."""
    if store is None:
        return {"line": "Our reference runs; nothing runs here.", "cells": 0, "ended": 0, "failures": [], "version": ""}
    runtime = build(Runtime, compose.defaults()["runtime"], "runtime")
    shown = status.report(Store(store.path, read_only=True), (), runtime)
    counts: dict[str, int] = {}
    for row in shown["rows"]:
        for name, count in row.items():
            if isinstance(count, int):
                counts[name] = counts.get(name, 0) + count
    grids = shown["grids"]
    cells = sum(grid["cells"] for grid in grids)
    ended = sum(count for grid in grids for name, count in grid["counts"].items() if name in ENDED)
    known = [(key, state, summary) for key, state, summary in store.statuses() if summary is not None]
    failures = [_failure(store, *each) for each in _latest(store, known)]
    numbers = [f"{name} {counts[name]}" for name in ENDED if counts.get(name)]
    attempts = sum(summary["attempt"] for _, _, summary in known)  # a second attempt may end like the first one
    version = " ".join([str(len(grids)), *numbers, f"attempts {attempts}"])
    return {"line": _line(shown, counts), "cells": cells, "ended": ended, "failures": failures, "version": version}


def _line(shown: Mapping[str, Any], counts: Mapping[str, int]) -> str:
    """Return one line: what has ended, what runs, and how long the rest takes."""
    failed = sum(counts.get(name, 0) for name in FAILED)
    done = counts.get("done", 0) + counts.get("stale", 0)
    parts = [f"{done} done, {failed} failed, {len(shown['running'])} running"]
    steps = [
        f"{cell['key'][:8]} at step {cell['step'] or 0} of {cell['steps'] or '?'}" for cell in shown["running"][:4]
    ]
    parts += [", ".join(steps)] if steps else []
    left = [grid for grid in shown["grids"] if grid["left"]]
    known = [grid["seconds_left"] for grid in left if grid["seconds_left"] is not None]
    if left and shown["running"]:
        time_left = f"about {progress.clock(sum(known))}" if len(known) == len(left) else "an unknown time"
        parts.append(f"{sum(grid['left'] for grid in left)} cells left, {time_left}")
    return "; ".join(parts)


def _latest(store: Store, known: Sequence[Known]) -> list[Known]:
    """Return the cells without a result that ended last, the last one first."""
    failed = [each for each in known if each[1] in FAILED]
    return heapq.nlargest(
        MOST_FAILURES, failed, key=lambda each: (_written(store, each[0], each[2]["attempt"]), each[0])
    )


def _written(store: Store, key: str, attempt: int) -> float:
    """Return when the record of an attempt was written; 0 where it has gone."""
    try:
        return os.stat(store.at(key, f"attempts/{attempt}/{RECORD}")).st_mtime
    except OSError:
        return 0.0


def _failure(store: Store, key: str, state: str, summary: Summary) -> dict[str, str]:
    """Return a cell without a result, with its reason."""
    error = (store.read(key) or {}).get("error") or {}
    name = f"{summary['method']} {summary['model']} {summary['task']} seed {summary['seed']}"
    return {"status": state, "name": name, "reason": plain(" ".join(str(error.get("message") or "").split()))[:160]}
