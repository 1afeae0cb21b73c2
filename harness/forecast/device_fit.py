"""A plan's lines on a device's memory: which cells fit it, and which batch would. Torch-free."""

import math
import sys
from collections.abc import Mapping, Sequence

from harness import formatting
from harness.config.schema import Cell
from harness.config.step_load import Load, gib, size
from harness.forecast import client
from harness.forecast.client import Figures
from harness.store import identity

HEAD = ("method", "model", "task", "batch", "peak", "fits", "largest batch", "accumulation")


def wanted(given: str | None) -> int | None:
    """Return the bytes of the device to fit: as given, else those of the GPU here; None where there is none.

    Raise UsageError for a text that is no size.
    """
    return client.device_memory() if given is None else size("--device-memory", given)


def forecasts(many: Sequence[Cell], memory: int) -> dict[str, Figures | str]:
    """Return key -> the cell's figures, or one sentence that says why there are none.

    Rows are as long as the task allows. For many kinds of cell, a line on stderr says that it takes a while.
    """
    kinds = len({client.kind(cell) for cell in many})
    if kinds > 4:
        print(f"forecasting the memory of {kinds} kinds of cell, a second or two each", file=sys.stderr, flush=True)
    return dict(zip(map(identity.key, many), client.ask(many, Load(), memory), strict=True))


SHARES = 12
"""A cell takes so many parts of a device, or one more; the leases of devices count in the same parts."""
RESERVE = 1.1
"""What a cell gets is so many times its forecast, whose error the GPU day measures."""


def share(many: Sequence[Cell]) -> float | None:
    """Return the share of a GPU that the largest of these cells needs by its forecast: above 0, at most 1.

    It is 1 where a forecast is missing, and None where this machine has no GPU.
    """
    memory = client.device_memory()
    if memory is None:
        return None
    figures = forecasts(many, memory).values()
    if any(isinstance(answer, str) for answer in figures):
        return 1.0
    needs = max(answer["needs_bytes"] for answer in figures if not isinstance(answer, str))
    return min(1.0, math.ceil(SHARES * RESERVE * needs / memory) / SHARES)


def text(many: Sequence[Cell], forecast: Mapping[str, Figures | str], memory: int) -> str:
    """Return a table with a line for each method, model, task and batch size, the number of cells that fit, and the
    reasons for missing forecasts.
    """
    lines: dict[tuple[str, ...], None] = {}
    fits, outside, wrong = 0, 0, dict[str, None]()
    for cell in many:
        figures = forecast[identity.key(cell)]
        if isinstance(figures, str):
            wrong[figures] = None
            continue
        fits += figures["fits"]
        outside = max(outside, figures["needs_bytes"] - figures["peak_bytes"])
        names = (cell.method.name, cell.model.name, cell.task.name, str(figures["batch_size"]))
        lines[(*names, gib(figures["peak_bytes"]), *verdict(figures))] = None
    summary = f"memory, forecast: {fits} of {len(many)} cells fit a device of {gib(memory)}"
    summary += f"; CUDA and its libraries take about {gib(outside)} of it beside the peak" if outside else ""
    return "\n".join([formatting.aligned([HEAD, *lines], range(3, len(HEAD))), summary, *wrong])


def verdict(figures: Figures) -> tuple[str, str, str]:
    """Return (whether the batch fits, the largest batch that fits, in how many parts this batch fits), as texts."""
    needed = figures["accumulation_to_fit"]
    parts = "none fits" if needed is None else str(needed)
    return "yes" if figures["fits"] else "no", str(figures["largest_batch"]), parts
