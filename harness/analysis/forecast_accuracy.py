"""How good a forecast of memory is: beside what a GPU said of the same step."""

from harness.analysis.output.table import MISSING, Entry, Table, word
from harness.analysis.views.forecast_memory import GIB, MemoryStudy, Row


def table(study: MemoryStudy) -> Table:
    """Forecast against measured, for every cell that has both; what ran out of memory beside what was forecast."""
    rows = []
    for row in study.rows:
        if row.measured is None or row.bytes is None:
            continue
        seen = row.measured_bytes
        error = None if seen is None else 100 * (row.bytes / seen - 1)
        rows.append((
            word(row.arm), Entry(str(row.batch), row.batch), word(_kernels(row)),
            Entry(f"{row.bytes / GIB:.3f}", row.bytes / GIB, keys=(row.key,)),
            word(row.measured.get("status", MISSING)) if seen is None else Entry(f"{seen / GIB:.3f}", seen / GIB),
            Entry(MISSING) if error is None else Entry(f"{error:+.1f}", error),
        ))  # fmt: skip
    columns = ("method", "batch", "attention", "forecast GiB", "measured GiB", "error %")
    title = "Forecast against measured"
    return Table("forecast-accuracy", title, study.model, columns, tuple(rows), (_devices(study),))


def _devices(study: MemoryStudy) -> str:
    seen = {f"{one['device']}, torch {one['torch']}, CUDA {one['cuda']}" for row in study.rows if (one := row.measured)}
    return "measured: peak of torch's allocator over one step, on " + "; ".join(sorted(seen))


def _kernels(row: Row) -> str:
    return "+".join(row.forecast["attention"]) if row.forecast else MISSING
