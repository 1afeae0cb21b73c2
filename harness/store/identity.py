"""The identity of a cell: resolved identity fields -> key, and the cell as JSON and back. Torch is not imported."""

import hashlib
import json
import weakref
from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields, is_dataclass
from functools import cache, lru_cache, partial
from typing import Any

from harness.config.building import build
from harness.config.schema import Cell, MethodConfig, ModelConfig, RecipeConfig, TaskConfig
from harness.errors import UsageError
from methods import registry as methods

IDENTITY_VERSION = 1
"""It is raised when the meaning of a field or a declared default changes; every key changes with it."""


def key(cell: Cell) -> str:
    """Return the sha256 (64 hex digits) of the canonical JSON of everything that the result depends on."""
    return str(_remembered(cell, "key", lambda: hashlib.sha256(canonical(cell).encode()).hexdigest()))


def by_key(cells: Iterable[Cell]) -> dict[str, Cell]:
    """Return key -> cell, each cell once, in order."""
    return {key(cell): cell for cell in cells}


def known(cell: Cell) -> bool:
    """Return whether the cell's method is installed here: without its declared defaults the key would differ."""
    return cell.method.name in methods.catalogue()


def canonical(cell: Cell) -> str:
    """Return the identity fields as JSON, sorted, without those at their declared default, so that a new field re-keys
    nothing.
    """
    parts = {"version": str(IDENTITY_VERSION)}
    for name, default in _identity_defaults(Cell):
        value = getattr(cell, name)
        if name in _SHARED:  # by many cells, so each is written once
            parts[name] = _remembered(value, "text", partial(_text, value))
        elif not _same(value, default):
            parts[name] = _scalar(value) if isinstance(value, str | int) else _canonical(_plain(value))
    return "{" + ",".join(f'"{name}":{parts[name]}' for name in sorted(parts)) + "}"


def _text(config: Any) -> str:
    return _canonical(_identity(config))


@lru_cache(maxsize=1024, typed=True)
def _scalar(value: str | int) -> str:
    """Return `_canonical` of one text or number, of which a grid has few."""
    return _canonical(value)


def _canonical(content: Any) -> str:
    """Return JSON values as text, in the only form that is used for identity."""
    return json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def to_json(cell: Cell, kinds: tuple[str, ...] = ("identity", "runtime", "provenance")) -> dict[str, Any]:
    """Return the cell as plain JSON values; fields of other kinds than `kinds` are left out."""
    method = {"name": cell.method.name, **{name: _plain(value) for name, value in cell.method.fields.items()}}
    parts = {part: _copied(_remembered(config, str(kinds), partial(_flat, config, kinds)))
             for part in _PARTS for config in [getattr(cell, part)]}  # fmt: skip
    parents = [list(parent) for parent in cell.parents]
    content = {"method": method, **parts, "objective": cell.objective, "seed": cell.seed, "parents": parents}
    return {**content, CONFIG_DIR: cell.config_dir} if "runtime" in kinds and cell.config_dir else content


def without_runtime(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return the content of `to_json` without the fields that concern one machine only."""
    runtime = {part: [f.name for f in fields(kind) if f.metadata["kind"] == "runtime"] for part, kind in _PARTS.items()}
    cut = {part: {f: v for f, v in content[part].items() if f not in names} for part, names in runtime.items()}
    return {**{name: value for name, value in content.items() if name != CONFIG_DIR}, **cut}


def from_json(content: Mapping[str, Any]) -> Cell:
    """Return the cell that `to_json` wrote.

    Raises UsageError for a field that this version does not know, or for a value of a wrong type.
    """
    try:
        method = dict(content["method"])
        name = method.pop("name")
        parts = {part: build(kind, _current(content[part], part), part) for part, kind in _PARTS.items()}
        return Cell(
            method=MethodConfig(name, {field: _tuples(value) for field, value in method.items()}),
            objective=str(content["objective"]),
            seed=int(content["seed"]),
            parents=tuple((str(role), str(parent)) for role, parent in content.get("parents", [])),
            config_dir=None if content.get(CONFIG_DIR) is None else str(content[CONFIG_DIR]),
            **parts,
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UsageError(f"this is not a cell: {type(error).__name__}: {error}") from error


def _current(values: Mapping[str, Any], part: str) -> dict[str, Any]:
    """Return a part's values without the fields of earlier versions, none of which changed a result."""
    return {name: value for name, value in values.items() if name not in _EARLIER.get(part, ())}


CONFIG_DIR = "config_dir"
_EARLIER: Mapping[str, tuple[str, ...]] = {"recipe": ("evaluation_batch_size",)}
_memory: dict[int, tuple[weakref.ref[Any], dict[str, Any]]] = {}
"""The id of a living configuration -> what `_remembered` knows of it."""
_PARTS: Mapping[str, type[Any]] = {"model": ModelConfig, "task": TaskConfig, "recipe": RecipeConfig}
_SHARED = ("method", *_PARTS)


def _identity(config: Any) -> dict[str, Any]:
    """Return the identity fields of a configuration, nested, without those at their declared default."""
    return dict(_remembered(config, "fields", lambda: _identity_fields(config)))


def _remembered(config: Any, what: str, make: Callable[[], Any]) -> Any:
    """Return what `make` computes of a frozen configuration, once for as long as the configuration lives.

    A grid looks up each key several times, and its cells share methods, models and tasks.
    """
    number = id(config)
    if number not in _memory:
        _memory[number] = weakref.ref(config, lambda _: _memory.pop(number, None)), {}
    known = _memory[number][1]
    if what not in known:
        known[what] = make()
    return known[what]


def _identity_fields(config: Any) -> dict[str, Any]:
    """Return what `_identity` remembers."""
    if isinstance(config, MethodConfig):
        return {"name": config.name, "fields": _method_fields(config)}
    content = {}
    for name, default in _identity_defaults(config.__class__):
        value = getattr(config, name)
        if is_dataclass(value):
            content[name] = _identity(value)
        elif not _same(value, default):
            content[name] = _plain(value)
    return content


@cache
def _identity_defaults(kind: type[Any]) -> tuple[tuple[str, Any], ...]:
    """Return (name, declared default) of the identity fields of a configuration's class."""
    return tuple((field.name, field.default) for field in fields(kind) if field.metadata["kind"] == "identity")


def _method_fields(config: MethodConfig) -> dict[str, Any]:
    """Return a method's fields without those at their declared default."""
    defaults = _declared(config.name)
    return {
        name: _plain(value)
        for name, value in config.fields.items()
        if name not in defaults or not _same(value, defaults[name])
    }


@cache
def _declared(name: str) -> dict[str, Any]:
    """Return the declared defaults of a method's fields; {} for a method that is not installed here."""
    entry = methods.catalogue().get(name)
    return {field: spec.default for field, spec in entry.fields.items()} if entry else {}


def _same(value: Any, default: Any) -> bool:
    """Return whether a value equals the default; True and 1 are different."""
    if value is default:
        return True
    if isinstance(value, str) and isinstance(default, str):
        return value == default
    return bool(_plain(value) == _plain(default)) and isinstance(value, bool) == isinstance(default, bool)


def _flat(config: Any, kinds: tuple[str, ...]) -> dict[str, Any]:
    """Return a configuration's fields of these kinds as JSON values, without provenance that it does not have."""
    chosen = (field for field in fields(config) if field.metadata["kind"] in kinds)
    values = {field: getattr(config, field.name) for field in chosen}
    return {
        field.name: _plain(value)
        for field, value in values.items()
        if value is not None or field.metadata["kind"] != "provenance"
    }


def _copied(value: Any) -> Any:
    """Return JSON values as new lists and mappings, which a caller may change."""
    if isinstance(value, dict):
        return {name: _copied(item) for name, item in value.items()}
    return [_copied(item) for item in value] if isinstance(value, list) else value


def _plain(value: Any) -> Any:
    """Return JSON values in one form: 1.0 and 1 are one number, tuples are lists."""
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return int(value)
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value


def _tuples(value: Any) -> Any:
    return tuple(_tuples(item) for item in value) if isinstance(value, list) else value
