"""What reading NVML costs, and the energy of training. Torch is not imported."""

from collections.abc import Iterator, Sequence

from harness.gpu_day import isolated
from harness.gpu_day.day import Day, Row, cells, load, named
from harness.gpu_day.isolated import Measurement
from harness.gpu_day.sweeping import left
from harness.store import identity

NAME = "sampling"


def rows(day: Day, deadline: float) -> Iterator[Row]:
    """Yield a row for each cell: the time of its steps with and without sampling, joules and watts."""
    settings, ended = day.settings(NAME), day.ended(NAME)
    planned = [cell for cell in cells(settings["grid"]) if named(cell) not in ended]
    each = float(settings["seconds"])
    todo = [
        Measurement(
            named(cell), "harness.gpu_day.on_device.sampling_cost:measure",
            (identity.to_json(cell), vars(load(settings)), day.device, each),
        )
        for cell in planned
    ]  # fmt: skip
    families = sorted({cell.model.family for cell in planned})
    yield from isolated.measured(todo, deadline, left(deadline), families, day.log(NAME))


def lines(rows: Sequence[Row]) -> list[str]:
    """Return the lines of the summary."""
    text = []
    for row in rows:
        if "ratio" not in row:
            text.append(f"{row['name']}: {row['status']}: {str(row.get('error'))[:70]}")
            continue
        share, joules = row["thread_share"], row["joules_of_a_turn"]
        known = "no figure by NVML" if share is None else f"its thread takes {share:.2%} of the time"
        used = "" if joules is None else f"; {joules / row['steps_of_a_turn']:.3g} J a step, {row['watts'] or 0:.0f} W"
        text.append(f"{row['name']}: sampling x{row['ratio']['median']:.3f} a step, {known}{used}")
    return text
