"""Build a configuration from flat values: the types and the rules that its fields declare. Torch is not imported."""

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import fields
from typing import TYPE_CHECKING, Any, TypeVar

from harness.config.schema import Runtime
from harness.config.values import parse
from harness.errors import UsageError, near

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

T = TypeVar("T", bound="DataclassInstance")


def build(kind: type[T], values: Mapping[str, Any], what: str) -> T:
    """Return a configuration from flat values, each in its canonical type. `what` names it in errors, e.g. "recipe".

    Raises UsageError for a field that does not exist, a value of another type or one outside the field's rule.
    """
    parsed = parse_fields(kind, values, what)
    for name, item in _known(kind).items():
        if item.default is dataclasses.MISSING and name not in parsed:
            raise UsageError(f"{what} needs a value for {name}.")
    return kind(**parsed)


def parse_fields(kind: type[Any], values: Mapping[str, Any], what: str) -> dict[str, Any]:
    """Return the given fields only, each in its canonical type. Raises UsageError as `build` does."""
    known, parsed = _known(kind), {}
    for name, value in values.items():
        if name not in known:
            raise UsageError(f"{what} has no field {name!r}.{near(str(name), known, also=synonyms(kind))}")
        field_name = name if kind is Runtime else f"{what}.{name}"  # the spelling of the command line
        parsed[name] = parse(field_name, type_text(known[name].type), value)
        _check(field_name, parsed[name], known[name].metadata)
    return parsed


_named_fields: dict[type[Any], dict[str, "dataclasses.Field[Any]"]] = {}


def _known(kind: type[Any]) -> Mapping[str, "dataclasses.Field[Any]"]:
    """Return the fields of a configuration by name, made once."""
    if kind not in _named_fields:
        _named_fields[kind] = {item.name: item for item in fields(kind)}
    return _named_fields[kind]


def synonyms(kind: type[Any]) -> dict[str, str]:
    """Return other words for the fields of a configuration: word -> field."""
    return {word: field.name for field in fields(kind) for word in field.metadata.get("also", ())}


def type_text(annotation: Any) -> str:
    """Return an annotation as it is written."""
    return annotation.__name__ if isinstance(annotation, type) else str(annotation)


def _check(field_name: str, value: Any, rule: Mapping[str, Any]) -> None:
    """Raise UsageError where a value breaks its field's rule."""
    if value is None or isinstance(value, Mapping | tuple):
        return
    if "known" in rule and value not in rule["known"]:
        raise UsageError(f"{field_name}={value}: it must be {bounds(rule)}.")
    least, above, most = (
        rule.get("least", -math.inf),
        rule.get("above", -math.inf),
        rule.get("most", math.inf),
    )
    if not isinstance(value, str) and not (value >= least and value > above and value <= most):
        raise UsageError(f"{field_name}={value}: it must be {bounds(rule)}.")


def bounds(rule: Mapping[str, Any]) -> str:
    """Return what a field's rule allows: "at least 1 and at most 64", "one of sum, mean"; "" for a field without."""
    if "known" in rule:
        return f"one of {', '.join(rule['known'])}"
    return " and ".join(f"{word} {_plain(rule[name])}" for name, word in _WORDS.items() if name in rule)


def _plain(bound: float) -> str:
    return f"{bound:g}" if isinstance(bound, float) else str(bound)


_WORDS = {"least": "at least", "above": "above", "most": "at most"}
