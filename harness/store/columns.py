"""A record as one flat row: a column per config field and per figure. Torch is not imported.

Config fields have their name on the command line (method.rank, task.shots, recipe.batch_size). Figures have their
place in the record: scores.best.test.accuracy, parameters.delta, memory.train.process_bytes, live.bytes,
time.step_ms.median, flops.step, device.energy_j.run, task_facts.chance, error.kind. `memory.why_null.torch` is the
reason why figures of that section are null.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import MISSING, fields
from functools import cache
from typing import Any

from harness import formatting
from harness.config.building import type_text
from harness.config.schema import ModelConfig, RecipeConfig, TaskConfig
from harness.config.values import kind_of, parse
from methods import registry as methods
from methods.registry import REQUIRED

Row = dict[str, Any]

GROUPS: Mapping[str, type[Any]] = {"model": ModelConfig, "task": TaskConfig, "recipe": RecipeConfig}
FIGURES = ("scores", "parameters", "memory", "live", "time", "flops", "device", "task_facts", "error")
"""The sections of a record that have columns."""
TEXT, WHOLE, FRACTION, FLAG = "string", "int64", "float64", "bool"
_KINDS = {"int": WHOLE, "float": FRACTION, "bool": FLAG}
_TEXTS = (
    "device.name", "device.uuid", "device.driver", "device.energy_from", "flops.peak_of", "task_facts.metric",
    "task_facts.category", "error.kind", "error.type", "error.phase",
)  # fmt: skip
_ERROR = ("kind", "type", "phase", "step")
"""Of an error; its message has a column of its own."""
_COUNTS = ("n", "step", "steps", "rows", "tokens", "warm_up_steps", "cells_beside", "others")
_MOST = 2**63


def flat(record: Mapping[str, Any]) -> Row:
    """Return a record's config fields and figures by column."""
    row = config_fields(record["cell"], record.get("notes"))
    for section in FIGURES:
        content = record.get(section) or {}
        content = {name: content.get(name) for name in _ERROR} if section == "error" and content else content
        row.update(_leaves(section, content))
    return row


def config_fields(cell: Mapping[str, Any], notes: Mapping[str, Any] | None = None) -> Row:
    """Return the config fields of a cell as JSON by their names on the command line, without the names of its parts.

    notes: as of `method_fields`.
    """
    row = {f"{group}.{field.name}": cell[group].get(field.name, _default(field)) for group, field in _declared()}
    return row | {f"method.{name}": value for name, value in method_fields(cell["method"], notes).items()}


def _default(field: Any) -> Any:
    """Return the declared default; None for a field that a record has to have but lacks."""
    return None if field.default is MISSING else field.default


def method_fields(method: Mapping[str, Any], notes: Mapping[str, Any] | None = None) -> Row:
    """Return a method's fields without its name, in the order in which it declares them.

    A record may have them sorted, and then alpha, which follows from the rank, would come before it as the label. A
    record from before a field existed has it at its default, as in the key. notes: those of its record, which say
    which size was solved for a budget.
    """
    defaults = _defaults(str(method["name"]))
    names = dict.fromkeys([*defaults, *(name for name in method if name != "name")])
    values = {name: method.get(name, defaults.get(name, REQUIRED)) for name in names}
    return {name: value for name, value in values.items() if value is not REQUIRED} | solved(method, notes)


def without_solved(cell: Mapping[str, Any]) -> Row:
    """Return a cell as JSON whose size is None where a budget chooses it."""
    return {**cell, "method": {**cell["method"], **solved(cell["method"])}}


def solved(method: Mapping[str, Any], notes: Mapping[str, Any] | None = None) -> Row:
    """Return the field for which a method's budget is solved, with what a record's notes have for it; nothing without
    a budget.

    It is None without notes: the cell has the field at its default, which is not what trains.
    """
    entry = methods.catalogue().get(str(method["name"])) if method.get(methods.BUDGET) is not None else None
    size = methods.size_of(entry) if entry else None
    noted = notes.get(f"solved_{size}") if isinstance(notes, Mapping) else None
    return {size: noted} if size else {}


@cache
def _defaults(name: str) -> Mapping[str, Any]:
    """Return the declared fields of a method with their defaults; none for a method that is not known here."""
    entry = methods.catalogue().get(name)
    if entry is None:
        return {}
    return {
        field: spec.default if spec.default is REQUIRED else parse(f"method.{field}", spec.type_text, spec.default)
        for field, spec in entry.fields.items()
    }


@cache
def _declared() -> tuple[tuple[str, Any], ...]:
    """Return (group, field) of the config fields that say what a cell is, without its names, which have columns."""
    return tuple(
        (group, field)
        for group, kind in GROUPS.items()
        for field in fields(kind)
        if field.metadata["kind"] != "runtime" and field.name != "name"
    )


def _leaves(place: str, content: Any) -> Iterator[tuple[str, Any]]:
    """Yield (column, value) of every figure below a place of a record. The level "sets" has no name of its own."""
    if not isinstance(content, Mapping):
        yield place, content
        return
    for name, value in content.items():
        yield from _leaves(place if name == "sets" else f"{place}.{name}", value)


def kinds(rows: Iterable[Row]) -> dict[str, str]:
    """Return column -> type of every column of these rows, in the order of a table: fields, figures, reasons.

    The type is the declared one, so that it does not depend on the rows; a method or a figure that is not known here
    has that of its values.
    """
    seen: dict[str, set[type]] = {}
    for row in rows:
        for name, value in row.items():
            seen.setdefault(name, set()).add(type(value))
    inner = {name.rpartition(".")[0] for name in seen}
    parents = inner | {name.rpartition(".")[0] for name in inner}
    named = {name: kind(name, types) for name, types in seen.items() if name not in parents or types - {type(None)}}
    return dict(sorted(named.items(), key=lambda pair: _place(pair[0])))


def kind(name: str, types: Iterable[type] = ()) -> str:
    """Return the type of a column. types: those of its values."""
    declared = _config_kind(name)
    if declared or name in _TEXTS or ".why_null." in name:
        return declared or TEXT
    known = set(types) - {type(None)}
    if known and not known <= {int, float}:
        return FLAG if known == {bool} else TEXT
    if name.startswith("method."):
        return TEXT if not known else WHOLE if known == {int} else FRACTION
    last = name.rpartition(".")[2]
    whole = last.endswith("bytes") or name.startswith(("parameters.", "live.split.")) or last in _COUNTS
    return WHOLE if whole and name != "flops.step" else FRACTION


@cache
def _config_kind(name: str) -> str:
    """Return the type that a config field declares; "" where it is none, or where methods declare several."""
    group, _, field = name.partition(".")
    if group in GROUPS:
        return next(
            (
                _of_text(type_text(declared.type))
                for part, declared in _declared()
                if (part, declared.name) == (group, field)
            ),
            "",
        )
    if group != "method":
        return ""
    specs = [entry.fields[field] for entry in methods.catalogue().values() if field in entry.fields]
    types = {_of_text(spec.type_text) for spec in specs}
    return types.pop() if len(types) == 1 else FRACTION if types == {WHOLE, FRACTION} else TEXT if types else ""


def _of_text(annotation: str) -> str:
    return _KINDS.get(kind_of(annotation), TEXT)


def _place(name: str) -> tuple[int, bool]:
    """Return the sort key of a column: fields by group, figures by section, each section's reasons at its end."""
    order = ("method", *GROUPS, *FIGURES)
    return order.index(name.partition(".")[0]), ".why_null." in name


def cast(value: Any, kind: str) -> Any:
    """Return the value in a column's type; None where it is none of it, as a foreign record may have it."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if value is None or (kind in (WHOLE, FRACTION) and not number):
        return None
    if kind == WHOLE:
        return int(value) if float(value).is_integer() and abs(value) < _MOST else None
    if kind == FRACTION:
        return float(value)
    if kind == FLAG:
        return value if isinstance(value, bool) else None
    return text(formatting.value(value))


def text(value: str) -> str:
    """Return the text with ? for half a surrogate pair, which no Parquet text may hold."""
    return value.encode("utf-8", errors="replace").decode()
