"""Show which cells are done, failed, running, stale and missing, per exhibit and grid.

deltabench status [store=DIR] [--json]                     everything in the store, and the grids that ran there
deltabench status 'delta-*' [scale=quick] [--json]         exhibits, run or not
deltabench status method=full,lora seed=0,1,2 [--json]     the cells of this grid
deltabench status --watch                                  again every two seconds, until Ctrl-C

Nothing is fetched: cells of a task whose rows are not on this machine have no key yet, and they count as missing.
The remaining time is estimated from the most similar finished cells. Stale cells count as done.
As JSON: {"store", "quarantined": files there, "running": [{"key", "step", "steps"}], "rows": [{"model", "task",
STATUS: cells}], "cells": [{"key", "status", "stale", "method", "model", "task", "seed", "metric", "test",
"validation", "why_null"}], "grids": [{"grid", "cells", "counts": {STATUS: cells}, "left", "at_once", "seconds_left",
"why_null", "note", "impossible": [{"method", "model", "task", "cells", "reason", "keys"}], "without_rows": [TASK]}]}.
"""

import argparse
import fnmatch
import json
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from harness import formatting, terminal
from harness.analysis import cell_rows
from harness.cli import command_line
from harness.config import compose, launchers
from harness.config.schema import Runtime
from harness.errors import UsageError, near, plain
from harness.execution import progress, sweep
from harness.experiments.grids import holes
from harness.forecast import duration
from harness.forecast.duration import Estimator
from harness.store import requested_grids
from harness.store.requested_grids import Gap, Grid, Place
from harness.store.store import FINAL, Store

if TYPE_CHECKING:
    from harness.experiments.exhibits import Exhibit
    from harness.experiments.rates.planned import Planned

COLUMNS = ("done", "stale", "oom", "failed", "diverged", "timeout", "interrupted", "blocked", "running", "missing")
Counts = Mapping[str, int]
WATCH_S = 2.0
"""The seconds between two looks of --watch."""
MOST_ESTIMATED = 300
"""The number of cells of one grid whose time is estimated by itself; the others take as long on average."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `deltabench status`."""
    parser.add_argument("words", nargs="*", metavar="EXHIBIT | key=value")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--watch", action="store_true", help="show it again and again, until Ctrl-C")


def main(arguments: argparse.Namespace) -> int:
    """Run `deltabench status` and return its exit code."""
    if not arguments.watch:
        return _shown(arguments)
    console = terminal.console()
    with suppress(KeyboardInterrupt):
        while True:
            console.clear()  # on a terminal alone
            _shown(arguments)
            time.sleep(WATCH_S)
    return 0


def _shown(arguments: argparse.Namespace) -> int:
    """Show the status once and return the exit code."""
    named = [word for word in arguments.words if "=" not in word]
    given = command_line.parse([word for word in arguments.words if "=" in word], (*command_line.SETTINGS, "scale"))
    command_line.refuse_added(given)
    launchers.choose(given.settings, here=False)
    runtime = given.configure(compose.defaults()["runtime"])
    store = Store(runtime.store)
    wanted = [*_exhibits(named, given, store), *_grid(given, store)]
    if "store" in given.runtime:  # without the word, a person who has run nothing yet is told how to begin
        store.check_present()
    noted = requested_grids.noted(store) if wanted else []
    wanted = [requested_grids.with_noted_gaps(grid, noted) for grid in wanted]
    known, shown = store.damaged_files(), report(store, wanted, runtime)
    if store.damaged_files() > known:  # a record that proved to be damaged was counted before it was read
        shown = report(store, wanted, runtime)
    if arguments.json:
        print(json.dumps(shown | {"cells": _cells(store, wanted)}, ensure_ascii=False, indent=1))
    else:
        print("\n".join(_lines(shown)))
    return 0


def _exhibits(patterns: Sequence[str], given: command_line.CommandLine, store: Store) -> list[Grid]:
    """Return the grids of every named exhibit, at the given scale or at all of its scales."""
    scale = given.settings.get("scale")
    if not patterns:
        if scale is not None:
            raise UsageError(f"scale={scale} needs an exhibit: name one, or '*'.")
        return []
    if given.block:
        axis = next(iter(given.block))
        raise UsageError(f"status takes exhibits ({patterns[0]}) or a grid ({axis}=…), not both.")
    from harness.config import conf_files
    from harness.experiments import exhibits
    from harness.experiments.grids.grid import reading_once

    folders = conf_files.folders()[:-1]
    known, grids = exhibits.names(folders), []
    for pattern in patterns:
        chosen = fnmatch.filter(known, pattern)
        if not chosen:
            raise UsageError(f"there is no exhibit {pattern!r}.{near(pattern, known)}")
        with reading_once():
            for exhibit in (exhibits.load(name, folders) for name in chosen):
                scales = [scale] if scale else exhibit.grids
                grids += [_expanded(exhibit, scale, store, alone=pattern in known) for scale in scales]
    return grids


def _expanded(exhibit: "Exhibit", scale: str, store: Store, alone: bool) -> Grid:
    """Return an exhibit's grid.

    An exhibit that cannot be planned here raises UsageError where it was named itself. Among several that match a
    pattern it gives an empty grid with the reason.
    """
    from harness.experiments.rates import rate_tuning

    name = f"{exhibit.name} scale={scale}"
    try:
        planned = rate_tuning.expand(exhibit.blocks(scale), store, holes=True)
    except UsageError as error:
        if alone:
            raise
        return Grid(name, (), str(error))
    return _requested(name, planned)


def _waiting(planned: "Planned") -> str:
    """Return the remark on cells that wait for a learning rate; "" where none does."""
    cells = formatting.count(planned.waiting, "more cell")
    return f"{cells} once the learning rates are chosen" if planned.waiting else ""


def _grid(given: command_line.CommandLine, store: Store) -> list[Grid]:
    """Return the grid of the given choices, with its combinations that cannot run; nothing without choices."""
    if not given.block:
        return []
    from harness.experiments.rates import rate_tuning

    planned = rate_tuning.expand(rate_tuning.of_words(given.block), store, holes=True)
    return [_requested(requested_grids.name_of(given.block), planned)]


def _requested(name: str, planned: "Planned") -> Grid:
    """Return a grid with its combinations that cannot run."""
    requested = requested_grids.of(name, planned.cells, holes.gaps(planned.holes))
    return replace(requested, without_rows=holes.without_rows(planned.holes), note=_waiting(planned))


def report(store: Store, wanted: Sequence[Grid], runtime: Runtime) -> dict[str, Any]:
    """Return all that is shown: the wanted grids, or the whole store and the grids that ran there."""
    shown = wanted or requested_grids.noted(store)
    keys = list(dict.fromkeys(place.key for requested in wanted for place in requested.places)) if wanted else None
    rows = {key: (status, summary) for key, status, summary in store.statuses(keys)}
    states = {key: _state(store, key, status, summary) for key, (status, summary) in rows.items()}
    names = {place.key: (place.model, place.task) for requested in shown for place in requested.places}
    estimator = duration.from_store(store, keys)
    running = [key for key, state in states.items() if state == "running"]
    at_once = len(running) or sweep.slots(runtime)
    table: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    for key, (_, summary) in rows.items():
        table[_named(store, key, summary, names)][states[key]] += 1
    return {
        "store": str(store.path),
        "running": [_running(store, key) for key in sorted(running)],
        "grids": [_progress(store, requested, states, estimator, at_once) for requested in shown],
        "rows": [{"model": model, "task": task, **counts} for (model, task), counts in sorted(table.items())],
        "quarantined": store.aside(),
    }


def _cells(store: Store, wanted: Sequence[Grid]) -> list[dict[str, Any]]:
    """Return the cells of the wanted grids, or of the whole store, with their scores."""
    places = {place.key: place for requested in wanted for place in requested.places}
    rows = []
    for key, status, summary in store.statuses(places if wanted else None):
        place = places.get(key)
        names = {name: getattr(place, name, None) for name in ("method", "model", "task")} | {"seed": None}
        names |= {name: value for name, value in (summary or {}).items() if name in names}
        rows.append({**cell_rows.state(store, key, status, summary), **names, **cell_rows.scored(store, key, summary)})
    return rows


def _state(store: Store, key: str, status: str, summary: Mapping[str, Any] | None) -> str:
    return "stale" if cell_rows.state(store, key, status, summary)["stale"] else status


def _named(
    store: Store, key: str, summary: Mapping[str, Any] | None, names: Mapping[str, tuple[str, str]]
) -> tuple[str, str]:
    if summary is not None:
        return summary["model"], summary["task"]
    if key in names:
        return names[key]
    try:
        cell = store.cell(key)
    except UsageError:
        return "unknown", "unknown"
    return cell.model.name, cell.task.name


def _running(store: Store, key: str) -> dict[str, Any]:
    unfinished = store.unfinished(key)
    try:
        steps: int | None = store.cell(key).recipe.steps
    except UsageError:
        steps = None
    return {"key": key, "step": unfinished[-1].last_step() if unfinished else None, "steps": steps}


def _progress(
    store: Store, grid: Grid, states: Mapping[str, str], estimator: Estimator, at_once: int
) -> dict[str, Any]:
    """Return the state of one grid. A combination that cannot run counts as missing and is not left to run."""
    state = {place.key: states.get(place.key, "missing") for place in grid.places}
    counts, impossible = Counter(state.values()), {key for gap in grid.gaps for key in gap.keys}
    if absent := sum(gap.cells for gap in grid.gaps if not gap.keys):
        counts["missing"] += absent
    left = [place for place in grid.places if state[place.key] not in (*FINAL, "stale") and place.key not in impossible]
    seconds = _seconds(store, left, estimator, at_once)
    return {
        "grid": grid.name,
        "cells": len(grid.places) + absent,
        "counts": dict(counts),
        "left": len(left),
        "at_once": at_once,
        "seconds_left": None if seconds is None else round(seconds, 1),
        "why_null": "no cell of the same model has finished here" if seconds is None else None,
        "note": grid.note or None,
        "impossible": [vars(gap) for gap in grid.gaps],
        "without_rows": list(grid.without_rows),
    }


def _seconds(store: Store, left: Sequence[Place], estimator: Estimator, at_once: int) -> float | None:
    """Return the seconds for these cells, so many at once; None where one of them is unknown."""
    each = [_cell_seconds(store, place, estimator, at_once - 1) for place in left[:MOST_ESTIMATED]]
    known = [seconds for seconds in each if seconds is not None]
    if len(known) < len(each):
        return None
    total = sum(known) * len(left) / max(1, len(each))
    return total / max(1, min(at_once, len(left)))


def _cell_seconds(store: Store, place: Place, estimator: Estimator, beside: int) -> float | None:
    """Return the seconds of one cell, by its folder in the store or else by its names."""
    if not estimator.knows(place.model):
        return None
    with suppress(UsageError, OSError):
        if forecast := estimator.cell(store.cell(place.key), beside):
            return forecast.total
    return estimator.place(place)


def _lines(report: Mapping[str, Any]) -> Iterable[str]:
    yield f"store {report['store']}"
    if not report["rows"] and not report["grids"]:
        yield "no cells yet. `deltabench run` makes the first."
    if report["grids"]:
        rows = [((entry["grid"], str(entry["cells"])), entry["counts"], _left(entry)) for entry in report["grids"]]
        yield _table(("grid", "cells"), rows, "left")
        yield from (f"{entry['grid']}: {entry['note']}" for entry in report["grids"] if entry["note"])
        for entry in report["grids"]:
            absent = entry["without_rows"]
            if absent:
                yield f"{entry['grid']}: rows that are not on this machine: {holes.names_of(absent)}"
            gaps = [Gap(**gap) for gap in entry["impossible"] if gap["keys"] or gap["task"] not in absent]
            yield from (f"{entry['grid']}: cannot run: {plain(line)}" for line in holes.lines(gaps))
        yield ""
    if report["rows"]:
        flat = [((row["model"], row["task"]), row, "") for row in report["rows"]]
        total: Counter[str] = Counter()
        for row in report["rows"]:
            total.update({name: row[name] for name in COLUMNS if name in row})
        yield _table(("model", "task"), [*flat, (("all", ""), total, "")])
    for cell in report["running"]:
        steps = "?" if cell["steps"] is None else cell["steps"]
        yield f"running: {cell['key'][:12]}, step {cell['step'] or 0} of {steps}"
    if any(row.get("stale") for row in report["rows"]):
        yield "stale cells count as done; `deltabench why KEY` shows what changed, and rerun=stale runs them again."
    if report["quarantined"]:
        count = formatting.count(report["quarantined"], "damaged file")
        yield f"quarantine: {count} in {report['store']}/quarantine."


def _table(head: tuple[str, ...], rows: Sequence[tuple[tuple[str, ...], Counts, str]], last: str = "") -> str:
    used = [column for column in COLUMNS if any(counts.get(column) for _, counts, _ in rows)]
    lines = [(*head, *used, *([last] if last else []))]
    for names, counts, end in rows:
        lines.append((*names, *(str(counts.get(column, 0)) for column in used), *([end] if last else [])))
    return formatting.aligned(lines, right=range(len(head) - (head[-1] == "cells"), len(head) + len(used)))


def _left(entry: Mapping[str, Any]) -> str:
    if not entry["left"]:
        return "-"
    cells = formatting.count(entry["left"], "cell")
    if entry["seconds_left"] is None:
        return f"{cells}, time unknown"
    return f"{cells}, about {progress.clock(entry['seconds_left'])} with {entry['at_once']} at once"
