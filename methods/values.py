"""One canonical value per meaning: "8", 8 and 8.0 for an int field are the same cell. Torch-free.

Annotations a method's field may carry: int, float, bool, str, Literal[...] of strings, `tuple[str, ...]`
(ordered names), `Names` (unordered names: sorted, each once), `Parts` (methods with fields), `Share`
(of 1, or in percent), `Settings` (names with JSON values), `Pairs` (names with names), `Texts`, any of them `| None`.
"""

import ast
import json
import math
import operator
from collections.abc import Callable, Mapping
from typing import Any

from harness.errors import UsageError, near

Names = tuple[str, ...]
"""A set of names: order and repetition mean nothing, so it is kept sorted."""

Settings = Mapping[str, Any]
"""Names with JSON values, passed on to a library as they are."""

Pairs = tuple[str, ...]
"""Names with names, as {label: gold, choices: [a, b]}; kept as sorted words: "choices=a+b", "label=gold"."""

Texts = tuple[str, ...]
"""Texts in order, such as label words."""

Parts = tuple[str, ...]
"""Methods with fields, such as `lora rank=4 targets=q+v`, in order; each canonical, with all of its fields."""

_OPERATORS: Mapping[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
}


def parse(field: str, type_text: str, value: Any) -> Any:
    """`value` as the annotation wants it. UsageError naming the field, the value and the rule otherwise."""
    options = [option.strip() for option in type_text.split("|")]
    if value is None or value == "null":
        if "None" in options:
            return None
        raise UsageError(f"{field}=null: it needs a value ({type_text})")
    kind = next(option for option in options if option != "None")
    if kind.startswith("Literal["):
        return _choice(field, ast.literal_eval(f"({kind.removeprefix('Literal[').removesuffix(']')},)"), value)
    return _PARSERS[kind](field, value)


def derive(formula: str, fields: Mapping[str, Any]) -> Any:
    """The value of an arithmetic formula over field names, e.g. "2 * rank"."""

    def walk(node: ast.expr) -> Any:
        match node:
            case ast.Constant():
                return node.value
            case ast.Name():
                return fields[node.id]
            case ast.BinOp():
                return _OPERATORS[type(node.op)](walk(node.left), walk(node.right))
        raise ValueError(f"not arithmetic over fields: {formula}")

    return walk(ast.parse(formula, mode="eval").body)


def _int(field: str, value: Any) -> int:
    number = _number(field, value, "a whole number")
    if number != int(number):
        raise UsageError(f"{field}={value}: it must be a whole number")
    return int(number)


def _float(field: str, value: Any) -> float:
    return _number(field, value, "a number")


def _number(field: str, value: Any, rule: str) -> float:
    try:
        number = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number):
        raise UsageError(f"{field}={value}: it must be {rule}")
    return number


def _bool(field: str, value: Any) -> bool:
    text = str(value).lower()
    if text not in ("true", "false"):
        raise UsageError(f"{field}={value}: it must be true or false")
    return text == "true"


def _str(field: str, value: Any) -> str:
    if not isinstance(value, str):
        raise UsageError(f"{field}={value}: it must be text")
    return value


def _choice(field: str, known: tuple[str, ...], value: Any) -> str:
    if value not in known:
        raise UsageError(f"{field}={value}: it must be one of {', '.join(known)}.{near(str(value), known)}")
    return str(value)


def _names(field: str, value: Any) -> tuple[str, ...]:
    parts = value.strip("[]() ").split(",") if isinstance(value, str) else value
    try:
        names = tuple(_str(field, part).strip() for part in parts)
    except TypeError:
        names = ()
    if not names or not all(names):
        raise UsageError(f"{field}={value}: it must be a list of names, such as [q, v]")
    return names


def _set_of_names(field: str, value: Any) -> tuple[str, ...]:
    return tuple(sorted(set(_names(field, value))))


def _settings(field: str, value: Any) -> dict[str, Any]:
    """Names with JSON values, as a configuration file of transformers has them."""
    try:
        found = json.loads(value) if isinstance(value, str) else json.loads(json.dumps(value, allow_nan=False))
    except (TypeError, ValueError):
        found = None
    if not isinstance(found, dict):
        raise UsageError(f"{field}={value}: it must be names with values, such as {{num_layers: 2}}")
    return found


def _pairs(field: str, value: Any) -> tuple[str, ...]:
    """{a: b}, {a: [b, c]} or the words they are kept as."""
    listed = [value] if isinstance(value, str) else value
    if isinstance(value, Mapping):
        listed = [f"{name}={'+'.join(one) if isinstance(one, list | tuple) else one}" for name, one in value.items()]
    if not isinstance(listed, list | tuple) or not all(isinstance(one, str) for one in listed):
        listed = []
    parts = [one.partition("=") for one in listed]
    if not parts or not all(name.strip() and other.strip() for name, _, other in parts):
        raise UsageError(f"{field}={value}: it must be names with names, such as {{label: gold}}")
    return tuple(sorted(f"{name.strip()}={other.strip()}" for name, _, other in parts))


def _texts(field: str, value: Any) -> tuple[str, ...]:
    """YAML reads a bare yes, no, on and off as true and false, which are no texts."""
    listed = value.strip("[] ").split(",") if isinstance(value, str) else value
    if not isinstance(listed, list | tuple) or not listed:
        raise UsageError(f"{field}={value}: it must be a list of texts, such as [bad, good]")
    if any(isinstance(one, bool) for one in listed):
        raise UsageError(f"{field}={value}: it must be a list of texts; put quotes around yes, no, true and false")
    texts = tuple(str(one).strip() for one in listed)
    if not all(texts) or any(isinstance(one, list | tuple | Mapping) or one is None for one in listed):
        raise UsageError(f"{field}={value}: it must be a list of texts, such as [bad, good]")
    return texts


def read_part(text: str) -> tuple[str, dict[str, str]]:
    """(method, fields as text) of one part."""
    name, *words = text.split()
    pairs = [word.partition("=") for word in words]
    if any(not (key and equals and value) for key, equals, value in pairs):
        raise UsageError(f"method.parts: {text!r} must be a method and field=value words, such as lora rank=4")
    return name, {key: value if _is_number(value) else value.replace("+", ",") for key, _, value in pairs}


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def _parts(field: str, value: Any) -> tuple[str, ...]:
    from methods import resolve  # here, because that page parses values with this one

    found = []
    for name, fields in map(read_part, _names(field, value)):
        resolved = resolve(name, fields)
        if "parts" in resolved:
            raise UsageError(f"{field}: {name} has parts of its own, so it cannot be a part")
        words = (f"{key}={_word(item)}" for key, item in resolved.items())
        found.append(" ".join((name, *words)))
    return tuple(found)


def _word(value: Any) -> str:
    if isinstance(value, tuple):
        return "+".join(value)
    return json.dumps(value) if value is None or isinstance(value, bool) else str(value)


def _share(field: str, value: Any) -> float:
    """A share of 1, also as a percentage: "0.5%"."""
    text = str(value).strip()
    number = _number(field, text.removesuffix("%"), "a share such as 0.5% or 0.005")
    share = number / 100 if text.endswith("%") else number
    if not 0 < share <= 1:
        raise UsageError(f"{field}={value}: it must be above 0 and at most 100%, such as 0.5% or 0.005")
    return float(f"{share:.12g}")


_PARSERS: Mapping[str, Callable[[str, Any], Any]] = {
    "int": _int,
    "float": _float,
    "bool": _bool,
    "str": _str,
    "tuple[str, ...]": _names,
    "Names": _set_of_names,
    "Parts": _parts,
    "Share": _share,
    "Settings": _settings,
    "Pairs": _pairs,
    "Texts": _texts,
}
