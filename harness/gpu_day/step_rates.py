"""The time of a step on the shapes of real models, and its share of the measured rate of products. Torch-free."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from harness.gpu_day import isolated
from harness.gpu_day.day import Day, Row, as_json, cells, load
from harness.gpu_day.isolated import Measurement
from harness.store import identity

NAME = "steps"
RATE = "matrix products"
ONE_PASS = "learning rates in one pass"
SECONDS = 120.0


def rows(day: Day, deadline: float) -> Iterator[Row]:
    """Yield the device's rate of products, then a row for each group of cells that are timed in turn.

    The last row compares cells that differ in their learning rate alone, in one pass and one after the other.
    """
    settings, ended = day.settings(NAME), day.ended(NAME)
    planned = [Measurement(RATE, "harness.gpu_day.on_device.timed_steps:rate", (day.device, int(settings["product"])))]
    families = set()
    for name, block in settings["groups"].items():
        own = {axis: value for axis, value in block.items() if axis != "compiled"}
        sides = cells(own) if name not in ended else []
        families |= {cell.model.family for cell in sides}
        arguments = (
            list(as_json(sides)), vars(load(settings)), list(block.get("compiled", [""])), day.device,
            int(settings["alternations"]),
        )  # fmt: skip
        planned.append(Measurement(name, "harness.gpu_day.on_device.timed_steps:measure", arguments))
    together = settings["one_pass"]
    [rates] = cells(together["grid"])
    families.add(rates.model.family)
    shared = (identity.to_json(rates), int(together["cells"]), day.device, int(settings["alternations"]))
    planned.append(Measurement(ONE_PASS, "harness.gpu_day.on_device.one_pass_steps:measure", shared))
    todo = [each for each in planned if each.name not in ended]
    for row in isolated.measured(todo, deadline, SECONDS, sorted(families), day.log(NAME)):
        yield _shared(row, day.rows(NAME))


def _shared(row: Row, known: Sequence[Row]) -> Row:
    """Return the row with each side's share of the measured rate of products, where that is known."""
    rates: Mapping[str, float] = next((each["operations_per_s"] for each in known if "operations_per_s" in each), {})
    sides = [{**side, "share": _share(side, rates)} for side in row.get("sides", ())]
    return {**row, "sides": sides} if sides else row


def _share(side: Mapping[str, Any], rates: Mapping[str, float]) -> float | None:
    rate = rates.get(side["precision"])
    return side["operations"] / (side["ms"]["median"] / 1000) / rate if rate and side["operations"] else None


def lines(rows: Sequence[Row]) -> list[str]:
    """Return the lines of the summary: one for each side."""
    text = []
    for row in rows:
        if "operations_per_s" in row:
            rates = ", ".join(f"{value / 1e12:.3g} in {name}" for name, value in row["operations_per_s"].items())
            text.append(f"products of {row['size']} x {row['size']}: {rates} (TFLOP/s)")
        elif "sides" in row:
            text.append(f"{row['name']}: {'; '.join(map(_side, row['sides']))}")
        else:
            text.append(f"{row['name']}: {row['status']}: {str(row.get('error'))[:60]}")
    return text


def _side(side: Mapping[str, Any]) -> str:
    share = "" if side.get("share") is None else f" {side['share']:.0%}"
    way = side.get("way") or side.get("compiled")
    compiled = f" {way}" if way else ""
    ratio = side["ratio"]["median"]
    return f"{side['method']}{compiled} {side['ms']['median']:.4g} ms{share}{'' if ratio == 1 else f' (x{ratio:.2f})'}"
