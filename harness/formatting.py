"""Numbers, values and tables as text. Torch is not imported."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any


def number(value: Any) -> str:
    """Return a number with three digits, more where they stand before the point: 0.0523, 12.3, 10,474;
    counts in full.
    """
    if not isinstance(value, float):
        return f"{value:,}" if type(value) is int else str(value)
    return f"{value:,.0f}" if 1000 <= abs(value) < 1e15 else f"{value:.3g}"


def count(things: int, noun: str) -> str:
    """Return a number of things: "1 cell", "2 cells"."""
    return f"{things} {noun}{'s' * (things != 1)}"


def enumeration(names: Sequence[str]) -> str:
    """Return names as a sentence lists them: "a, b and c"."""
    return " and ".join([", ".join(names[:-1]), names[-1]]) if len(names) > 1 else "".join(names)


def rate(value: float) -> str:
    """Return a learning rate as papers write it: 3e-4, 1e-2; below 1 always in this notation, so that columns agree."""
    if value >= 1:
        return f"{value:.4g}"
    mantissa, exponent = f"{value:.3e}".split("e")
    return f"{float(mantissa):g}e{int(exponent)}"


def value(given: Any) -> str:
    """Return a value as it is written on the command line."""
    if isinstance(given, list | tuple):
        return "[" + ",".join(map(str, given)) + "]"
    if isinstance(given, Mapping):
        return ", ".join(f"{name}: {value(item)}" for name, item in given.items())
    return str(given).lower() if isinstance(given, bool) else str(given)


def aligned(lines: Sequence[Sequence[str]], right: Collection[int] = ()) -> str:
    """Return rows of a table in columns as wide as their widest text. right: the columns of numbers."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(
            text.rjust(width) if place in right else text.ljust(width)
            for place, (text, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )
