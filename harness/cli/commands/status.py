"""What the store holds and what is still to come, per exhibit and grid: done, failed, running, stale, missing.

deltabench status [store=DIR] [--json]                     everything in the store, and the grids asked for there
deltabench status 'delta-*' [scale=quick] [--json]         exhibits, whether asked for or not
deltabench status method=full,lora seed=0,1,2 [--json]     the cells of this grid

The time that is left is told by the finished cells that are most like those that are left. Stale cells count as done.
As JSON: {"store", "quarantined": files there, "running": [{"key", "step", "steps"}], "rows": [{"model", "task",
STATUS: cells}], "grids": [{"grid", "cells", "counts": {STATUS: cells}, "left", "at_once", "seconds_left", "why_null",
"note"}]}.
"""

import argparse
import fnmatch
import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from harness import formatting
from harness.cli import arguments as words
from harness.config import compose, launchers
from harness.config.schema import Runtime
from harness.errors import UsageError, near
from harness.execution import progress, sweep
from harness.forecast.duration import Estimate
from harness.store import requested_grids
from harness.store.fingerprint import is_stale
from harness.store.requested_grids import Grid
from harness.store.store import FINAL, Store

if TYPE_CHECKING:
    from harness.experiments.exhibits import Exhibit

COLUMNS = ("done", "stale", "oom", "failed", "diverged", "timeout", "interrupted", "blocked", "running", "missing")
Counts = Mapping[str, int]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("words", nargs="*", metavar="EXHIBIT | key=value")
    parser.add_argument("--json", action="store_true", help="as JSON")


def main(arguments: argparse.Namespace) -> int:
    named = [word for word in arguments.words if "=" not in word]
    said = words.parse([word for word in arguments.words if "=" in word], (*words.SETTINGS, "scale"))
    words.refuse_added(said)
    launchers.choose(said.settings, here=False)
    runtime = said.configure(compose.defaults()["runtime"])
    store = Store(runtime.store)
    asked = [*_exhibits(named, said, store), *_grid(said)]
    found = _found(store, asked, runtime)
    if arguments.json:
        print(json.dumps(found, ensure_ascii=False, indent=1))
    else:
        print("\n".join(_lines(found)))
    return 0


def _exhibits(patterns: Sequence[str], said: words.Words, store: Store) -> list[Grid]:
    """Every scale, or the one that was said, of every exhibit that was named."""
    scale = said.settings.get("scale")
    if not patterns:
        if scale is not None:
            raise UsageError(f"scale={scale} is of an exhibit: name one, or '*'.")
        return []
    if said.block:
        axis = next(iter(said.block))
        raise UsageError(f"status is of exhibits ({patterns[0]}) or of a grid ({axis}=…), not of both.")
    from harness.config import conf_files
    from harness.experiments import exhibits

    folders = conf_files.folders()[:-1]
    known, found = exhibits.names(folders), []
    for pattern in patterns:
        chosen = fnmatch.filter(known, pattern)
        if not chosen:
            raise UsageError(f"there is no exhibit {pattern!r}.{near(pattern, known)}")
        for exhibit in (exhibits.load(name, folders) for name in chosen):
            scales = [scale] if scale else exhibit.grids
            found += [_expanded(exhibit, one, store, alone=pattern in known) for one in scales]
    return found


def _expanded(exhibit: "Exhibit", scale: str, store: Store, alone: bool) -> Grid:
    """An exhibit's grid. Among others that a pattern named, one that cannot be planned here says why."""
    from harness.experiments import rate_tuning

    name = f"{exhibit.name} scale={scale}"
    try:
        planned = rate_tuning.expand(exhibit.blocks(scale), store)
    except UsageError as error:
        if alone:
            raise
        return Grid(name, (), str(error))
    told = f"{planned.waiting} more cells when these have chosen their learning rate" if planned.waiting else ""
    return replace(requested_grids.of(name, planned.cells), note=told)


def _grid(said: words.Words) -> list[Grid]:
    if not said.block:
        return []
    from harness.experiments import grid

    return [requested_grids.of(requested_grids.name_of(said.block), grid.expand([said.block]))]


def _found(store: Store, asked: Sequence[Grid], runtime: Runtime) -> dict[str, Any]:
    """All that is shown. Without a question: the whole store, and the grids that were asked for there."""
    shown = asked or requested_grids.noted(store)
    keys = list(dict.fromkeys(place.key for one in asked for place in one.places)) if asked else None
    rows = {key: (status, summary) for key, status, summary in store.statuses(keys)}
    states = {key: _state(status, summary) for key, (status, summary) in rows.items()}
    names = {place.key: (place.model, place.task) for one in shown for place in one.places}
    estimate = Estimate(
        store, ((key, summary) for key, (status, summary) in rows.items() if status == "done" and summary)
    )
    running = [key for key, state in states.items() if state == "running"]
    at_once = len(running) or sweep.slots(runtime)
    table: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    for key, (_, summary) in rows.items():
        table[_named(store, key, summary, names)][states[key]] += 1
    return {
        "store": str(store.path),
        "quarantined": store.aside(),
        "running": [_running(store, key) for key in sorted(running)],
        "grids": [_told(one, states, estimate, at_once) for one in shown],
        "rows": [{"model": model, "task": task, **counts} for (model, task), counts in sorted(table.items())],
    }


def _state(status: str, summary: Mapping[str, Any] | None) -> str:
    return "stale" if status == "done" and summary is not None and is_stale(summary) else status


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


def _told(grid: Grid, states: Mapping[str, str], estimate: Estimate, at_once: int) -> dict[str, Any]:
    state = {place.key: states.get(place.key, "missing") for place in grid.places}
    left = [place for place in grid.places if state[place.key] not in (*FINAL, "stale")]
    seconds = estimate.total(left, at_once)
    return {
        "grid": grid.name,
        "cells": len(grid.places),
        "counts": dict(Counter(state.values())),
        "left": len(left),
        "at_once": at_once,
        "seconds_left": None if seconds is None else round(seconds, 1),
        "why_null": "no cell of the same model has finished here" if seconds is None else None,
        "note": grid.note or None,
    }


def _lines(found: Mapping[str, Any]) -> Iterable[str]:
    yield f"store {found['store']}"
    if not found["rows"] and not found["grids"]:
        yield "no cells yet. `deltabench run` makes the first."
    if found["grids"]:
        rows = [((one["grid"], str(one["cells"])), one["counts"], _left(one)) for one in found["grids"]]
        yield _table(("grid", "cells"), rows, "left")
        yield from (f"{one['grid']}: {one['note']}" for one in found["grids"] if one["note"])
        yield ""
    if found["rows"]:
        flat = [((row["model"], row["task"]), row, "") for row in found["rows"]]
        total: Counter[str] = Counter()
        for row in found["rows"]:
            total.update({name: row[name] for name in COLUMNS if name in row})
        yield _table(("model", "task"), [*flat, (("all", ""), total, "")])
    for one in found["running"]:
        yield f"running: {one['key'][:12]}, step {one['step'] or 0} of {'?' if one['steps'] is None else one['steps']}"
    if any(row.get("stale") for row in found["rows"]):
        yield "stale cells count as done; `deltabench why KEY` tells what changed, rerun=stale runs them again."
    if found["quarantined"]:
        yield f"quarantine: {found['quarantined']} files that did not parse are in {found['store']}/quarantine."


def _table(head: tuple[str, ...], rows: Sequence[tuple[tuple[str, ...], Counts, str]], last: str = "") -> str:
    used = [column for column in COLUMNS if any(counts.get(column) for _, counts, _ in rows)]
    lines = [(*head, *used, *([last] if last else []))]
    for names, counts, end in rows:
        lines.append((*names, *(str(counts.get(column, 0)) for column in used), *([end] if last else [])))
    return formatting.aligned(lines, right=range(len(head) - (head[-1] == "cells"), len(head) + len(used)))


def _left(one: Mapping[str, Any]) -> str:
    if not one["left"]:
        return "-"
    if one["seconds_left"] is None:
        return f"{one['left']} cells, time unknown"
    return f"{one['left']} cells, about {progress.clock(one['seconds_left'])} with {one['at_once']} at once"
