"""Parameters of which a usual run takes some, so that each value is taken somewhere; the others are marked slow."""

from collections.abc import Sequence
from typing import Any

import pytest


def every_second(values: Sequence[Any]) -> list[Any]:
    """Return all values, of which every second is usual: for laws whose code the values share."""
    return [pytest.param(value, marks=pytest.mark.slow if place % 2 else ()) for place, value in enumerate(values)]


def pairs(left: Sequence[Any], right: Sequence[Any]) -> list[Any]:
    """Return all pairs, of which each on the left is usual with one on the right, by turns."""
    return [
        pytest.param(one, two, marks=() if place % len(right) == turn else pytest.mark.slow)
        for place, one in enumerate(left)
        for turn, two in enumerate(right)
    ]
