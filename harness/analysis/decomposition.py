"""How far weights moved in magnitude (dM) and in direction (dD): the probe `weight_decomposition`, and how the two go
together.

A correlation is taken over the points of one cell, one for each layer and checkpoint, and is one draw per task and
seed. The points of a cell are not independent of each other, so their number says little about how sure it is:
intervals are over seeds, Student's t on Fisher's z as everywhere here (a bootstrap of so few seeds is too narrow), put
back to correlations. They speak of other seeds on the same backbone, not of other backbones.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from harness.analysis import select, statistics, tables
from harness.analysis.measures import Estimate
from harness.analysis.select import Panel
from harness.analysis.statistics import Array
from harness.analysis.study import Study
from harness.analysis.table import MISSING, Entry, Table, number, word

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


def table(study: Study) -> Table:
    """One row per role and arm: both correlations, how far the weights moved, and what is published."""
    quoted, rows = quotes(study), []
    for role in roles(study):
        for arm in study.clean.arms:
            said = quoted.get(study.method_of[arm], {})
            found = [correlation(study, arm, role, over) for over in (ALL, WITHIN)]
            moved = [_moved(study, arm, role, side) for side in ("direction", "magnitude")]
            ours = [number(one, digits=2, bounds=True) for one in found]
            rows.append((word(f"{arm}, {role}", study.clean.cells(arm)), *ours, *moved, *_said(study, said, role)))
    paper = ("paper's text", "paper's figure", "its figure, within a step") if study.published else ()
    heads = ("weights", f"over {ALL}", f"over {WITHIN}", "ΔD at the end", "ΔM at the end", *paper)
    title = "Correlation of the changes in direction and in magnitude"
    return Table("decomposition", title, study.model, heads, tuple(rows), _notes(study))


def correlation(study: Study, arm: str, role: str, over: str, task: int | None = None) -> Estimate:
    """Mean over tasks (or of one), by Fisher's z over seeds."""
    panel = panel_of(study, role, over)
    values = panel.of(arm) if task is None else panel.of(arm)[task : task + 1]
    main, beside = (_back(one) for one in statistics.interval(values))
    return Estimate(main, beside, keys=panel.cells(arm))


def panel_of(study: Study, role: str, over: str) -> Panel:
    """Fisher's z of every cell where a score would be; NaN where there is none."""
    rows = study.selected[study.selected.role == study.role].drop_duplicates(["key"])
    found = [fisher(pearson(one, over)) if (one := cloud(held, role)) else np.nan for held in rows.probes]
    return select.panel(rows.assign(score=found, set=PROBE), study.role, study.exhibit.methods())


def cloud(held: Mapping[str, Any], role: str) -> Cloud | None:
    """What the probe measured of self-attention's weights in one cell; None where there is nothing."""
    found = held.get(PROBE) or {}
    rows = [row for row in found.get("matrices") or () if row["role"] == role and not row["cross"]]
    if not rows:
        return None
    magnitude, direction = (np.array([row[side] for row in rows], dtype=float) for side in ("magnitude", "direction"))
    return Cloud(magnitude, direction, tuple(row["stack"] for row in rows), tuple(found["steps"]))


def clouds(study: Study, arm: str, role: str, task: str) -> Iterator[Cloud]:
    """Those of one arm on one task, seed by seed."""
    rows = study.selected
    rows = rows[(rows.arm == arm) & (rows.task == task) & (rows.role == study.role)].drop_duplicates(["key"])
    yield from (one for held in rows.sort_values("seed").probes if (one := cloud(held, role)))


def printed(study: Study, label: str, role: str) -> Cloud | None:
    """The paper's own points; None where it has none."""
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
    """Correlation of dM and dD; NaN where one of them does not vary or fewer than three points do."""
    sides = [points.magnitude, points.direction]
    centred = [side - side.mean(axis=0 if over == WITHIN else None, keepdims=True) for side in sides]
    lengths = [float(np.linalg.norm(side)) for side in centred]
    still = any(length <= 1e-9 * float(np.linalg.norm(side)) for length, side in zip(lengths, sides, strict=True))
    few = points.magnitude.size - (points.magnitude.shape[1] if over == WITHIN else 1) < 2
    return np.nan if still or few else float((centred[0] * centred[1]).sum() / (lengths[0] * lengths[1]))


def fisher(value: float) -> float:
    """Fisher's z; a perfect correlation stays finite."""
    return float(np.arctanh(np.clip(value, -MOST, MOST)))


def roles(study: Study) -> list[str]:
    """The roles that were measured, in the probe's order."""
    found = (row["role"] for held in study.selected.probes for row in (held.get(PROBE) or {}).get("matrices") or ())
    return list(dict.fromkeys(found))


def quotes(study: Study) -> dict[str, Mapping[str, Any]]:
    """method -> the options of its claim that say how the paper calls it and what its text says."""
    return {str(use["method"]): use for _, use in study.exhibit.claims if use.get("label")}


def _back(found: statistics.Interval) -> statistics.Interval:
    mean, low, high = np.tanh([found.mean, found.low, found.high])
    return replace(found, mean=float(mean), low=float(low), high=float(high))


def _moved(study: Study, arm: str, role: str, side: str) -> Entry:
    """From the least to the most that a layer moved by the last step, over cells."""
    rows = study.selected[(study.selected.arm == arm) & (study.selected.role == study.role)]
    ends = [getattr(one, side)[:, -1] for held in rows.probes if (one := cloud(held, role))]
    if not ends:
        return Entry(MISSING)
    values = np.concatenate(ends)
    return Entry(f"{values.min():.2g} to {values.max():.2g}", float(np.median(values)), keys=study.clean.cells(arm))


def _said(study: Study, said: Mapping[str, Any], role: str) -> list[Entry]:
    """The paper's text, its figure, and its figure within a step; none without published points."""
    if not study.published:
        return []
    stated, points = (said.get("stated") or {}).get(role), printed(study, str(said.get("label")), role)
    figures = [pearson(points, over) if points else None for over in (ALL, WITHIN)]
    return [Entry(MISSING) if one is None else Entry(f"{one:.2f}", float(one)) for one in (stated, *figures)]


def _notes(study: Study) -> tuple[str, ...]:
    held = [one.get(PROBE) or {} for one in study.selected.probes]
    steps = sorted({tuple(one["steps"]) for one in held if one.get("steps")})
    layers = sorted({len(one.kinds) for held in study.selected.probes for role in roles(study)
                     if (one := cloud(held, role))})  # fmt: skip
    lacking = sorted({str(one.get("error")) for one in held if one.get("status") == "failed"})
    return (
        *tables.label(study),
        *tables.edge_notes(study),
        f"points: merged weights of each self-attention ({' or '.join(map(str, layers))} of them) after steps "
        f"{'; '.join(', '.join(map(str, one)) for one in steps)}",
        "correlation: of one cell's points, mean over tasks and seeds by Fisher's z, with its "
        f"{statistics.LEVEL:.0%} interval over seeds (t, variance pooled within tasks); within a step: each step's "
        "points centred on their own mean first",
        "at the end: the least and the most that a layer moved by the last step, over cells",
        *(("paper's: one run of another model; its text and its own figure disagree, both are shown",)
          if study.published else ()),
        *(f"a probe failed: {reason}" for reason in lacking),
    )  # fmt: skip
