"""The meaning of YAML scalars: numbers are decimal, and a text stays as it was written.

Neither torch nor Hydra is imported.

YAML 1.1 reads 010 as 8, 1:30 as 90, yes as true and 3e-4 as a text. Here a plain scalar is null, true, false or a
decimal number (YAML 1.2, section 10.3), and everything else is a text. What a scalar means depends on the field that
takes it: a label word `010` or `1e3` is a text, a number of steps `010` is 10. So a scalar becomes a value only where
its text can be restored from the value. Any other stays a `Written`, and `harness/config/values.py` reads it by the
type that the field declares.
"""

import copy
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import yaml

from harness.files import strict_json

NULL, BOOL = re.compile(r"~|null|Null|NULL|"), re.compile(r"true|True|TRUE|false|False|FALSE")
INTEGER = re.compile(r"[-+]?[0-9]{1,4000}")
NUMBER = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
NOT_FINITE = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
TAG = "tag:yaml.org,2002:"
PLAIN = re.compile(r"[^\W_](?:[\w./=+%-]|[ ](?=[\w./=+%-]))*")
"""A text that needs no quotes: letters, digits and few signs, with single spaces inside."""


SHORT = 10_000
"""The most characters of a text whose content is remembered."""


class Written(str):
    """A plain scalar that is no text by itself, as it was written: 010, 1e3, 0.50, True, ~."""

    __slots__ = ()


def value(scalar: str) -> Any:
    """Return the value of a plain scalar without a declared type: null, true, false, a decimal number, or its text."""
    if NULL.fullmatch(scalar):
        return None
    if BOOL.fullmatch(scalar):
        return scalar.lower() == "true"
    if INTEGER.fullmatch(scalar):
        return int(scalar)
    if NUMBER.fullmatch(scalar):
        return float(scalar)
    return float(scalar.lower().replace(".", "")) if NOT_FINITE.fullmatch(scalar) else scalar


def plain_values(content: Any) -> Any:
    """Return the content with every `Written` replaced by its value; for values whose type no field declares."""
    if isinstance(content, Written):
        return value(content)
    if isinstance(content, Mapping):
        return {name: plain_values(value) for name, value in content.items()}
    return [plain_values(item) for item in content] if isinstance(content, list | tuple) else content


def text(scalar: Any) -> str:
    """Return the text of a scalar as it was written: True is "true", None is "null"."""
    if isinstance(scalar, str):
        return str(scalar)
    return str(scalar).lower() if isinstance(scalar, bool) else "null" if scalar is None else str(scalar)


def load(source: str, anchors: bool = True) -> Any:
    """Return the content of a YAML text. Raises ValueError, in one line, for a text that is not YAML.

    anchors: whether a node may stand for another one. With anchors a short line could stand for more than memory holds.
    """
    return copy.deepcopy(_parsed(source, anchors)) if len(source) <= SHORT else _parsed.__wrapped__(source, anchors)


@lru_cache(maxsize=512)
def _parsed(source: str, anchors: bool) -> Any:
    """Return what `load` does. A grid of many blocks reads the same short files again and again; parsing is slow."""
    try:
        if not anchors and any(getattr(event, "anchor", None) for event in yaml.parse(source, _Loader)):
            raise ValueError("anchors and aliases are not allowed here")
        return strict_json.bounded(yaml.load(source, _Loader), strict_json.MOST_VALUES)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ValueError(" ".join(str(error).split())[:300]) from error


def check_colons(content: Any) -> None:
    """Raise ValueError for {a:b}: YAML reads it as the one name "a:b" without a value."""
    for name, value in content.items() if isinstance(content, Mapping) else ():
        left, colon, right = str(name).partition(":")
        if value is None and colon and right:
            raise ValueError(f"a space is missing after the colon: write {{{left}: {right}}}")


def quoted(content: str) -> str:
    """Return a text between double quotes, on one line, as `load` reads it back."""
    return f'"{"".join(map(_escaped, content))}"'


def flow(content: Any) -> str:
    """Return a value in YAML's flow style, on one line, as `load` reads it back."""
    if isinstance(content, Mapping):
        return "{" + ", ".join(f"{flow(str(name))}: {flow(value)}" for name, value in content.items()) + "}"
    if isinstance(content, list | tuple):
        return "[" + ",".join(map(flow, content)) + "]"
    if not isinstance(content, str):
        return text(content)
    plain = PLAIN.fullmatch(content) and isinstance(value(content), str)
    return content if plain else quoted(content)


def split(written: str, separator: str) -> list[str]:
    """Return the pieces between separators that stand outside of quotes, brackets and braces."""
    pieces, depth, start, place, before = [], 0, 0, 0, ""
    while place < len(written):
        sign = written[place]
        if sign in "\"'" and before in _OPENS and (closed := _CLOSED[sign].match(written, place)):
            place, sign = closed.end() - 1, "x"
        depth += (sign in "[{") - (sign in "]}")
        if sign == separator and depth <= 0:
            pieces.append(written[start:place])
            start = place + 1
        before = sign if sign == separator or not sign.isspace() else before
        place += 1
    return [*pieces, written[start:]]


def unquoted(written: str) -> str | None:
    """Return the text between two quotes that enclose all of it; None where none do."""
    closed = _CLOSED[written[0]].fullmatch(written) if written[:1] in ('"', "'") else None
    try:
        content = load(written) if closed else None
    except ValueError:
        return None
    return content if isinstance(content, str) else None


_OPENS = ("", "[", "{", ",", ":", "=", " ")
_CLOSED = {'"': re.compile(r'"(?:[^"\\]|\\.)*"', re.DOTALL), "'": re.compile(r"'(?:[^']|'')*'")}
"""A quote opens a text only at the start of a value; elsewhere it is an apostrophe."""


def _escaped(sign: str) -> str:
    if sign in '"\\':
        return f"\\{sign}"
    if sign.isprintable() and sign != "\ufeff":
        return sign
    return f"\\u{ord(sign):04x}" if ord(sign) < 1 << 16 else f"\\U{ord(sign):08x}"


class _Loader(yaml.SafeLoader):
    """A loader of plain values. A key is the text that was written, and a repeated key is an error."""

    def scalar(self, node: yaml.ScalarNode) -> Any:
        """Return the value of a plain scalar, or of one with a tag such as !!int."""
        content = value(node.value)
        kinds = {"null": type(None), "bool": bool, "int": int, "float": int | float}
        if isinstance(content, str) or not isinstance(content, kinds[node.tag.removeprefix(TAG)]):
            raise yaml.constructor.ConstructorError(None, None, f"{node.value!r} is not {node.tag}", node.start_mark)
        return content if (content is None and not node.value) or text(content) == node.value else Written(node.value)

    def construct_sequence(self, node: yaml.SequenceNode, deep: bool = False) -> list[Any]:
        if any(isinstance(item, yaml.ScalarNode) and item.value == "" and not item.style for item in node.value):
            raise yaml.constructor.ConstructorError(None, None, "an item of a list is empty", node.start_mark)
        return list(super().construct_sequence(node, deep=deep))

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        own = [key for key, _ in node.value if key.tag != f"{TAG}merge"]  # << adds only keys that are absent here
        for key in own:
            if not isinstance(key, yaml.ScalarNode):
                raise yaml.constructor.ConstructorError(None, None, "a name must be one word", key.start_mark)
        names = [key.value for key in own]
        if twice := [name for place, name in enumerate(names) if name in names[:place]]:
            raise yaml.constructor.ConstructorError(None, None, f"the key {twice[0]!r} is given twice", node.start_mark)
        self.flatten_mapping(node)
        return {key.value: self.construct_object(value, deep=deep) for key, value in node.value}


def _prepare() -> None:
    """Replace YAML 1.1's rules by the loader's own, without dates, sets or bytes."""
    _Loader.yaml_implicit_resolvers = {}
    for kind, pattern in (("null", NULL), ("bool", BOOL), ("int", INTEGER), ("float", NUMBER), ("float", NOT_FINITE)):
        _Loader.add_implicit_resolver(f"{TAG}{kind}", re.compile(f"(?:{pattern.pattern})$"), None)
        _Loader.add_constructor(f"{TAG}{kind}", _Loader.scalar)
    _Loader.add_implicit_resolver(f"{TAG}merge", re.compile("<<$"), ["<"])
    tags = {None, *(f"{TAG}{kind}" for kind in ("null", "bool", "int", "float", "str", "seq", "map"))}
    constructors: dict[Any, Any] = {tag: made for tag, made in _Loader.yaml_constructors.items() if tag in tags}
    _Loader.yaml_constructors = constructors


_prepare()
