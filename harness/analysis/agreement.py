"""Compare a rerun with the reference or with another store: per group of cells, the difference of means with its
interval.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from scipy.stats import t as student

from harness.analysis.output.table import MISSING, Entry, Table, word
from harness.analysis.study import frame, statistics
from harness.experiments.verdict import Finding, parts_of
from harness.formatting import rate
from harness.store import archive

if TYPE_CHECKING:
    import pandas as pd

GROUP = ["model", "arm", "task", "set", "learning_rate"]
ALPHA = 1 - statistics.LEVEL


@dataclass(frozen=True)
class Group:
    """One method, task and rate of both runs. verdict: same (every cell equal), agrees, differs, cannot tell."""

    place: tuple[str, ...]
    mine: float
    reference: float
    seeds: tuple[int, int]
    low: float
    high: float
    p: float
    verdict: str
    keys: tuple[str, ...]

    @property
    def tolerance(self) -> float:
        """Return the difference that this group's cells can tell from none: half of its interval, 0 to 1.

        It is 0 where every cell is equal, and NaN where no seeds tell.
        """
        return 0.0 if self.verdict == "same" else (self.high - self.low) / 2


@dataclass(frozen=True)
class Compared:
    """The groups that both runs have, and how much of the reference they are.

    cells: how many finished cells of the reference are in these groups, and all of its. places: the same of groups.
    """

    groups: tuple[Group, ...]
    cells: tuple[int, int]
    places: tuple[int, int]

    def coverage(self, name: str) -> str:
        """Return one line on how much was compared. name: of the other run."""
        texts = [
            f"{shared} of {all_} {what}" for (shared, all_), what in ((self.places, "groups"), (self.cells, "cells"))
        ]
        return f"compared {' and '.join(texts)} of {name}"

    def sensitivity(self) -> str:
        """Return one line on the differences that would not be seen; "" where every group is the same cell for cell."""
        known = sorted(
            100 * group.tolerance for group in self.groups if group.verdict != "same" and group.tolerance > 0
        )
        if not known:
            return ""
        middle = known[len(known) // 2]
        return (
            f"a difference below {known[0]:.1f} to {known[-1]:.1f} points (median {middle:.1f}, half of a group's "
            f"{statistics.LEVEL:.0%} interval) would not be seen"
        )


def compare(mine: Sequence[archive.Run], reference: Sequence[archive.Run], role: str = "test") -> Compared:
    """Return the groups that both runs have, Holm-adjusted over them. Each group is judged by its own spread."""
    ours, theirs = _scores(mine, role, reference), _scores(reference, role, mine)
    shared = [place for place in ours.groups if place in theirs.groups]
    raw = [_group(place, ours.get_group(place), theirs.get_group(place)) for place in shared]
    adjusted = statistics.holm([group.p for group in raw])
    judged = tuple(_judged(group, p) for group, p in zip(raw, adjusted, strict=True))
    keys = [{key for place in places for key in theirs.get_group(place).key} for places in (shared, theirs.groups)]
    return Compared(judged, (len(keys[0]), len(keys[1])), (len(shared), len(theirs.groups)))


def flipped(mine: Sequence[Finding], reference: Sequence[Finding]) -> list[tuple[Finding, Finding]]:
    """Return the claims that one run reproduces and the other contradicts.

    An exhibit may test one claim several times, for different methods, so claims are matched by their text as well.
    """
    theirs = {_claimed(finding): finding for finding in reference}
    pairs = [(finding, theirs[_claimed(finding)]) for finding in mine if _claimed(finding) in theirs]
    return [pair for pair in pairs if {finding.verdict for finding in pair} == {"reproduced", "contradicted"}]


def _claimed(finding: Finding) -> tuple[str, str, str]:
    text, _ = parts_of({"sentence": finding.sentence, "verdict": finding.verdict})
    return finding.claim, finding.model, text


def table(groups: Sequence[Group], model: str, name: str = "reference") -> Table:
    """Return one row per group of one model. name: of the other run."""
    columns = ("method", "task", "rate", "mine", name, "difference", "seeds", "verdict")
    rows = tuple(_row(group) for group in groups if group.place[0] == model)
    note = (
        f"points; the {statistics.LEVEL:.0%} interval is Student's t of the group's own spread over n seeds, mine / "
        f"{name}; verdicts are Holm-adjusted"
    )
    return Table("agreement", f"Against the {name}", model, columns, rows, (note,))


def to_json(group: Group) -> dict[str, Any]:
    """Return a group as JSON values. Scores, interval and tolerance are shares of 1."""
    places = dict(zip(GROUP, group.place, strict=True))
    return {**places, **{k: v for k, v in vars(group).items() if k != "place"}, "tolerance": group.tolerance}


def _row(group: Group) -> tuple[Entry, ...]:
    _, arm, task, name, learning_rate = group.place
    where = task if name in ("test", "validation") else f"{task}:{name}"
    gap = 100 * (group.mine - group.reference)
    interval = "" if math.isnan(group.low) else f" [{100 * group.low:+.1f}, {100 * group.high:+.1f}]"
    return (
        word(arm, group.keys),
        word(where),
        word(rate(float(learning_rate))),
        Entry(f"{100 * group.mine:.1f}", 100 * group.mine),
        Entry(f"{100 * group.reference:.1f}", 100 * group.reference),
        Entry(f"{gap:+.1f}{interval}" if gap or interval else MISSING, gap),
        word(f"{group.seeds[0]} / {group.seeds[1]}"),
        word(group.verdict),
    )


def _scores(runs: Sequence[archive.Run], role: str, among: Sequence[archive.Run]) -> "pd.api.typing.DataFrameGroupBy":
    scores = frame.scores(runs, (role,), among)
    best = scores[(scores.checkpoint == "best") & (scores.role == role)]
    return best.groupby(GROUP, sort=False)


def _spread(*sides: "pd.DataFrame") -> tuple[float, int]:
    """Return (standard deviation over seeds, degrees of freedom) of one group: both sides are draws of the same
    cells.
    """
    squares = sum(float(((rows.score - rows.score.mean()) ** 2).sum()) for rows in sides)
    df = sum(len(rows) - 1 for rows in sides)
    return (math.sqrt(squares / df) if df else math.nan), df


def _group(place: Any, ours: "pd.DataFrame", theirs: "pd.DataFrame") -> Group:
    sd, df = _spread(ours, theirs)
    seeds = len(ours), len(theirs)
    mine, reference = float(ours.score.mean()), float(theirs.score.mean())
    both = ours.merge(theirs, on="key", suffixes=("", "_reference"))
    if len(both) == len(ours) and (both.score == both.score_reference).all():
        return Group(place, mine, reference, seeds, math.nan, math.nan, math.nan, "same", tuple(ours.key))
    error = sd * math.sqrt(1 / seeds[0] + 1 / seeds[1])
    gap = mine - reference
    if not (df and error > 0):
        verdict = "agrees" if gap == 0 else "cannot tell"
        return Group(place, mine, reference, seeds, math.nan, math.nan, math.nan, verdict, tuple(ours.key))
    half = float(student.ppf(1 - ALPHA / 2, df)) * error
    p = float(2 * student.sf(abs(gap) / error, df))
    return Group(place, mine, reference, seeds, gap - half, gap + half, p, "", tuple(ours.key))


def _judged(group: Group, p: float) -> Group:
    if group.verdict:
        return group
    return Group(**{**vars(group), "p": p, "verdict": "differs" if p < ALPHA else "agrees"})
