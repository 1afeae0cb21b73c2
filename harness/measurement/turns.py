"""Two or more sides that are timed in turn: their order, and medians with their spread. Torch is not imported."""

import statistics
from collections.abc import Sequence
from typing import Any


def spread(values: Sequence[float]) -> dict[str, Any]:
    """Return the median, the quartiles, the least and the most of a figure, and how many values there are."""
    several = len(values) > 1
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive") if several else [values[0]] * 3
    return {
        "median": middle, "quartiles": [low, high], "least": min(values), "most": max(values), "n": len(values),
    }  # fmt: skip


def ratio(ours: Sequence[float], others: Sequence[float]) -> dict[str, Any]:
    """Return the spread of the ratios of the two sides, one for each alternation."""
    return spread([mine / other for mine, other in zip(ours, others, strict=True)])


def in_turn(sides: Sequence[str], alternation: int) -> list[str]:
    """Return the order of the sides in an alternation: each comes first as often as the others."""
    first = alternation % len(sides)
    return [*sides[first:], *sides[:first]]
