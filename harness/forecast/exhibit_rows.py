"""An exhibit whose numbers are forecasts: nothing is trained; where there is a GPU, every cell is measured beside.

rows.json   what was forecast and measured, one entry per cell, and by which versions: what tables, figures and verdicts
            are made from
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.config.schema import Cell
from harness.errors import UsageError
from harness.experiments.exhibits import Exhibit
from harness.files import atomic_files, plain_files, strict_json
from harness.forecast import client
from harness.processes import forkserver
from harness.store import identity, provenance

ROWS = "rows.json"
MEASURE = "harness.forecast.gpu_measurement:measure"
Row = dict[str, Any]


def rows(exhibit: Exhibit, many: Sequence[Cell]) -> list[Row]:
    """Return for each cell its forecast, or the reason why there is none, and the measurement on the GPU here.

    The measurement is None without a GPU, and without a forecast.
    """
    assert exhibit.forecast is not None
    answered = client.ask(many, exhibit.forecast, None)
    gpu = client.device_memory() is not None
    return [
        {
            "key": identity.key(cell),
            "cell": identity.to_json(cell, ("identity", "provenance")),
            "forecast": None if isinstance(answer, str) else answer,
            "reason": answer if isinstance(answer, str) else "",
            "measured": _measure(exhibit, cell) if gpu and not isinstance(answer, str) else None,
        }
        for cell, answer in zip(many, answered, strict=True)
    ]


def _measure(exhibit: Exhibit, cell: Cell) -> dict[str, Any]:
    """Return the measured memory of a cell's step, in bytes, or the reason why there is none.

    It is measured in a process of its own, so the device is empty and a death of the process costs nothing else.
    """
    arguments = (identity.to_json(cell), vars(exhibit.forecast), cell.recipe.batch_size)
    try:
        measured: dict[str, Any] = forkserver.call(MEASURE, arguments, forkserver.preload([cell.model.family]))
    except (UsageError, RuntimeError, ChildProcessError) as error:
        return {"status": "failed", "error": str(error)[-300:], "device": "unknown", "torch": "", "cuda": ""}
    return measured


def save(folder: Path, rows: Sequence[Row]) -> None:
    """Write the rows into a folder of results."""
    folder.mkdir(parents=True, exist_ok=True)
    about = provenance.gather()
    made_by = {name: about[name] for name in ("deltabench", "git", "python", "packages")}
    atomic_files.write_json(folder / ROWS, {"made_by": made_by, "rows": list(rows)})


def load(folder: Path) -> list[Row]:
    """Return the rows that `save` wrote. Raise UsageError for a file that does not have them."""
    try:
        content: Mapping[str, Any] = strict_json.parse(plain_files.read_text(folder / ROWS))
        return list(content["rows"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(f"{folder / ROWS} does not hold forecasts: {error}") from error


def differing(mine: Sequence[Row], other: Sequence[Row], share: float = 0.01) -> list[str]:
    """Return a line for each cell whose two forecasts differ by more than `share`. A cell that has a forecast in one of
    them only is left out.
    """
    known = {row["key"]: row["forecast"] for row in other if row["forecast"]}
    lines = []
    for row in mine:
        there = known.get(row["key"])
        if row["forecast"] and there:
            ours, theirs = row["forecast"]["peak_bytes"], there["peak_bytes"]
            if abs(ours / theirs - 1) > share:
                cell = row["cell"]
                names = f"{cell['method']['name']}, {cell['model']['name']}, batch {cell['recipe']['batch_size']}"
                lines.append(f"{names}: {ours / 2**30:.2f} GiB here, {theirs / 2**30:.2f} in the reference")
    return lines
