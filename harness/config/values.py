"""One canonical value per meaning: "8", 8 and 8.0 for an int field are the same cell. Torch is not imported.

A method's field may have the annotations int, float, bool, str, Literal[...] of strings, `tuple[str, ...]` (ordered
names), `Names` (unordered names: sorted, each once), `Parts` (methods with fields), `Share` (of 1, or in percent),
`Settings` (names with JSON values), `Pairs` (names with names), `Texts`, and any of them `| None`.

A text stays as it was written (a label word `no`, `010` or `1e3`), and a number is decimal; see
`harness/config/yaml_values.py`.
"""

import ast
import json
import math
import operator
import re
from collections.abc import Callable, Mapping
from typing import Any

from harness.config.yaml_values import NULL, Written, check_colons, plain_values, split, text
from harness.errors import UsageError, cut, near
from harness.files.strict_json import unique_fields

Names = tuple[str, ...]
"""A set of names. Order and repetition mean nothing, so it is stored sorted."""

Settings = Mapping[str, Any]
"""Names with JSON values, passed on to a library unchanged."""

Pairs = tuple[str, ...]
"""Names with names, as {label: gold, choices: [a, b]}; stored as sorted words: "choices=a+b", "label=gold"."""

Texts = tuple[str, ...]
"""Texts in order, such as label words."""

Parts = tuple[str, ...]
"""Methods with fields, such as `lora rank=4 targets=q+v`, in order; each is canonical, with all of its fields."""

MOST = 2**63
"""The bound of whole numbers: a value lies below it, as in the files of a store."""
SMALLEST, LARGEST = 1.2e-38, 3.4e38
"""The range of fractional numbers in single precision: smaller ones are 0 there, larger ones are not finite."""
LONGEST = 40
"""The most letters of a text that is taken for a badly written number."""
_WHOLE, _DIGIT = re.compile(r"[-+]?[0-9]{1,4000}"), re.compile(r"[1-9]")

_OPERATORS: Mapping[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
}


def parse(field: str, type_text: str, value: Any) -> Any:
    """Return `value` in the annotation's type. Raises UsageError that names the field, the value and the rule."""
    kind = kind_of(type_text)
    try:
        check_colons(value)
    except ValueError as error:
        raise UsageError(f"{field}: {error}.") from error
    if _is_null(value, kind):
        if "None" in type_text.split(" | "):
            return None
        raise UsageError(f"{field}=null: it needs a value ({type_text}).")
    if kind.startswith("Literal["):
        return _choice(field, ast.literal_eval(f"({kind.removeprefix('Literal[').removesuffix(']')},)"), value)
    return PARSERS[kind](field, value)


def kind_of(type_text: str) -> str:
    """Return the annotation without `| None`."""
    return next(option for option in map(str.strip, type_text.split("|")) if option != "None")


def is_text(type_text: str) -> bool:
    """Return whether a field takes one text: its value is never read as something else."""
    kind = kind_of(type_text)
    return kind == "str" or kind.startswith("Literal[")


def _is_null(value: Any, kind: str) -> bool:
    """Return whether a value means null. A text field may hold the text "null"; for any other field that text means
    null.
    """
    if value is None or not isinstance(value, str):
        return value is None
    return bool(value and NULL.fullmatch(value)) and (isinstance(value, Written) or not is_text(kind))


def derive(formula: str, fields: Mapping[str, Any]) -> Any:
    """Return the value of an arithmetic formula over field names, e.g. "2 * rank"."""

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
    if isinstance(value, str) and _WHOLE.fullmatch(value.strip()):
        value = int(value)
    exact = isinstance(value, int) and not isinstance(value, bool)  # a float would round integers above 2 ** 53
    number = value if exact else _number(field, value, "a whole number")
    if not exact and number != int(number):
        raise UsageError(f"{field}={value}: it must be a whole number.")
    if not -MOST <= number < MOST:
        raise UsageError(f"{field}={cut(value, 40)}: it must be a whole number below 2 ** 63.")
    return int(number)


def _float(field: str, value: Any) -> float:
    return _number(field, value, "a number")


def _number(field: str, value: Any, rule: str) -> float:
    # float() would also accept 1_0 and the digits of other scripts.
    written = not isinstance(value, str) or _WRITTEN.fullmatch(value.strip())
    try:
        number = math.nan if isinstance(value, bool) or not written else float(value)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number):
        raise UsageError(f"{field}={cut(value, 80)}: it must be {rule}.{_advice(value)}")
    lost = number == 0 and _DIGIT.search(str(value).lower().partition("e")[0])  # 1e-400
    if lost or not (number == 0 or SMALLEST <= abs(number) <= LARGEST):
        raise UsageError(f"{field}={value}: it must be {rule} of a size from {SMALLEST} to {LARGEST}, or 0.")
    return number + 0.0  # -0.0 is 0.0: one computation, one key


def _advice(value: Any) -> str:
    """Return how to write a number that is written in the digits of another script, or with signs between its digits;
    else "".
    """
    if not isinstance(value, str) or len(value) > LONGEST:
        return ""
    try:
        number = float(value)  # which reads them
    except ValueError:
        return ""
    whole = number.is_integer() and abs(number) < MOST
    return f" Write {int(number) if whole else number!r}." if math.isfinite(number) else ""


def _bool(field: str, value: Any) -> bool:
    word = str(value).lower()
    if word not in _BOOLS:
        raise UsageError(f"{field}={value}: it must be true or false.")
    return _BOOLS[word]


_WRITTEN = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?|[+-]?(inf|nan)", re.IGNORECASE)
_BOOLS = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}


def _str(field: str, value: Any) -> str:
    if not _is_scalar(value):
        raise UsageError(f"{field}={value}: it must be text.")
    return text(value)


def _is_scalar(value: Any) -> bool:
    return value is None or isinstance(value, str | bool | int | float)


def _choice(field: str, known: tuple[str, ...], value: Any) -> str:
    chosen = text(value)
    if chosen not in known:
        raise UsageError(f"{field}={value}: it must be one of {', '.join(known)}.{near(chosen, known)}")
    return chosen


def _listed(value: Any) -> list[str]:
    """Return the texts of a list, or of its text `[a, b]` or `a, b`; [] for anything else."""
    if isinstance(value, str):
        inside = value.strip()
        value = split(inside[1:-1] if inside[:1] + inside[-1:] in ("[]", "()") else inside, ",")
    listed = value if isinstance(value, list | tuple) else []
    return [text(item).strip() for item in listed] if all(map(_is_scalar, listed)) else []


def names(field: str, value: Any) -> tuple[str, ...]:
    """Return a list of names. Raise UsageError for an empty list or name."""
    names = tuple(_listed(value))
    if not names or not all(names):
        raise UsageError(f"{field}={value}: it must be a list of names, such as [q, v].")
    return names


def _set_of_names(field: str, value: Any) -> tuple[str, ...]:
    return tuple(sorted(set(names(field, value))))


def _settings(field: str, value: Any) -> dict[str, Any]:
    """Return names with JSON values, as a configuration file of transformers has them."""
    try:
        text_of = value if isinstance(value, str) else json.dumps(plain_values(value), allow_nan=False)
        settings = json.loads(text_of, object_pairs_hook=unique_fields)
    except (TypeError, ValueError, RecursionError):
        settings = None
    if not isinstance(settings, dict):
        raise UsageError(f"{field}={value}: it must be names with values, such as {{num_layers: 2}}.")
    return settings


def _pairs(field: str, value: Any) -> tuple[str, ...]:
    """Return sorted words "a=b" of {a: b}, {a: [b, c]} or of such words."""
    listed = [value] if isinstance(value, str) else value
    if isinstance(value, Mapping):
        listed = [f"{name}={'+'.join(_listed(part)) if isinstance(part, list | tuple) else text(part)}"
                  for name, part in value.items() if not isinstance(part, Mapping)]  # fmt: skip
    if not isinstance(listed, list | tuple) or not all(isinstance(part, str) for part in listed):
        listed = []
    parts = [part.partition("=") for part in listed]
    if not parts or not all(name.strip() and other.strip() for name, _, other in parts):
        raise UsageError(f"{field}={value}: it must be names with names, such as {{label: gold}}.")
    names = [name.strip() for name, _, _ in parts]
    if twice := [name for place, name in enumerate(names) if name in names[:place]]:
        raise UsageError(f"{field}={value}: {twice[0]} is given twice; give it once.")
    return tuple(sorted(f"{name.strip()}={other.strip()}" for name, _, other in parts))


def _texts(field: str, value: Any) -> tuple[str, ...]:
    texts = tuple(_listed(value))
    if len(texts) > 1 and not all(texts):
        raise UsageError(f"{field}={','.join(texts)}: number {texts.index('') + 1} is empty; give a text in its place.")
    if not texts or not all(texts):
        raise UsageError(f"{field}={value}: it must be a list of texts, such as [bad, good].")
    return texts


def is_word(part: str, allowed: str = "") -> bool:
    """Return whether the text can stand without quotes. allowed: signs that may stand in it all the same."""
    odd = set(part) & set("+,\"'[]{}") - set(allowed)
    return bool(part) and part != "null" and not odd and not any(sign.isspace() for sign in part)


def _share(field: str, value: Any) -> float:
    """Return a share of 1, also of a percentage: "0.5%"."""
    written = str(value).strip()
    number = _number(field, written.removesuffix("%"), "a share such as 0.5% or 0.005")
    share = number / 100 if written.endswith("%") else number
    if not 0 < share <= 1:
        raise UsageError(f"{field}={value}: it must be above 0 and at most 100%, such as 0.5% or 0.005.")
    return float(f"{share:.12g}")


PARSERS: dict[str, Callable[[str, Any], Any]] = {
    "int": _int,
    "float": _float,
    "bool": _bool,
    "str": _str,
    "tuple[str, ...]": names,
    "Names": _set_of_names,
    "Share": _share,
    "Settings": _settings,
    "Pairs": _pairs,
    "Texts": _texts,
}
