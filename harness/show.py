"""A record as text for people. Torch-free."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from harness.fingerprint import is_stale
from harness.store import summarise

_BARS = "▁▂▃▄▅▆▇█"


def text(record: Mapping[str, Any], curve: Sequence[Mapping[str, Any]]) -> str:
    """Names, scores, curve, cost and, for a failure, the error with the end of its log."""
    return "\n".join(f"{name:<10} {value}" for name, value in _lines(record, curve))


def _lines(record: Mapping[str, Any], curve: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, str]]:
    cell = record["cell"]
    yield "key", record["key"]
    stale = " (stale: `deltabench why` tells what changed)" if is_stale(summarise(record)) else ""
    yield "status", f"{record['status']}, attempt {record['attempt']}{stale}"
    for part in ("method", "model", "task", "recipe"):
        yield part, _flat(cell[part])
    yield "objective", f"{cell['objective']}   seed {cell['seed']}"
    for point in ("best", "last"):
        if point in record["scores"]:
            yield point, _scores(record["scores"][point])
    if record["parameters"]:
        yield "parameters", ", ".join(f"{name} {count:,}" for name, count in record["parameters"].items())
    if curve:
        yield (
            "curve",
            f"{_spark(curve)}   validation, steps {curve[0].get('step')} to {curve[-1].get('step')}",
        )
    yield "time", _numbers(record["time"], "")
    error = record.get("error")
    if error:
        yield "error", f"{error.get('type')}: {error.get('message')}"
        for line in (error.get("log") or [])[-10:]:
            yield "", line


def _flat(fields: Mapping[str, Any]) -> str:
    told = (f"{name}={value}" for name, value in fields.items() if name != "name" and value not in (None, ""))
    return f"{fields['name']}  {' '.join(told)}".strip()


def _scores(point: Mapping[str, Any]) -> str:
    sets = (f"{name} {_numbers(scores, ' ')}" for name, scores in point.get("sets", {}).items())
    return f"step {point.get('step')}: {'; '.join(sets)}"


def _numbers(values: Mapping[str, Any], _: str) -> str:
    return ", ".join(f"{name} {_number(value)}" for name, value in values.items() if isinstance(value, int | float))


def _number(value: float) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _spark(curve: Sequence[Mapping[str, Any]]) -> str:
    """The validation scores as a row of bars, lowest to highest."""
    values = [(row.get("scores") or {}).get("validation") for row in curve]
    known = [value for value in values if isinstance(value, int | float)]
    if not known:
        return ""
    low, span = min(known), max(known) - min(known) or 1.0
    return "".join(_BARS[int((v - low) / span * 7)] if isinstance(v, int | float) else " " for v in values) + (
        f" {min(known):.3f} to {max(known):.3f}"
    )
