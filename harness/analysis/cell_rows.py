"""Cells with their names, states and scores, for JSON and for the lines below a table. Torch-free and pandas-free."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from harness import formatting
from harness.errors import plain
from harness.experiments.grids import labels
from harness.store.record import scores
from harness.store.store import Store

Fields = Mapping[str, Any]

MISSING, CANNOT_RUN = "missing", "cannot run"
STATES = ("failed", "oom", "diverged", "timeout", "interrupted", "blocked", "running", MISSING, CANNOT_RUN, "stale")
"""States that are named below a table, in this order. A missing cell that cannot run is in the second alone."""
MOST, REASON = 6, 80
"""The number of cells of one state that a text names, and of the characters of each one's reason."""


def rows(store: Store, keys: Iterable[str], known: Mapping[str, Fields]) -> list[dict[str, Any]]:
    """Return one row for each cell, with its names where `known` has it: key -> the cell as JSON.

    arm: the method with what else tells it from the others; name: all that does. metric, test, validation: of the best
    checkpoint, null where there is none; why_null: the reason.
    """
    named = dict(zip(known, labels.of_cells(list(known.values())), strict=True))
    shown = []
    for key, status, summary in store.statuses(keys):
        row = state(store, key, status, summary)
        if key in named:
            cell, label = known[key], named[key]
            row |= {"method": cell["method"]["name"], "arm": label.arm, "model": label.model, "task": label.task}
            row |= {"learning_rate": cell["recipe"]["learning_rate"], "seed": cell["seed"]}
            row["name"] = f"{label.arm}{label.rate} {label.model} {label.task} seed {cell['seed']}"
        shown.append({**row, **scored(store, key, summary)})
    return shown


def state(store: Store, key: str, status: str, summary: Fields | None) -> dict[str, Any]:
    """Return a cell's key, its status and whether its result is stale."""
    stale = status == "done" and summary is not None and store.is_stale(key, summary)
    return {"key": key, "status": status, "stale": stale}


def scored(store: Store, key: str, summary: Fields | None) -> dict[str, Any]:
    """Return a cell's metric with its test and its validation score at the best checkpoint, or why it has none."""
    known = summary or {}
    reached = known.get("scores")
    if reached is None and known.get("status") == "done":  # the short form of a record had no scores before
        reached = scores(store.read(key) or {})
    figures = {role: (reached or {}).get(role) for role in ("test", "validation")}
    why = None if any(value is not None for value in figures.values()) else _why(store, key, known.get("status"))
    return {"metric": known.get("metric"), **figures, "why_null": why}


def _why(store: Store, key: str, status: str | None) -> str:
    """Return why a cell has no score: the message of its error on one line, if it has one."""
    if status is None:
        return store.without_record(key)
    message = ((store.read(key) or {}).get("error") or {}).get("message")
    return plain(" ".join(str(message or f"it is {status}").split()))


def states(rows: Sequence[Fields]) -> list[str]:
    """Return a line for each state that a reader has to know: how many cells are in it, and the first of them."""
    lines = []
    for state in STATES:
        here = [row for row in rows if _state(row) == state or (state == "stale" and row["stale"])]
        more = f"; and {len(here) - MOST} more, which --json names" if len(here) > MOST else ""
        if here:
            lines.append(f"{len(here)} {state}: {'; '.join(map(_name, here[:MOST]))}{more}")
    return lines


def _state(row: Fields) -> str:
    return CANNOT_RUN if row.get("cannot_run") else str(row["status"])


def _name(row: Fields) -> str:
    named = f"{row['name']} ({row['key'][:8]})" if "name" in row else str(row["key"][:8])
    failed = _state(row) not in ("done", "running", MISSING)
    return f"{named}: {shortened(row['why_null'])}" if failed and row["why_null"] else named


def shortened(text: str) -> str:
    """Return the first REASON characters of a text."""
    return text if len(text) <= REASON else f"{text[:REASON]}…"


def counted(rows: Sequence[Fields]) -> str:
    """Return a sentence on the cells' statuses: "54 cells: 53 done, 1 failed"."""
    counts = Counter(map(_state, rows))
    text = ", ".join(f"{count} {status}" for status, count in counts.most_common())
    return f"{formatting.count(len(rows), 'cell')}: {text}"
