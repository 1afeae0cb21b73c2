"""Tables of forecast peak memory beside measurements; harness/forecast computes the forecasts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from harness.analysis.output.table import MISSING, Entry, Table, word
from harness.experiments.exhibits import Exhibit
from harness.experiments.grids import labels
from harness.store.columns import method_fields

GIB = 2**30
PARTS = ("parameters", "gradients", "optimizer", "activations", "temporaries")
_ARITHMETIC = ("name", "learning_rate", "batch_size", "evaluation_tokens", "steps", "evaluate_every")
"""Fields of a recipe that make no arm of their own here."""


@dataclass(frozen=True)
class Row:
    """One cell. forecast: its figures (harness/forecast/compute.py); None for the `reason`. measured: of a GPU.

    fields: those of its method.
    """

    key: str
    arm: str
    method: str
    batch: int
    forecast: Mapping[str, Any] | None
    reason: str = ""
    measured: Mapping[str, Any] | None = None
    fields: Mapping[str, Any] = field(default_factory=dict)

    @property
    def bytes(self) -> int | None:
        """Return the forecast peak in bytes."""
        return None if self.forecast is None else int(self.forecast["peak_bytes"])

    @property
    def measured_bytes(self) -> int | None:
        """Return the measured peak of torch's allocator; None where it was not measured, or ran out of memory."""
        return None if self.measured is None else self.measured.get("allocated_bytes")


@dataclass(frozen=True)
class MemoryStudy:
    """One exhibit's forecasts on one model."""

    exhibit: Exhibit
    model: str
    rows: tuple[Row, ...]

    @cached_property
    def arms(self) -> dict[str, str]:
        """Return arm -> method, in the exhibit's order."""
        return {row.arm: row.method for row in self.rows}

    @property
    def method_of(self) -> Mapping[str, str]:
        """Return arm -> method, under the name that a study of scores has for it."""
        return self.arms

    def field(self, arm: str, name: str) -> Any:
        """Return a field of an arm's method; None where it has none of this name."""
        return next(row.fields.get(name) for row in self.rows if row.arm == arm)

    def trained(self, arm: str) -> float | None:
        """Return the trainable parameters of an arm as a share of the backbone's; None without a forecast."""
        counts = [row.forecast["parameters"] for row in self.rows if row.arm == arm and row.forecast]
        return counts[0]["delta"] / counts[0]["backbone"] if counts else None

    @cached_property
    def batches(self) -> list[int]:
        """Return the batch sizes, smallest first."""
        return sorted({row.batch for row in self.rows})

    @property
    def ceiling(self) -> str | None:
        """Return the first arm of the method that the others are compared with."""
        return next((arm for arm, method in self.arms.items() if method == self.exhibit.ceiling), None)

    def at(self, arm: str, batch: int) -> Row | None:
        """Return the row of an arm at a batch size."""
        return next((row for row in self.rows if (row.arm, row.batch) == (arm, batch)), None)

    def saved(self, arm: str, batch: int) -> float | None:
        """Return the share of the ceiling's peak at the same batch that the arm saves; None where one is not known."""
        mine, other = (self.at(name, batch) for name in (arm, self.ceiling or ""))
        if mine is None or other is None or mine.bytes is None or other.bytes is None:
            return None
        return 1 - mine.bytes / other.bytes


def studies(exhibit: Exhibit, rows: Sequence[Mapping[str, Any]]) -> list[MemoryStudy]:
    """Return one study per model, in order of appearance. rows: {"key", "cell", "forecast", "reason", "measured"}."""
    chosen = [row["cell"] for row in rows]
    models = [cell["model"]["name"] for cell in chosen]
    names = labels.labels([cell["method"]["name"] for cell in chosen], models, [_fields(cell) for cell in chosen])
    made = [
        Row(
            row["key"], arm, row["cell"]["method"]["name"], row["cell"]["recipe"]["batch_size"],
            row.get("forecast"), row.get("reason", ""), row.get("measured"), method_fields(row["cell"]["method"]),
        )
        for row, arm in zip(rows, names, strict=True)
    ]  # fmt: skip
    return [
        MemoryStudy(exhibit, model, tuple(row for row, other in zip(made, models, strict=True) if other == model))
        for model in dict.fromkeys(models)
    ]


def _fields(cell: Mapping[str, Any]) -> dict[str, Any]:
    method = method_fields(cell["method"])
    return {**method, **{name: value for name, value in cell["recipe"].items() if name not in _ARITHMETIC}}


def table(study: MemoryStudy) -> Table:
    """Return one row per arm: what trains, and for each batch the peak and the share saved against the ceiling."""
    columns = ["method", "trainable"]
    for batch in study.batches:
        columns += [f"GiB at {batch}", f"saved at {batch}"]
    rows = []
    for arm in study.arms:
        trained = next((row.forecast["parameters"] for row in study.rows if row.arm == arm and row.forecast), None)
        count = trained["delta"] + trained["head"] if trained else None
        entries = [word(arm), Entry(MISSING) if count is None else Entry(f"{count:,}", count)]
        for batch in study.batches:
            saved = None if arm == study.ceiling else study.saved(arm, batch)
            entries += [peak(study, study.at(arm, batch)), _saved(saved)]
        rows.append(tuple(entries))
    return Table("memory", "Peak training memory, forecast", study.model, tuple(columns), tuple(rows), _notes(study))


def peak(study: MemoryStudy, row: Row | None) -> Entry:
    """Return a forecast peak in GiB, with a mark where the device is too small."""
    if row is None or row.bytes is None:
        return Entry(MISSING)
    text = f"{row.bytes / GIB:.2f}"
    return Entry(f"{text} oom" if too_large(study, row) else text, row.bytes / GIB, keys=(row.key,))


def too_large(study: MemoryStudy, row: Row) -> bool:
    """Return whether the cell ran out of memory where it was measured, or else would on the exhibit's device."""
    if row.measured is not None:
        return bool(row.measured.get("status") == "oom")
    device = study.exhibit.device_bytes
    return row.forecast is not None and device is not None and row.forecast["needs_bytes"] > device


def _saved(share: float | None) -> Entry:
    return Entry(MISSING) if share is None else Entry(f"{100 * share:.0f} %", 100 * share)


def split(study: MemoryStudy) -> Table:
    """Return the parts of the peak, at the smallest and at the largest batch."""
    ends = list(dict.fromkeys((study.batches[0], study.batches[-1])))
    rows = []
    for arm in study.arms:
        for row in filter(None, (study.at(arm, batch) for batch in ends)):
            if row.forecast is not None:
                rows.append((word(arm), Entry(str(row.batch), row.batch), *_parts(row.forecast)))
    columns = ("method", "batch", *PARTS, "in phase")
    notes = ("GiB at the moment of the peak; activations: what the forward pass leaves for the backward pass",)
    return Table("memory-split", "What the peak consists of, forecast", study.model, columns, tuple(rows), notes)


def _parts(forecast: Mapping[str, Any]) -> tuple[Entry, ...]:
    """Return the parts of the peak in GiB, and the phase in which it is reached."""
    sizes = (forecast["split"][part] / GIB for part in PARTS)
    phase = max(forecast["phases"], key=forecast["phases"].__getitem__)
    return (*(Entry(f"{size:.2f}", size) for size in sizes), word(phase))


def _notes(study: MemoryStudy) -> tuple[str, ...]:
    first = next((row.forecast for row in study.rows if row.forecast), None)
    reasons = dict.fromkeys(f"{row.arm}: {row.reason}" for row in study.rows if row.reason)
    if first is None:
        return tuple(reasons)
    kernels = "+".join(sorted({kernel for row in study.rows if row.forecast for kernel in row.forecast["attention"]}))
    device = study.exhibit.device_bytes
    beside = (first["needs_bytes"] - first["peak_bytes"]) / GIB
    notes = [
        "forecast: the storages of one step on the meta device, each rounded up to 512 bytes; nothing is random, so "
        "there is no interval",
        f"rows of {first['input_tokens']} input and {first['target_tokens']} target tokens, {first['precision']}, "
        f"attention {kernels}" + (", blocks computed again in the backward pass" if first["checkpointing"] else ""),
    ]
    if not any(row.measured for row in study.rows):
        notes[0] += "; no GPU was there to measure them (on a GPU the same command also measures every cell)"
    if study.ceiling is not None:
        notes.append(f"saved: share of the peak of {study.ceiling} at the same batch")
    if device is not None:
        notes.append(f"oom: the peak and {beside:.2f} GiB for CUDA and its libraries are above {device / GIB:.1f} GiB")
    return (*notes, *reasons)


def accuracy(study: MemoryStudy) -> Table:
    """Return forecast against measurement for every cell that has both, and the out-of-memory cells beside their
    forecast.
    """
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
    seen = {
        f"{measured['device']}, torch {measured['torch']}, CUDA {measured['cuda']}"
        for row in study.rows
        if (measured := row.measured)
    }
    return "measured: peak of torch's allocator over one step, on " + "; ".join(sorted(seen))


def _kernels(row: Row) -> str:
    return "+".join(row.forecast["attention"]) if row.forecast else MISSING
