"""The measured peak of a training step beside its forecast, by attention kernel. Torch is not imported."""

import statistics
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

from harness.config.schema import Cell
from harness.forecast import client
from harness.gpu_day import isolated
from harness.gpu_day.day import Day, Row, cells, load, named
from harness.gpu_day.isolated import Measurement
from harness.store import identity

NAME = "memory"
SECONDS = 60.0


def rows(day: Day, deadline: float) -> Iterator[Row]:
    """Yield a row for each cell and kernel: bytes that were forecast, bytes that were measured, and the error."""
    settings, ended = day.settings(NAME), day.ended(NAME)
    for block in settings["grid"]:
        own = {axis: value for axis, value in block.items() if axis != "kernel"}
        for kernel in block["kernel"]:
            waiting = [cell for cell in cells(own) if _name(cell, kernel) not in ended]
            if waiting:
                yield from _block(day, settings, waiting, kernel, deadline)


def _block(day: Day, settings: Any, waiting: Sequence[Cell], kernel: str, deadline: float) -> Iterator[Row]:
    setup = load(settings, kernel=kernel)
    planned = []
    for cell, answer in zip(waiting, client.ask(waiting, setup), strict=True):
        about = {"kernel": kernel, "attention": cell.model.attention, "model": cell.model.name}
        if isinstance(answer, str):
            yield {"name": _name(cell, kernel), "status": "failed", "error": answer, **about}
            continue
        about |= {"forecast_bytes": answer["peak_bytes"], "operations": answer["operations"]}
        arguments = (identity.to_json(cell), vars(setup), cell.recipe.batch_size, day.device)
        planned.append(Measurement(_name(cell, kernel), "harness.forecast.gpu_measurement:measure", arguments, about))
    families = sorted({cell.model.family for cell in waiting})
    yield from map(_compared, isolated.measured(planned, deadline, SECONDS, families, day.log(NAME)))


def _name(cell: Cell, kernel: str) -> str:
    return f"{named(cell)}, {cell.recipe.batch_size} rows, {cell.model.attention} attention, kernel {kernel}"


def _compared(row: Row) -> Row:
    """Return the row with the forecast's error as a share of what was measured."""
    if not row.get("allocated_bytes"):
        return row
    return {**row, "forecast_error": row["forecast_bytes"] / row["allocated_bytes"] - 1}


def lines(rows: Sequence[Row]) -> list[str]:
    """Return the lines of the summary: the forecast's errors by kernel."""
    errors: dict[str, list[float]] = defaultdict(list)
    for row in rows:
        if "forecast_error" in row:
            errors["eager" if row["attention"] == "eager" else row["kernel"]].append(row["forecast_error"])
    text = []
    for kernel, values in errors.items():
        middle, most = statistics.median(values), max(values, key=abs)
        text.append(f"forecast, {kernel}: median error {middle:+.1%}, largest {most:+.1%} of {len(values)} peaks")
    return text
