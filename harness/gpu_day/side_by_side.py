"""Two cells that share one device beside the same two cells one after the other. Torch is not imported."""

from collections.abc import Iterator, Sequence
from typing import Any

from harness.gpu_day import sweeping
from harness.gpu_day.day import Day, Row, cells
from harness.store import identity

NAME = "sharing"
WAYS = {"one after the other": 1, "two at once": 2}
"""Name -> cells at once."""


def rows(day: Day, deadline: float) -> Iterator[Row]:
    """Yield a row for each way: the seconds of all cells, and each cell's step and memory.

    The seconds are those of the cells by their records. The start of the workers, which a sweep has once, is left out.
    """
    planned, ended = cells(day.settings(NAME)["grid"]), day.ended(NAME)
    ways = {name: count for name, count in WAYS.items() if name not in ended}
    for place, (name, at_once) in enumerate(ways.items()):
        seconds = sweeping.left(deadline) / (len(ways) - place)
        store = sweeping.run(day, NAME, f"store-{at_once}", planned, at_once, seconds)
        each = [sweeping.facts(store, identity.key(cell)) for cell in planned]
        walls = [cell["wall_s"] for cell in each if cell["status"] == "done"]
        taken = (sum(walls) if at_once == 1 else max(walls)) if walls else None
        yield {"name": name, "status": _status(each), "seconds": taken, "cells": each}


def _status(each: Sequence[Row]) -> str:
    """Return the status that is not done, if any."""
    return next((str(row["status"]) for row in each if row["status"] != "done"), "done")


def lines(rows: Sequence[Row]) -> list[str]:
    """Return the line of the summary."""
    known = {row["name"]: row for row in rows if row["status"] == "done"}
    if len(known) < len(WAYS):
        return [f"{row['name']}: {row['status']}: {_reason(row)}" for row in rows if row["status"] != "done"]
    alone, together = (known[name] for name in WAYS)
    apart = "" if all(cell["cells_beside"] for cell in together["cells"]) else ", but not at the same time"
    steps = [sum(cell["step_ms"] for cell in row["cells"]) / len(row["cells"]) for row in (alone, together)]
    return [
        f"in turn {alone['seconds']:.1f} s, at once {together['seconds']:.1f} s "
        f"(x{together['seconds'] / alone['seconds']:.2f}); steps {steps[0]:.3g} and {steps[1]:.3g} ms{apart}"
    ]


def _reason(row: Row) -> Any:
    return next((str(cell.get("error"))[:70] for cell in row["cells"] if cell["status"] != "done"), "")
