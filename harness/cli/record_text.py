"""A record as text for people. Torch-free."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from harness import failure
from harness.errors import plain
from harness.formatting import count, number, rate, value
from harness.measurement.busy_cores import NOTICED
from harness.probes import registry as probes
from harness.store import columns, fingerprint
from harness.store.record import joules_per_point, run_joules, scores

SEARCH = "rate_search"
_BARS = "▁▂▃▄▅▆▇█"


def text(record: Mapping[str, Any], curve: Sequence[Mapping[str, Any]]) -> str:
    """Return a record as lines: names, scores, curve, cost and, for a failure, the error with the end of its log."""
    return "\n".join(plain(f"{name:<10} {value}") for name, value in _lines(record, curve))


def _lines(record: Mapping[str, Any], curve: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, str]]:
    """Yield the lines of each section; a section that cannot be read gives one line with the reason."""
    for section in (_names, _results, _costs, _origin, _error):
        try:
            yield from list(section(record, curve))
        except (TypeError, ValueError, KeyError, AttributeError, OverflowError) as error:
            yield section.__name__.strip("_"), f"not readable in this record ({type(error).__name__}: {error})"


def _names(record: Mapping[str, Any], curve: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, str]]:
    cell = record["cell"]
    yield "key", record["key"]
    stale = f" (stale: {_why_stale(record)})" if fingerprint.is_stale(record) else ""
    steps = ", ".join(map(str, record.get("resumed_from") or ()))
    resumed = f", resumed from step {steps}" if steps else ""
    again = f", restarted: {record['restarted']}" if record.get("restarted") else ""
    yield "status", f"{record['status']}, attempt {record['attempt']}{resumed}{again}{stale}"
    yield from _score(record)
    for part in ("method", "model", "task", "recipe"):
        sizes = columns.solved(cell[part], record.get("notes")) if part == "method" else {}
        yield part, _flat({**cell[part], **sizes})
    yield from _search(cell["recipe"].get(SEARCH) or {})
    yield "objective", f"{cell['objective']}   seed {cell['seed']}"
    yield from (("parent", f"{role} {key}") for role, key in cell.get("parents") or ())


def _search(search: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the rates that were tried for this cell's, with their validation scores in points of 100."""
    if not search.get("tried"):
        return
    tried = [
        " ".join([rate(at), *map(_values, fields), status if score is None else f"{100 * score:.1f}"])
        for at, score, status, *fields in search["tried"]
    ]
    edge = f", at the {search['edge']} edge" if search.get("edge") else ""
    yield "tuned", f"{', '.join(tried)} (validation, seed {', '.join(map(str, search['seeds']))}){edge}"


def _score(record: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the scores by the task's metric as tables have them, in points of 100; nothing without one."""
    metric = (record.get("task_facts") or {}).get("metric")
    parts = [f"{role} {metric} {100 * value:.1f}" for role, value in scores(record).items() if value is not None]
    if parts:
        yield "score", f"{', '.join(parts)} at step {record['scores']['best'].get('step')} (points of 100)"


def _why_stale(record: Mapping[str, Any]) -> str:
    old = fingerprint.is_before_versions((record.get("provenance") or {}).get("fingerprint_parts") or {})
    return fingerprint.BEFORE if old else "`deltabench why` shows what changed"


def _results(record: Mapping[str, Any], curve: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, str]]:
    for point in ("best", "last"):
        if point in (record.get("scores") or {}):
            yield point, _scores(record["scores"][point])
    if record.get("parameters"):
        yield "parameters", ", ".join(_quantity(*pair) for pair in record["parameters"].items())
    if curve:
        yield "curve", f"{_spark(curve)}   validation, steps {curve[0].get('step')} to {curve[-1].get('step')}"


def _costs(record: Mapping[str, Any], curve: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, str]]:
    clock = record.get("time") or {}
    own = {name: figure for name, figure in clock.items() if name not in ("busy_beside", "cells_beside")}
    yield "time", ", ".join(_quantity(*pair) for pair in own.items() if pair[1] is not None)
    yield from (("", line) for line in _beside(clock))
    yield from _memory(record.get("memory") or {})
    yield from _device(record)
    yield from _operations(record.get("flops") or {})
    for name, lines in probes.descriptions(record).items():
        yield from ((name if place == 0 else "", line) for place, line in enumerate(lines))


def _beside(clock: Mapping[str, Any]) -> Iterator[str]:
    """Yield whether other work shared the cores with the training, where the record states it."""
    cells, busy = clock.get("cells_beside"), clock.get("busy_beside")
    if cells or (busy or 0) > NOTICED:
        beside = [f"{count(cells, 'other cell')} ran at the same time"] if cells else []
        beside += [f"other work kept {busy:.1f} cores busy during the training"] if busy is not None else []
        yield f"not alone: {', and '.join(beside)}"
    elif cells is not None and busy is not None:
        yield "alone: no other cell ran at the same time, and no other work kept the cores busy"


def _origin(record: Mapping[str, Any], curve: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, str]]:
    if record.get("notes"):
        yield "notes", ", ".join(f"{name} {value(note)}" for name, note in record["notes"].items())
    if record.get("provenance"):
        yield "made by", _made_by(record["provenance"])


def _error(record: Mapping[str, Any], curve: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, str]]:
    error = record.get("error")
    if error:
        yield "error", f"{error.get('type')}: {error.get('message')}"
        known = ("kind", "phase", "part", "step", "rule", "signal", "exit_code", "where")
        if details := [f"{name} {error[name]}" for name in known if error.get(name) not in (None, "")]:
            yield "", ", ".join(details)
        code = failure.without_room(Exception(error.get("message")))
        log = (error.get("log") or [])[-10:] if code is None else [f"{failure.REMEDIES[code]}, and add rerun=failed"]
        yield from (("", line) for line in log)


def _flat(fields: Mapping[str, Any]) -> str:
    shown = {name: field for name, field in fields.items() if name not in ("name", SEARCH) and field not in (None, "")}
    return f"{fields['name']}  {_values(shown)}".strip()


def _values(fields: Mapping[str, Any]) -> str:
    return " ".join(f"{name}={value(field)}" for name, field in fields.items())


def _scores(point: Mapping[str, Any]) -> str:
    sets = (f"{name} {_numbers(scores)}" for name, scores in point.get("sets", {}).items())
    lacking = (f"no {name}: {why}" for name, why in (point.get("why_null") or {}).items())
    return f"step {point.get('step')}: {'; '.join((*sets, *lacking))}"


def _memory(memory: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the peak memory of each phase, and why a figure is missing."""
    phases = {name: values for name, values in memory.items() if name != "why_null" and isinstance(values, Mapping)}
    known = {name: [_quantity(*pair) for pair in values.items() if pair[1]] for name, values in phases.items()}
    if any(known.values()):
        yield "memory", "; ".join(f"{name}: {', '.join(figures)}" for name, figures in known.items() if figures)
    if memory.get("why_null"):
        yield "", "; ".join(f"no {name}: {why}" for name, why in memory["why_null"].items())


def _device(record: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the GPU's name, energy, power, utilisation, other processes and the cost of sampling; nothing for a CPU."""
    device = record.get("device") or {}
    if not device.get("uuid"):
        return
    figures = [("energy_J", run_joules(record)), ("energy_J_per_point_of_score", joules_per_point(record))]
    figures += [(f"{name}_W", watts) for name, watts in (device.get("power_w") or {}).items()]
    figures += [(f"{name}_busy_%", share) for name, share in (device.get("utilisation") or {}).items()]
    parts = [f"{name.replace('_', ' ')} {number(value)}" for name, value in figures if value is not None]
    cost = device.get("sampling") or {}
    if cost.get("thread_share") is not None:
        share = 100 * cost["thread_share"]
        parts.append(f"read every {number(cost['interval_ms'])} ms for {number(share)} % of one core")
    yield "device", ", ".join([f"{device.get('name')} (driver {device.get('driver')})", *parts])
    if device.get("others"):
        yield (
            "",
            f"{device['others']} other process(es) used the device meanwhile: bytes, seconds and joules are shared",
        )
    yield from (("", f"no {name}: {why}") for name, why in (device.get("why_null") or {}).items())


def _operations(flops: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    if flops.get("step"):
        rate = "" if flops.get("per_s") is None else f", {flops['per_s'] / 1e9:,.3g} GFLOP/s"
        share = "" if flops.get("share") is None else f", {100 * flops['share']:.3g} % of the peak ({flops['peak_of']})"
        yield "operations", f"{flops['step'] / 1e9:,.3g} GFLOP per step of {flops['rows']} rows{rate}{share}"
    if flops.get("start"):
        yield "", f"{flops['start'] / 1e9:,.3g} GFLOP before the first step, on batches of train rows"


def _made_by(provenance: Mapping[str, Any]) -> str:
    packages = provenance.get("packages") or {}
    named = {
        "deltabench": provenance.get("deltabench"),
        "git": (provenance.get("git") or "")[:7]
        + " with uncommitted changes" * (provenance.get("git_changed") is True),
        **{name: packages.get(name) for name in ("torch", "transformers")},
        "on": (provenance.get("machine") or {}).get("processor"),
        "ended": provenance.get("ended"),
    }
    return ", ".join(f"{name} {text}" for name, text in named.items() if text)


def _quantity(name: str, value: Any) -> str:
    """Return a figure with the unit that its name ends in: ("load_s", 0.05) -> "load 0.05 s"."""
    if not isinstance(value, int | float | Mapping):
        return f"{name.replace('_', ' ')} {value}"
    if isinstance(value, Mapping):
        unit = name.rpartition("_")[2]
        return f"{name.removesuffix('_' + unit)} " + " ".join(
            f"{part} {number(amount)} {unit}" for part, amount in value.items()
        )
    for end, scale, unit in (("_per_s", 1, "/s"), ("_bytes", 1e6, " MB"), ("_s", 1, " s")):
        if name.endswith(end):
            return f"{name.removesuffix(end).replace('_', ' ')} {number(value / scale)}{unit}"
    return f"{name.replace('_', ' ')} {number(value)}"


def _numbers(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {number(value)}" for name, value in values.items() if isinstance(value, int | float))


def series(curve: Sequence[Mapping[str, Any]], name: str = "validation") -> list[tuple[float, float]]:
    """Return (step, score) of the evaluations that have this score."""
    points = []
    for row in curve:
        step, score = row.get("step"), (row.get("scores") or {}).get(name)
        if isinstance(step, int) and isinstance(score, int | float):
            points.append((float(step), float(score)))
    return points


def _spark(curve: Sequence[Mapping[str, Any]]) -> str:
    """Return the validation scores as a row of bars from the lowest to the highest score."""
    known = [score for _, score in series(curve)]
    if not known:
        return ""
    low, span = min(known), max(known) - min(known) or 1.0
    bars = "".join(_BARS[int((score - low) / span * 7)] for score in known)
    return f"{bars} {min(known):.3f} to {max(known):.3f}"


WIDTH, HEIGHT = 56, 8


def plot(points: Sequence[tuple[float, float]], mark: str = "•", width: int = WIDTH, height: int = HEIGHT) -> list[str]:
    """Return the lines of a small plot of (x, y) points in order of x, with the ends of both axes; [] for none."""
    if not points:
        return []
    xs, ys = [x for x, _ in points], [y for _, y in points]
    low, high = min(ys), max(ys)
    screen = [[" "] * width for _ in range(height)]
    for x, y in points:
        column = _place(x, min(xs), max(xs), width)
        screen[height - 1 - _place(y, low, high, height)][column] = mark
    labels = [number(high), *[""] * (height - 2), number(low)]
    margin = max(map(len, labels))
    rows = [f"{label:>{margin}} |{''.join(row).rstrip()}" for label, row in zip(labels, screen, strict=True)]
    first, last = f"{min(xs):g}", f"{max(xs):g}"
    axis = f"{'':>{margin}} +{'-' * width}"
    ends = f"{'':>{margin}}  {first}{last:>{max(width - len(first), len(last) + 1)}}"
    return [*rows, axis, ends]


def _place(value: float, low: float, high: float, cells: int) -> int:
    share = 0.0 if high == low else (value / 2 - low / 2) / (high / 2 - low / 2)  # halves: no overflow
    return round(share * (cells - 1))
