"""What each row contributes to a metric that is a mean over rows, and the same packed as a short text.

Two methods answer the same test rows. With the rows' own figures their difference is surer than with two scores alone.
"""

import base64
import zlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tasks.metrics.label_metrics import BY_ROW, METRICS

PARTS = 255
"""A packed figure is a whole number of these parts of 1."""
Packed = Mapping[str, Mapping[str, str]]
"""Checkpoint -> set -> the figures of its rows, packed."""


def of_rows(metric: str, targets: Sequence[Any], predictions: Sequence[Any]) -> list[float]:
    """Return the metric's figure of each row alone, from 0 to 1; their mean is the metric. Empty for other metrics."""
    if metric not in BY_ROW:
        return []
    known: dict[str, float] = {}  # the rows of a label task are a few pairs
    figures = []
    for target, answer in zip(targets, predictions, strict=True):
        text = repr((target, answer))
        if text not in known:
            known[text] = METRICS[metric]([target], [answer])[metric]
        figures.append(known[text])
    return figures


def of_lines(metric: str, lines: Iterable[Mapping[str, Any]], sets: Sequence[str]) -> Packed:
    """Return the packed figures of these sets from saved predictions: lines with `checkpoint`, `set`, `target` and
    `prediction`. Raises KeyError for a line without one of them.
    """
    pairs: dict[tuple[str, str], tuple[list[Any], list[Any]]] = {}
    for line in lines if metric in BY_ROW else ():
        if line["set"] in sets:
            targets, predictions = pairs.setdefault((line["checkpoint"], line["set"]), ([], []))
            targets.append(line["target"])
            predictions.append(line["prediction"])
    packed: dict[str, dict[str, str]] = {}
    for (checkpoint, name), answered in pairs.items():
        packed.setdefault(checkpoint, {})[name] = pack(of_rows(metric, *answered))
    return packed


def pack(figures: Sequence[float]) -> str:
    """Return figures from 0 to 1 as a short text."""
    return base64.b64encode(zlib.compress(bytes(round(PARTS * figure) for figure in figures), 9)).decode()


def unpack(text: str) -> bytes:
    """Return the figures that `pack` wrote, as whole numbers of `PARTS`. Raises ValueError for any other text."""
    try:
        return zlib.decompress(base64.b64decode(text, validate=True))
    except zlib.error as error:
        raise ValueError(f"these are not packed figures: {error}") from error
