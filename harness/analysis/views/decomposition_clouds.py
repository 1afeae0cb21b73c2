"""The points of weights' changes in magnitude and in direction, measured or published, and how they correlate."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from harness.analysis.study.statistics import Array
from harness.analysis.study.study import Study

PROBE = "weight_decomposition"
ALL, WITHIN = "layers and steps", "layers within a step"
"""What a correlation is over: every point, or the layers of one step, each step centred on its own mean."""
PRINTED = {"q": "query", "v": "value"}
"""Roles as the published points call them."""
MOST = 1 - 1e-12


@dataclass(frozen=True)
class Cloud:
    """The points of one cell in one role. magnitude, direction: [L, C] layers x checkpoints. kinds: [L] encoder, …"""

    magnitude: Array
    direction: Array
    kinds: tuple[str, ...]
    steps: tuple[int, ...]


def cloud(probed: Mapping[str, Any], role: str) -> Cloud | None:
    """Return the probe's figures of self-attention's weights in one cell; None where there are none."""
    result = probed.get(PROBE) or {}
    rows = [row for row in result.get("matrices") or () if row["role"] == role and not row["cross"]]
    if not rows:
        return None
    magnitude, direction = (np.array([row[side] for row in rows], dtype=float) for side in ("magnitude", "direction"))
    return Cloud(magnitude, direction, tuple(row["stack"] for row in rows), tuple(result["steps"]))


def of(study: Study, arm: str, role: str, task: str) -> Iterator[Cloud]:
    """Return the clouds of one arm on one task, seed by seed."""
    rows = study.selected
    rows = rows[(rows.arm == arm) & (rows.task == task) & (rows.role == study.role)].drop_duplicates(["key"])
    yield from (drawn for probed in rows.sort_values("seed").probes if (drawn := cloud(probed, role)))


def printed(study: Study, label: str, role: str) -> Cloud | None:
    """Return the paper's own points; None where it has none."""
    rows = [row for row in study.published if row["matrix"] == PRINTED.get(role, role) and row["method"] == label]
    markers = list(dict.fromkeys(row["marker"] for row in rows))
    places = list(dict.fromkeys((row["layer"], row["instance"]) for row in rows))
    if not rows:
        return None
    magnitude, direction = np.full((2, len(places), len(markers)), np.nan)
    for row in rows:
        at = places.index((row["layer"], row["instance"])), markers.index(row["marker"])
        magnitude[at], direction[at] = float(row["delta_M"]), float(row["delta_D"])
    return Cloud(magnitude, direction, tuple(instance for _, instance in places), tuple(range(1, len(markers) + 1)))


def pearson(points: Cloud, over: str = ALL) -> float:
    """Return the correlation of dM and dD; NaN where one of them does not vary or fewer than three points do."""
    sides = [points.magnitude, points.direction]
    centred = [side - side.mean(axis=0 if over == WITHIN else None, keepdims=True) for side in sides]
    lengths = [float(np.linalg.norm(side)) for side in centred]
    still = any(length <= 1e-9 * float(np.linalg.norm(side)) for length, side in zip(lengths, sides, strict=True))
    few = points.magnitude.size - (points.magnitude.shape[1] if over == WITHIN else 1) < 2
    return np.nan if still or few else float((centred[0] * centred[1]).sum() / (lengths[0] * lengths[1]))


def fisher(value: float) -> float:
    """Return Fisher's z; a perfect correlation stays finite."""
    return float(np.arctanh(np.clip(value, -MOST, MOST)))
