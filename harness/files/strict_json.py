"""JSON that every reader reads alike: finite numbers, bounded depth, each field once. Torch is not imported."""

import json
import math
from collections.abc import Iterable, Mapping
from typing import Any

DEEPEST, MOST_VALUES = 64, 1_000_000
"""The deepest nesting of values, and the most values that a YAML may stand for: its aliases multiply."""


def encode(value: Any, indent: int | None = None, **options: Any) -> bytes:
    """Return `value` as one JSON text with a line's end; text that is not Unicode (half a surrogate pair) stays
    escaped.
    """
    text = json.dumps(finite(value), ensure_ascii=False, indent=indent, **options) + "\n"
    return text.encode("utf-8", errors="backslashreplace")


def parse(text: str | bytes) -> Any:
    """Return the value of a JSON text. Raises ValueError for other text, and for numbers that no float can hold."""
    try:
        value = _DECODER.decode(text if isinstance(text, str) else text.decode("utf-8"))
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    return bounded(value)


def bounded(value: Any, most: int | None = None) -> Any:
    """Return the same value. Raises ValueError where it is nested deeper than `DEEPEST` or stands for more than `most`
    values.
    """
    level, count = _containers([value]), 0
    for _ in range(DEEPEST):
        if not level:
            return value
        count += sum(map(len, level))
        if most is not None and count > most:
            raise ValueError("it has more values than are read")
        level = [inner for outer in level for inner in _containers(outer.values() if type(outer) is dict else outer)]
    raise ValueError("nested too deeply")


def _containers(values: Iterable[Any]) -> list[Any]:
    """Return the mappings and lists among the values."""
    return [value for value in values if type(value) is dict or type(value) is list]


def finite(value: Any) -> Any:
    """Return the same value with tuples as lists and every NaN or infinity as None, because JSON has no
    such numbers.
    """
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or type(value) in (str, int, bool):
        return value
    if isinstance(value, Mapping):
        return {str(key): finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    return value


def _int(text: str) -> int:
    if len(text) > 20:
        raise ValueError(f"{text[:20]}… has more digits than any number of a store")
    return int(text)


def _float(text: str) -> float:
    number = float(text)
    if number - number:  # not 0 but NaN for what is not finite
        raise ValueError(f"{text[:20]} is not finite")
    return number


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")


def unique_fields(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return the fields of a JSON object. Raises ValueError for a repeated one, since readers differ in which one
    counts.
    """
    values = dict(pairs)
    if len(values) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for place, name in enumerate(names) if name in names[:place])
        raise ValueError(f"the field {twice[:80]!r} is given twice")
    return values


_DECODER = json.JSONDecoder(parse_int=_int, parse_float=_float, parse_constant=_refuse, object_pairs_hook=unique_fields)
