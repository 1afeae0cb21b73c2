"""The form of a record, and the upgrade of records of older schemas. Torch is not imported.

A record is data from a disk, perhaps somebody else's. It is read only where every part that other code relies on has
the expected type. A record of an older schema is upgraded in memory by STEPS, and its file stays as it is. One of a
newer schema is not read: a newer deltabench wrote it.
"""

import re
import statistics
from collections.abc import Callable, Mapping
from typing import Any

from harness.store.results_version import features

SCHEMA = 1
STATUSES = ("done", "failed", "oom", "diverged", "timeout", "interrupted", "blocked")
"""The statuses of a record; `running` and `missing` are states without a record."""
FINAL = ("done", "oom", "diverged")
"""Statuses that are results: the same command does not run such a cell again."""

REPEATED = ("schema", "key", "cell", "status", "scores", "best_step", "parameters", "notes", "task_facts")
"""Fields that are bitwise reproducible on one machine with the same threads, on the CPU, resumed or not.

So are the curve except its seconds, the predictions and the files of trained tensors.
"""
VARYING = ("attempt", "error", "memory", "live", "time", "device", "flops", "provenance", "resumed_from", "restarted")
"""Fields that differ between attempts, such as time and memory (a rate of operations depends on time, too)."""


def displaces(status: str, earlier: str) -> bool:
    """Return whether a newer attempt counts instead of an earlier one: a failure never hides a finished result."""
    return status == "done" or earlier != "done"


def summarise(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return the short form in `current`, so that `status` reads one small file per cell."""
    cell, provenance = record["cell"], record.get("provenance") or {}
    names = {part: cell[part]["name"] for part in ("method", "model", "task", "recipe")}
    return {
        "attempt": record["attempt"],
        "status": record["status"],
        "fingerprint": provenance.get("fingerprint"),
        "wall_s": (record.get("time") or {}).get("wall_s"),
        **names,
        "family": cell["model"].get("family"),
        "objective": cell["objective"],
        "seed": cell["seed"],
        "steps": cell["recipe"].get("steps"),
        "metric": (record.get("task_facts") or {}).get("metric"),
        "scores": scores(record),
        "features": list(features(cell["recipe"], cell["task"])),
    }


def scores(record: Mapping[str, Any], checkpoint: str = "best") -> dict[str, float | None]:
    """Return the task's metric at one checkpoint: test, averaged over the reported sets, and validation.

    None unless every set has it.
    """
    facts = record.get("task_facts") or {}
    sets = ((record.get("scores") or {}).get(checkpoint) or {}).get("sets") or {}
    named = {"test": facts.get("tests") or ["test"], "validation": ["validation"]}
    return {
        role: _mean([sets.get(name, {}).get(facts.get("metric")) for name in names]) for role, names in named.items()
    }


def _mean(values: list[Any]) -> float | None:
    """Return the mean; None unless all of them are numbers."""
    known = [float(value) for value in values if isinstance(value, int | float) and not isinstance(value, bool)]
    return statistics.fmean(known) if known and len(known) == len(values) else None


Check = Callable[[Any], bool]
Content = dict[str, Any]

STEPS: dict[int, Callable[[Content], Content]] = {}
"""Schema n -> the function that upgrades its records to schema n + 1. Each schema has a golden record in the tests."""
_NAME = re.compile(r"[^\x00-\x1f\x7f\ud800-\udfff]{1,200}")
_LABEL = re.compile(r"[^\x00-\x1f\x7f\ud800-\udfff]{0,200}")


class Newer(Exception):
    """Content of a schema that this version does not know."""

    def __init__(self, schema: int) -> None:
        super().__init__(
            f"its schema is {schema}, and this version of deltabench reads up to {SCHEMA}: use a newer version"
        )


def record(content: Content, key: str, number: int) -> Content:
    """Return the record of attempt `number` at the cell `key`.

    Raises ValueError for content that is no such record, and Newer for a newer schema.
    """
    content = upgrade(content)
    if content.get("key") != key or content.get("attempt") != number or content.get("status") not in STATUSES:
        raise ValueError("it is not the record of this attempt")
    for part, fits in _RECORD.items():
        if not fits(content.get(part)):
            raise ValueError(f"the form of `{part}` is not that of a record")
    return content


def upgrade(content: Content) -> Content:
    """Return the same content in the current schema. Raises ValueError without a schema, and Newer for a newer one."""
    schema = content.get("schema")
    if type(schema) is not int or schema < 1:
        raise ValueError("it names no schema")
    if schema > SCHEMA:
        raise Newer(schema)
    for step in range(schema, SCHEMA):
        content = {**STEPS[step](content), "schema": step + 1}
    return content


def is_summary(content: Any) -> bool:
    """Return whether a parsed `current` is the short form of a record."""
    return _SUMMARY(content)


def is_point(row: Content) -> bool:
    """Return whether a line of a curve is an evaluation."""
    get = row.get
    return _natural(get("step")) and type(get("scores")) in (dict, _NONE) and type(get("seconds")) in _NUMBERS


def _is(*kinds: type) -> Check:
    return lambda value: type(value) in kinds


def _maybe(check: Check) -> Check:
    return lambda value: value is None or check(value)


def each(check: Check) -> Check:
    """Return a check for a mapping whose values all pass."""
    return lambda value: type(value) is dict and all(map(check, value.values()))


def _list(check: Check) -> Check:
    return lambda value: type(value) is list and all(map(check, value))


def has(**checks: Check) -> Check:
    """Return a check for a mapping whose fields of these names pass (an absent one as None); others are allowed."""
    pairs = tuple(checks.items())

    def fits(value: Any) -> bool:  # this is called many times for every record
        if type(value) is not dict:
            return False
        return False not in [check(value.get(name)) for name, check in pairs]

    return fits


def _pattern(pattern: re.Pattern[str]) -> Check:
    return lambda value: type(value) is str and pattern.fullmatch(value) is not None


def _natural(value: Any) -> bool:
    return type(value) is int and 0 <= value < 2**63


_NONE = type(None)
_NUMBERS = (int, float, _NONE)
_text, _mapping = _is(str), _is(dict)
_text_or_none, _mapping_or_none, number = _is(str, _NONE), _is(dict, _NONE), _is(*_NUMBERS)
name, _word = _pattern(_NAME), _pattern(re.compile(r"[A-Za-z]\w{0,99}"))
named = has(name=name)
label = _maybe(_pattern(_LABEL))
_parent = _list(_text)
_sets = each(each(number))

_RECORD: Mapping[str, Check] = {
    "cell": has(
        method=named,
        model=has(name=name, family=label, source=label),
        task=named,
        recipe=has(name=label, learning_rate=_is(int, float), steps=_maybe(_natural)),
        objective=_word,
        seed=_natural,
        parents=_maybe(_list(lambda pair: _parent(pair) and len(pair) == 2)),
    ),
    "scores": _maybe(each(has(step=_maybe(_natural), sets=_maybe(_sets)))),
    "parameters": _maybe(has(delta=_maybe(_natural), head=_maybe(_natural), backbone=_maybe(_natural))),
    "memory": _maybe(has(train=_maybe(has(live_bytes=number, torch_allocated_bytes=number)))),
    "time": _maybe(has(wall_s=number, train_s=number, start_s=number, between_s=number, cells_beside=_maybe(_natural))),
    "task_facts": _maybe(
        has(
            metric=_text_or_none,
            category=label,
            chance=number,
            chances=_maybe(each(number)),
            majority=number,
            tests=_maybe(_list(_text)),
        )
    ),
    **dict.fromkeys(("notes", "probes", "device", "flops"), _mapping_or_none),
    "error": _maybe(has(type=_text_or_none, message=_text_or_none, log=_maybe(_list(_text)))),
    "provenance": _maybe(has(fingerprint=_text_or_none, fingerprint_parts=_maybe(each(_text)), ended=_text_or_none)),
}
_SUMMARY = has(
    attempt=lambda value: _natural(value) and value > 0,
    status=lambda value: value in STATUSES if type(value) is str else False,
    fingerprint=_text_or_none,
    wall_s=number,
    method=name,
    model=name,
    task=name,
    recipe=_text_or_none,
    family=_text_or_none,
    objective=_word,
    seed=_natural,
    steps=_maybe(_natural),
    metric=_text_or_none,
    scores=_maybe(each(number)),
    features=_maybe(_list(_text)),
)


def run_joules(record: Mapping[str, Any]) -> float | None:
    """Return the device's joules from the first phase to the last; None where it does not report them."""
    device = record.get("device")
    energy = device.get("energy_j") if isinstance(device, Mapping) else None
    run = energy.get("run") if isinstance(energy, Mapping) else None
    return float(run) if isinstance(run, int | float) and run > 0 else None


def joules_per_point(record: Mapping[str, Any]) -> float | None:
    """Return the run's joules per point (of 100) of the best checkpoint's score, averaged over the reported sets.

    None without energy readings or without a score above 0.
    """
    joules, score = run_joules(record), scores(record)["test"]
    return joules / (100 * score) if joules and score and score > 0 else None
