"""How a sentence writes an amount on a claim's scale, and the smallest one that counts. Torch-free and pandas-free."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from harness.experiments.claims import Claim
from harness.experiments.verdict import Comparison


@dataclass(frozen=True)
class Unit:
    """number: of an amount; word: behind it; least: of a margin, such as "1 point"."""

    number: Callable[[float], str]
    word: str
    least: Callable[[float], str]

    def text(self, row: Comparison) -> str:
        """Return '-7.9 points [-13.1, -2.7]'; "" without an estimate."""
        if row.estimate is None:
            return ""
        text = f"{self.number(row.estimate)}{self.word}"
        if row.low is None or row.high is None:
            return text
        return f"{text} [{self.number(row.low)}, {self.number(row.high)}]"


def _points(amount: float) -> str:
    return f"{100 * amount:g} point{'s' * (amount != 0.01)}"


def _percent(amount: float) -> str:
    return f"{100 * amount:.3g} %"


def _share(neutral: float, of: str) -> Unit:
    """Return the unit of a share, which is told as it is and not as its distance from one half."""
    word = f" % of the {of}"
    return Unit(lambda value: f"{100 * (value - neutral):.0f}", word, lambda m: f"{100 * m:g}{word}")


def _change(of: str = "") -> Unit:
    return Unit(lambda value: f"{100 * value:+.1f}", f" %{of}", lambda m: f"{_percent(m)}{of}")


POINTS = Unit(lambda value: f"{100 * value:+.1f}", " points", _points)
LOSS = Unit(lambda value: f"{100 * math.expm1(value):+.0f}", " %", lambda m: f"{100 * math.expm1(m):.0f} %")
POWER = Unit(lambda value: f"{10**value:.3g}", " times", lambda m: f"a factor of {10**m:.2g}")
UNITS: Mapping[str, Unit] = {
    "score, 0 to 1": POINTS,
    "score, -1 to 1": POINTS,
    "score, -2 to 2": POINTS,
    "PSCP, 0 to 1": POINTS,
    "share of pairs, 0 to 1": _share(0.0, "pairs"),
    "share of pairs, -0.5 to 0.5": _share(-0.5, "pairs"),
    "share of cases, -0.5 to 0.5": _share(-0.5, "cases"),
    "share of the bare backbone's time": _change(),
    "share of right's parameters": _change(),
    "share of right's peak": _change(),
    "share of right's peak, 0 to 1": _change(),
    "share of the ceiling's peak, 0 to 1": _change(),
    "share of the ceiling's operations": _change(),
    "share of the backbone's parameters": _change(),
    "share of variance": _change(" of the variance"),
    "ratio to the target's own delta": _change(" of the own delta's score"),
    "squared score": Unit(lambda value: f"{value:+.2g}", "", lambda m: f"{m:g}"),
    "correlation, -1 to 1": Unit(lambda value: f"{value:.2f}", "", lambda m: f"{m:g}"),
    "singular vectors among the first ten of a matrix": Unit(
        lambda value: f"{value:+.2f}", " per matrix", lambda m: f"{m:g} per matrix"
    ),
    "nats per word of held-out pretraining text": Unit(
        lambda value: f"{value:+.2f}", " nats per word", lambda m: f"{m:g} nats per word"
    ),
    "natural logarithm of the ratio of two losses": LOSS,
    "decades of the rate": POWER,
    "power of ten of a ratio of ranks": POWER,
}
"""The scale of a claim -> its unit."""


def of(claim: Claim) -> Unit:
    """Return the unit of a claim's scale."""
    return UNITS[claim.scale]


def what_counts(claim: Claim, margin: float, rows: tuple[Comparison, ...]) -> str:
    """Return the smallest difference that counts, as a sentence, where numbers alone do not show why a comparison is
    decided, because its interval reaches into the margin; "" where none does.
    """
    neutral = claim.neutral if isinstance(claim.neutral, float) else 0.0
    decided = [row for row in rows if row.verdict in ("reproduced", "contradicted")]
    if any(_reaches(row, neutral - margin, neutral + margin) for row in decided):
        return f"Only a difference by more than {of(claim).least(margin)} counts."
    return ""


def _reaches(row: Comparison, low: float, high: float) -> bool:
    """Return whether a comparison's interval, or its estimate without one, has a part between low and high."""
    if row.estimate is None:
        return False
    ends = [row.estimate if end is None else end for end in (row.low, row.high)]
    return ends[0] <= high and ends[1] >= low


def sided(row: Comparison, form: str = ".2f", times: float = 1.0) -> tuple[str, bool]:
    """Return the size of an estimate with its interval, both turned to the side of the estimate, and whether this is
    above 0: ("7.56 [7.10, 8.02]", False).
    """
    estimate = row.estimate or 0.0
    sign = -1.0 if estimate < 0 else 1.0
    text = format(times * abs(estimate), form)
    if row.low is not None and row.high is not None:
        low, high = sorted(sign * times * end for end in (row.low, row.high))
        text += f" [{low:{form}}, {high:{form}}]"
    return text, estimate >= 0
