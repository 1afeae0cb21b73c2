"""The verdict on a claim: one word (see claims.py), with the comparisons behind it. Torch-free."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

CONSTRUCTION = "by construction"
VERDICTS = ("reproduced", CONSTRUCTION, "contradicted", "inconclusive", "untested")


def parts_of(finding: Mapping[str, Any]) -> tuple[str, str]:
    """Return the claim and the evidence of a finding's sentence "claim: verdict; evidence." as two texts.

    finding: its content as JSON.
    """
    claim, _, evidence = str(finding["sentence"]).partition(f": {finding['verdict']}")
    return claim, evidence.lstrip(";. ").strip()


@dataclass(frozen=True)
class OwnTest:
    """A comparison's own test, before any adjustment, from which it is judged over several looks (study/looks.py).

    at_best: a better learning rate may exist, and the verdict and p hold whatever it could reach.
    sd, se, df: the spread over seeds of the estimate, its standard error and its degrees of freedom; row_se: its
    standard error over test rows; distance: from the estimate to the nearest value that decides. NaN: not known.
    """

    verdict: str
    p: float
    at_best: bool = False
    sd: float = math.nan
    se: float = math.nan
    df: float = 0.0
    row_se: float = 0.0
    distance: float = math.nan


@dataclass(frozen=True)
class Comparison:
    """One test inside a claim: "left against right", on the claim's scale.

    low, high, p and verdict are for new seeds and new test rows where the error of the rows is known; seeds_low,
    seeds_high and seeds_verdict ("" where the two agree) are for new seeds on the same rows.
    p: adjusted (Holm) over the comparisons of the claim. seeds: how many per task would decide an inconclusive
    comparison with 80 % probability if the estimate is right; None where no number up to the limit would. fewest, most:
    the same at the ends of the 80 % interval of the spread. rows: the factor of test rows that it would take first.
    sides: the cells of left and those of right, where the estimate is left's score less right's.
    at_best: a better learning rate may exist, and verdict and p hold whatever it could reach (open_rates.py).
    test: its own test, before any adjustment; None where it has none. look: the number of the declared look at which
    it was judged, and p is then adjusted for all looks and comparisons of the exhibit; None where one look was planned.
    """

    left: str
    right: str
    relation: str
    verdict: str
    estimate: float | None = None
    low: float | None = None
    high: float | None = None
    p: float | None = None
    seeds: int | None = None
    reason: str = ""
    keys: tuple[str, ...] = ()
    sides: tuple[tuple[str, ...], tuple[str, ...]] = ((), ())
    fewest: int | None = None
    most: int | None = None
    rows: float | None = None
    seeds_low: float | None = None
    seeds_high: float | None = None
    seeds_verdict: str = ""
    at_best: bool = False
    test: OwnTest | None = None
    look: int | None = None


@dataclass(frozen=True)
class Finding:
    """The verdict on one claim by one model's records.

    sentence: one line for people. neutral: the estimate from which the margin counts to both sides.
    chosen_from: all tests among which its comparisons were chosen by their outcome; () where they are all there are.
    """

    claim: str
    model: str
    verdict: str
    sentence: str
    margin: float
    estimand: str
    scale: str
    source: str
    statistics: Mapping[str, Any] = field(default_factory=dict)
    comparisons: tuple[Comparison, ...] = ()
    notes: tuple[str, ...] = ()
    neutral: float = 0.0
    chosen_from: tuple[Comparison, ...] = ()


def overall(verdicts: list[str]) -> str:
    """Return the verdict on several comparisons: reproduced if all are, contradicted if one of them is."""
    tested = [verdict for verdict in verdicts if verdict != "untested"]
    if not tested:
        return "untested"
    if "contradicted" in tested:
        return "contradicted"
    return "reproduced" if len(tested) == len(verdicts) == tested.count("reproduced") else "inconclusive"


def overall_some(verdicts: list[str]) -> str:
    """Return the verdict on "some of them do": reproduced if one is, contradicted if each is on the other side."""
    if "reproduced" in verdicts:
        return "reproduced"
    if not [verdict for verdict in verdicts if verdict != "untested"]:
        return "untested"
    return "contradicted" if set(verdicts) == {"contradicted"} else "inconclusive"
