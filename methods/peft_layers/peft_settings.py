"""The settings of a configuration of the PEFT library: read, and refused where PEFT would do something else in silence.

PEFT takes a value it does not know for the usual one, ignores a field that its type does not use, and says in a warning
that a pattern matches nothing. Each of these is an error here.
"""

import json
import re
import types
import typing
from collections.abc import Iterable, Mapping
from typing import Any

from harness.errors import UsageError, near
from harness.files import strict_json
from methods.peft_layers.peft_types import FIELDS, REFUSED, REFUSED_STARTS, RUNS, STARTS

START = "init_lora_weights"
ELSEWHERE: Mapping[str, str] = {
    **dict.fromkeys(("target_modules", "modules_to_save"), "method.targets and the objective decide it; leave it out"),
    **dict.fromkeys(
        ("layers_to_transform", "layers_pattern"),
        "PEFT ignores it where targets are whole names; choose the layers by patterns in method.targets, as in *.0.*.q",
    ),
    "total_step": "recipe.steps decides it; leave it out",
}
"""Field -> why it is not among the settings."""


def configuration(peft: Any, kind: str, words: Iterable[str], targets: list[str]) -> Any:
    """Return PEFT's configuration of type `kind` on targets with these names. Raise UsageError where it does not run.

    words: `field=value`, values as in JSON.
    """
    kinds = {known.value: cls for known, cls in peft.PEFT_TYPE_TO_CONFIG_MAPPING.items()}
    if kind not in kinds:
        raise UsageError(
            f"method.peft_type={kind}: PEFT {peft.__version__}, which is installed, has no such type.{near(kind, RUNS)}"
        )
    if kind not in RUNS:
        why = REFUSED.get(kind, "deltabench does not know what it needs besides its layers")
        raise UsageError(f"method.peft_type={kind}: not supported: {why}.")
    fields, cls = dict(map(_setting, words)), kinds[kind]
    for field, value in fields.items():
        _check(peft, kind, cls, field, value)
        if field.endswith("_pattern") and isinstance(value, dict):
            _check_pattern(field, value, targets)
    steps = {"total_step": 2 + fields.get("tinit", 0) + fields.get("tfinal", 0)} if kind == "ADALORA" else {}
    return cls(target_modules=targets, **fields, **steps)


def _setting(word: str) -> tuple[str, Any]:
    key, equals, text = word.partition("=")
    if not (key and equals):
        raise UsageError(f"method.settings: {word!r} must be field=value")
    try:
        return key.strip(), strict_json.parse(text)
    except ValueError:
        return key.strip(), text.strip()


def _check(peft: Any, kind: str, cls: type[Any], field: str, value: Any) -> None:
    """Raise UsageError for a field that does not act on the layers of its type, and for a value it does not have."""
    setting = f"method.settings: {field}={as_written(value)}"
    if field not in cls.__dataclass_fields__:
        hint = near(field, cls.__dataclass_fields__)
        raise UsageError(f"method.settings: {kind} has no field {field!r}.{hint}")
    if field in ELSEWHERE:
        raise UsageError(f"{setting}: {ELSEWHERE[field]}.")
    if field in peft.PeftConfig.__dataclass_fields__:
        raise UsageError(f"{setting}: {ELSEWHERE['target_modules']}.")
    acting = FIELDS.get(kind)
    if acting is not None and field not in acting:
        known = ", ".join(sorted(acting))
        raise UsageError(f"{setting}: it needs more than the layers of {kind}, or does nothing there. It has {known}.")
    if field == START:
        _check_start(setting, as_written(value))
        return
    hint = typing.get_type_hints(cls).get(field, Any)
    if not _fits(value, hint):
        raise UsageError(f"{setting}: {kind} takes {_in_words(hint)}, and takes anything else for its usual value.")


def _check_start(setting: str, start: str) -> None:
    """Raise UsageError for a value of `init_lora_weights` that needs more than the weights."""
    if start in STARTS:
        return
    family = "pissa_niter_N" if re.fullmatch(r"pissa_niter_\d+", start) else start
    why = REFUSED_STARTS.get(family, "deltabench does not know what it needs")
    raise UsageError(f"{setting}: not supported: {why}. Starts that run are {', '.join(STARTS)}.")


def _check_pattern(field: str, patterns: Mapping[str, Any], targets: Iterable[str]) -> None:
    """Raise UsageError for a pattern that matches no target, by PEFT's own rule."""
    for pattern in patterns:
        try:
            matches = any(re.match(rf"(.*\.)?({pattern})$", target) for target in targets)
        except re.error as error:
            raise UsageError(f"method.settings: {field} has {pattern!r}, which is no pattern ({error}).") from error
        if not matches:
            last = {target.rpartition(".")[2] for target in targets}
            raise UsageError(f"method.settings: {field} has {pattern!r}, which matches no target.{near(pattern, last)}")


def _fits(value: Any, hint: Any) -> bool:
    """Return whether a value is of a declared type. 1 is not true, and a whole number is a number."""
    origin, inside = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return any(_fits(value, kind) for kind in inside)
    if origin is typing.Literal:
        return any(type(value) is type(kind) and value == kind for kind in inside)
    if hint is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    kind = origin or hint
    return not isinstance(kind, type) or isinstance(value, list if kind in (set, tuple) else kind)


def _in_words(hint: Any) -> str:
    """Return a declared type in words: its values, or its kinds."""
    origin, inside = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(_in_words(kind) for kind in inside if kind is not type(None))
    if origin is typing.Literal:
        return ", ".join(map(as_written, inside))
    names = {bool: "true or false", int: "a whole number", float: "a number", str: "text", dict: "names with values"}
    return names.get(origin or hint, str(hint))


def as_written(value: Any) -> str:
    """Return the value as one writes it on the command line."""
    return value if isinstance(value, str) else json.dumps(value)
