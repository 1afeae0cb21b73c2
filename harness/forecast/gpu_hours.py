"""GPU-hours and memory of cells that nobody has run: neither rows nor weights are read. Torch-free.

    python -m harness.forecast.gpu_hours        every grid of every exhibit that is made for a GPU, as Markdown

The hours are the operations of all training steps, divided by 40 % of the device's peak rate. Every row is taken to be
as long as its task allows, so real rows take fewer hours. Evaluation is not counted: to generate answers for the test
rows can take as long again.
"""

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness import formatting
from harness.config.schema import Cell
from harness.config.step_load import Load, gib
from harness.experiments import exhibits
from harness.experiments.grids.blocks import CHOSEN, RATE, TUNED, TUNING_SEED, Block, values
from harness.experiments.rates import chosen_rates
from harness.experiments.rates.several_axes import searched_fields
from harness.forecast import client
from harness.measurement import peak_flops

SUSTAINED = 0.4
"""The share of the peak that training is assumed to reach. Every output states it beside the hours."""
DEVICE = "NVIDIA A100-SXM4-80GB"
"""Whose peak is taken where there is no GPU, or none that harness/measurement/peak_flops.py knows."""
HEAD = ("model", "method", "cells", "steps", "batch", "peak", "hours")
Forecasts = dict[str, client.Figures | str]
"""Kind of cell -> its figures, or the reason why there are none."""


@dataclass(frozen=True)
class Line:
    """The cells of one model and method. steps, batch_size: the largest of them. peak: the most bytes of a step.

    hours: of all these cells together. reason: why peak and hours are None.
    """

    model: str
    method: str
    cells: int
    steps: int
    batch_size: int
    peak: int | None
    hours: float | None
    reason: str = ""


def cells_of(blocks: Sequence[Block]) -> list[Cell]:
    """Return all cells of a grid. Where other cells choose the learning rate, that of the recipe is taken.

    The trials of a search are left out, because its scores decide how many there are.
    """
    return [cell for block in blocks for cell in client.without_data(_listed(block))]


def _listed(block: Mapping[str, Any]) -> dict[str, list[Any]]:
    usual = {role: {**block[role], RATE: "x1"} for role in chosen_rates.open_parents(block)}
    block = {**searched_fields.without(block), **usual}
    choices = {key: list(values(block, key)) for key in block if key != TUNING_SEED}
    return {**choices, **({RATE: ["x1"]} if {CHOSEN, TUNED} & set(map(str, choices.get(RATE, []))) else {})}


def device() -> str:
    """Return the name of the GPU here if its peak is known, else DEVICE."""
    here = client.device_name()
    return here if here and peak_flops.find(here, "fp32")[0] else DEVICE


def lines(many: Sequence[Cell], on: str, forecasts: Forecasts | None = None) -> list[Line]:
    """Return the hours and memory of the cells on a device of that name, by model and method.

    forecasts: those that are known by kind of cell; the new ones are added, so that grids with cells of one kind share
    them.
    """
    forecasts = {} if forecasts is None else forecasts
    alike = {name: cell for cell in many if (name := _kind(cell)) not in forecasts}
    if len(alike) > 4:
        print(f"forecasting {len(alike)} kinds of cell, a second or two each", file=sys.stderr, flush=True)
    loads = {name: _load(cell) for name, cell in alike.items()}
    for load in set(loads.values()):
        names = [name for name in alike if loads[name] == load]
        distinct = [alike[name] for name in names]
        forecasts.update(zip(names, client.ask(distinct, load), strict=True))
    groups: dict[tuple[str, str], list[Cell]] = {}
    for cell in many:
        groups.setdefault((cell.model.name, cell.method.name), []).append(cell)
    return [_line(names, members, forecasts, on) for names, members in groups.items()]


def _line(
    names: tuple[str, str], members: Sequence[Cell], forecasts: Mapping[str, client.Figures | str], on: str
) -> Line:
    pairs = [(forecasts[_kind(cell)], cell) for cell in members]
    steps, batch = (max(getattr(cell.recipe, field) for cell in members) for field in ("steps", "batch_size"))
    known = [(figures, cell) for figures, cell in pairs if not isinstance(figures, str)]
    if wrong := [reason for reason, _ in pairs if isinstance(reason, str)]:
        return Line(*names, len(members), steps, batch, None, None, wrong[0])
    seconds = sum(figures["operations"] * cell.recipe.steps / _rate(cell, on) for figures, cell in known)
    peak = max(figures["peak_bytes"] for figures, _ in known)
    return Line(*names, len(members), steps, batch, peak, seconds / 3600)


def _kind(cell: Cell) -> str:
    return f"{client.kind(cell)} {cell.recipe.batch_size}"


def _load(cell: Cell) -> Load:
    return Load(checkpointing=cell.recipe.gradient_checkpointing, accumulation=cell.recipe.accumulate)


def _rate(cell: Cell, on: str) -> float:
    peak, why = peak_flops.find(on, "bf16" if cell.recipe.precision == "bf16" else "fp32")
    if peak is None:
        peak, _ = peak_flops.find(on, "fp32")
    assert peak is not None, why
    return SUSTAINED * peak


def text(table: Sequence[Line], on: str) -> str:
    """Return a line for each model and method, and the sum."""
    rows = [
        (line.model, line.method, str(line.cells), f"{line.steps:,}", str(line.batch_size), *_figures(line))
        for line in table
    ]
    reasons = dict.fromkeys(line.reason for line in table if line.reason)
    return "\n".join([formatting.aligned([HEAD, *rows], range(2, len(HEAD))), summary(table, on), *reasons])


def _figures(line: Line) -> tuple[str, str]:
    if line.peak is None or line.hours is None:
        return "unknown", "unknown"
    return gib(line.peak), f"{line.hours:,.1f}"


def summary(table: Sequence[Line], on: str) -> str:
    """Return the sum in one sentence."""
    hours, known = sum(line.hours or 0 for line in table), [line.peak for line in table if line.peak is not None]
    most = f", {gib(max(known))} for the largest step" if known else ""
    return (
        f"forecast: {sum(line.cells for line in table)} cells, about {hours:,.1f} GPU-hours of training at "
        f"{SUSTAINED:.0%} of the peak of an {on}{most}; rows as long as their tasks allow, evaluation not counted"
    )


def walk(on: str) -> Iterator[str]:
    """Yield the lines of a Markdown table of all grids for a GPU, of every exhibit that has cells of its own."""
    forecasts: Forecasts = {}
    yield from (_row(("exhibit", "scale", "models", "cells", "largest step", "GPU-hours")), _row(["---"] * 6))
    for name, exhibit in exhibits.catalogue().items():
        wanted = [scale for scale in exhibit.grids if scale not in exhibits.HERE]
        for scale in wanted if not exhibit.forecast and exhibit.cells_of == name else []:
            table = lines(cells_of(exhibit.blocks(scale)), on, forecasts)
            known = [line.peak for line in table if line.peak is not None]
            hours = sum(line.hours or 0 for line in table)
            models = ", ".join(dict.fromkeys(line.model for line in table))
            cells = f"{sum(line.cells for line in table):,}"
            yield _row((name, scale, models, cells, gib(max(known)) if known else "unknown", f"{hours:,.0f}"))


def _row(entries: Sequence[str]) -> str:
    return f"| {' | '.join(entries)} |"


if __name__ == "__main__":
    for line in walk(DEVICE):
        print(line, flush=True)
