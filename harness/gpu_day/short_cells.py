"""Short cells of every method: each ends, its losses are finite, and its delta reads back. Torch is not imported."""

from collections.abc import Iterator, Sequence

from harness.experiments.grids.holes import Hole
from harness.gpu_day import isolated, sweeping
from harness.gpu_day.day import Day, Row, cells, named
from harness.gpu_day.isolated import Measurement
from harness.store import identity

NAME = "cells"
SHARE = 0.65
"""The share of the part's time in which cells run; in the rest their deltas are read back."""
SECONDS = 60.0


def rows(day: Day, deadline: float) -> Iterator[Row]:
    """Yield a row for each method and model: its record, and whether the stored delta gives the same scores."""
    settings, holes = day.settings(NAME), list[Hole]()
    planned = {identity.key(cell): cell for cell in cells(settings["grid"], holes)}
    at_once, ended = int(settings["at_once"]), day.ended(NAME)
    waiting = [cell for cell in planned.values() if named(cell) not in ended]
    if not waiting:
        return
    store = sweeping.run(day, NAME, "store", waiting, at_once, SHARE * sweeping.left(deadline), holes)
    known = {identity.key(cell): {"name": named(cell), **sweeping.facts(store, identity.key(cell))} for cell in waiting}
    yield from (row for row in known.values() if row["status"] != "done")
    reloaded = [
        Measurement(row["name"], "harness.gpu_day.on_device.reloaded:scores", (str(store.path), key, day.device), row)
        for key, row in known.items() if row["status"] == "done"
    ]  # fmt: skip
    families = sorted({cell.model.family for cell in waiting})
    yield from isolated.measured(reloaded, deadline, SECONDS, families, day.log(NAME), at_once)


def lines(rows: Sequence[Row]) -> list[str]:
    """Return the lines of the summary."""
    done = [row for row in rows if row["status"] == "done"]
    finite, same = (sum(bool(row.get(name)) for row in done) for name in ("finite", "reads_back"))
    text = [f"{len(done)} of {len(rows)} cells done, {finite} finite, {same} deltas read back with the same scores"]
    wrong = [row for row in rows if row["status"] in ("failed", "diverged", "timeout")]
    return text + [f"  {row['name']}: {row['status']}: {str(row.get('error'))[:70]}" for row in wrong[:3]]
