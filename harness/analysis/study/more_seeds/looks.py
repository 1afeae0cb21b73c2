"""Looks: comparisons that are judged again after more seeds, with wrong verdicts over all looks in at most 5 %.

The looks are declared: after 3, 5, 8, … seeds, whatever an exhibit begins with and whatever budget a user gives. A look
uses the first seeds alone, even where more have been run. So the seeds that are present decide how many looks have been
made: a killed loop, another budget or another command gets no look more.

Each look spends its share of the error (Lan and DeMets 1983): nine tenths by their function of Pocock's type over 30
seeds, one twentieth at 50 and one at 100 seeds. The levels of p at the looks are those of Student's t at nested numbers
of seeds, whose joint distribution under the null `tests/benchmarks/looks.py` simulates. Those of normal statistics
would give wrong verdicts in 5.6 %. Noise of test rows is the same at all looks, so it makes fewer errors than this.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import stats

from harness.analysis.study import open_rates, statistics
from harness.analysis.study.more_seeds import power
from harness.analysis.study.more_seeds.next_steps import FEW_SEEDS, ONE_SEED
from harness.analysis.study.statistics import Interval
from harness.experiments.claims import Claim
from harness.experiments.verdict import Comparison, OwnTest

ALPHA = 1 - statistics.LEVEL
LOOKS = (3, 5, 8, 12, 20, 30, 50, 100)
"""The numbers of seeds after which comparisons are judged."""
USUAL_MOST = 30
"""The most seeds where a user gives no number: nine tenths of the error are spent by then."""
LEVELS: Mapping[float, tuple[float, ...]] = {
    0.0001: (1.43e-05, 8.84e-06, 1.23e-05, 1.31e-05, 2.41e-05, 2.33e-05, 6.43e-06, 6.96e-06),
    0.0002: (2.85e-05, 1.68e-05, 2.27e-05, 2.63e-05, 4.62e-05, 4.55e-05, 1.32e-05, 1.34e-05),
    0.0005: (7.14e-05, 4.2e-05, 5.92e-05, 7.19e-05, 0.000114, 0.000119, 3.54e-05, 2.93e-05),
    0.001: (0.000143, 8.75e-05, 0.00012, 0.000146, 0.000235, 0.000244, 7.09e-05, 5.71e-05),
    0.002: (0.000285, 0.000173, 0.000243, 0.000299, 0.000473, 0.000518, 0.000144, 0.000113),
    0.005: (0.000714, 0.000438, 0.000605, 0.000769, 0.00123, 0.00136, 0.000388, 0.000302),
    0.01: (0.00143, 0.000881, 0.00123, 0.00157, 0.00253, 0.00289, 0.000833, 0.000626),
    0.02: (0.00285, 0.00185, 0.00253, 0.00328, 0.00525, 0.00611, 0.00182, 0.00136),
    0.03: (0.00428, 0.00283, 0.00389, 0.00506, 0.00809, 0.00949, 0.00293, 0.00215),
    0.05: (0.00714, 0.00484, 0.00672, 0.00883, 0.0142, 0.0168, 0.00541, 0.00388),
    0.1: (0.0143, 0.0103, 0.0143, 0.019, 0.0306, 0.0373, 0.0128, 0.00893),
    0.2: (0.0285, 0.0222, 0.0311, 0.042, 0.0679, 0.0847, 0.0322, 0.022),
    0.3: (0.0428, 0.0352, 0.0497, 0.068, 0.11, 0.14, 0.0573, 0.0393),
}
"""Error over all looks -> the level of p at each look."""
DECIDED = ("reproduced", "contradicted")
Place = tuple[object, ...]
"""What tells a comparison from all others of an exhibit."""


@dataclass(frozen=True)
class Judged:
    """The verdict on a comparison over all its looks.

    - p: adjusted for the looks and, by Holm, for all comparisons of the exhibit; NaN before the first look.
    - look: the number of the look that decided, else of the latest one; 0 before the first.
    - at_best: as in `verdict.OwnTest`. family: the number of comparisons that Holm's adjustment counted.
    """

    verdict: str
    p: float
    look: int
    at_best: bool
    family: int


def shares() -> tuple[float, ...]:
    """Return the share of the error that each look spends."""
    spent = [0.9 * math.log(1 + (math.e - 1) * min(1.0, seeds / USUAL_MOST)) for seeds in LOOKS]
    spent = [share + 0.05 * (LOOKS[-2:].index(seeds) + 1 if seeds in LOOKS[-2:] else 0)
             for share, seeds in zip(spent, LOOKS, strict=True)]  # fmt: skip
    return tuple(float(share) for share in np.diff([0.0, *spent]))


def following(seeds: int, most: int = LOOKS[-1]) -> int | None:
    """Return the number of seeds at the next look after so many seeds; None where it would be more than `most`."""
    return next((look for look in LOOKS if seeds < look <= most), None)


def level(alpha: float, look: int) -> float:
    """Return the level of p at a look (from 0) that keeps the error over all looks at `alpha`."""
    errors, levels = _line(look)
    if alpha <= errors[0]:
        return levels[0] * alpha / errors[0]
    return math.exp(np.interp(math.log(alpha), np.log(errors), np.log(levels)))


def strictest(alpha: float, seeds: int) -> float:
    """Return the smallest level of p at the looks up to so many seeds."""
    return min(level(alpha, look) for look, number in enumerate(LOOKS) if look == 0 or number <= seeds)


def repeated(p: float, look: int) -> float:
    """Return the smallest error over all looks at which a p at this look (from 0) is below its level."""
    errors, levels = _line(look)
    if p <= levels[0]:
        return errors[0] * p / levels[0]
    return math.exp(np.interp(math.log(p), np.log(levels), np.log(errors)))


def _line(look: int) -> tuple[list[float], list[float]]:
    """Return the errors over all looks, ascending, and the levels of one look at them."""
    return [*sorted(LEVELS), 1.0], [*(LEVELS[error][look] for error in sorted(LEVELS)), 1.0]


def judge(tests: Mapping[Place, Sequence[OwnTest | None]]) -> dict[Place, Judged]:
    """Return the verdict on every comparison of an exhibit. tests: its test at each look, None where none was made.

    A comparison is decided by the first look at which its p, adjusted for the looks and for all comparisons (Holm), is
    below 5 %. It stays decided, whatever later seeds say.
    """
    errors = {place: [repeated(test.p, look) if test else math.inf for look, test in enumerate(made)]
              for place, made in tests.items()}  # fmt: skip
    smallest = {place: min([1.0, *by_look]) for place, by_look in errors.items()}
    adjusted = dict(zip(tests, statistics.holm(list(smallest.values())), strict=True))
    return {place: _judged(made, errors[place], smallest[place], adjusted[place], len(tests))
            for place, made in tests.items()}  # fmt: skip


def _judged(
    made: Sequence[OwnTest | None], errors: Sequence[float], smallest: float, adjusted: float, family: int
) -> Judged:
    latest = max((look for look, test in enumerate(made) if test), default=-1)
    if latest < 0:
        return Judged("inconclusive", math.nan, 0, False, family)
    if adjusted < ALPHA:
        factor = adjusted / smallest if smallest > 0 else family  # Holm's, or more where a smaller p needed more
        first = next(look for look, error in enumerate(errors) if error * factor < ALPHA)
        test = made[first]
        if test is not None and test.verdict in DECIDED:
            return Judged(test.verdict, adjusted, first + 1, test.at_best, family)
    return Judged("inconclusive", adjusted, latest + 1, False, family)


def place(model: str, claim: Claim, margin: float, row: Comparison) -> Place:
    """Return the place of a comparison among those of an exhibit. claim: with its options in its sentence."""
    return model, claim.name, claim.sentence, margin, row.left, row.relation, row.right


def sentence(rows: Sequence[Comparison]) -> str:
    """Return at which looks the comparisons were judged, and what that costs; "" where one look was planned."""
    numbers = sorted({row.look for row in rows if row.look is not None})
    if not numbers:
        return ""
    if numbers == [0]:
        return f"Not judged yet: the first look is after {LOOKS[0]} seeds."
    which = f"look {numbers[0]}" if len(numbers) == 1 else f"looks {numbers[0]} to {numbers[-1]}"
    return f"Judged at {which} of {len(LOOKS)}; the boundary keeps wrong verdicts over all looks at {ALPHA:.0%}."


def wants_seeds(row: Comparison) -> bool:
    """Return whether more seeds may decide a comparison."""
    if row.test is None:
        return row.verdict == "untested" and row.reason.startswith((ONE_SEED, FEW_SEEDS))
    if row.verdict in DECIDED or row.rows:
        return False
    if row.reason.startswith((open_rates.REPORTED, open_rates.TIED)):
        return False
    return row.test.at_best or not row.reason.startswith(open_rates.REASONS)


def counts(rows: Sequence[Comparison]) -> dict[str, int]:
    """Return how many comparisons are decided, want seeds, or cannot be decided by any seeds, by what they wait for."""
    undecided = [row for row in rows if row.verdict not in DECIDED and not wants_seeds(row)]
    by_rows = sum(row.rows is not None for row in undecided)
    untested = sum(row.verdict == "untested" for row in undecided)
    return {
        "decided": sum(row.verdict in DECIDED for row in rows),
        "waiting for more seeds": sum(map(wants_seeds, rows)),
        "waiting for a better learning rate": len(undecided) - by_rows - untested,
        "waiting for more test rows, whatever the seeds": by_rows,
        "not testable": untested,
    }


def note() -> str:
    """Return what a reader of verdicts over several looks should know."""
    return (
        f"looks: after {', '.join(map(str, LOOKS[:-1]))} and {LOOKS[-1]} seeds. A verdict stands from the look at "
        f"which its p is below {ALPHA:.0%}, adjusted for all looks (Lan and DeMets 1983, spending of Pocock's type, "
        "for Student's t) and by Holm for all comparisons of the exhibit; estimates and intervals are of all seeds"
    )


def applied(
    rows: Sequence[Comparison], places: Sequence[Place], judged: Mapping[Place, Judged]
) -> Iterator[Comparison]:
    """Yield the comparisons with the verdicts over all looks. Those without a test, such as counts, stay as they
    are.
    """
    for row, place in zip(rows, places, strict=True):
        yield _applied(row, judged[place]) if row.test is not None and place in judged else row


def _applied(row: Comparison, over_looks: Judged) -> Comparison:
    known = None if math.isnan(over_looks.p) else over_looks.p
    row = replace(row, verdict=over_looks.verdict, p=known, look=over_looks.look, at_best=over_looks.at_best,
                  seeds_verdict="", seeds=None, fewest=None, most=None, rows=None)  # fmt: skip
    if row.verdict in DECIDED or row.test is None:
        return replace(row, reason="")
    if row.reason.startswith(open_rates.TIED):
        return row
    rows = rows_needed(row.test, over_looks.family)
    return replace(row, rows=rows, seeds=None if rows else forecast(row.test, over_looks.family))


def forecast(test: OwnTest, family: int) -> int | None:
    """Return the seeds of the look that decides with 80 % probability, if the estimate is right; None without any.

    family: the number of comparisons among which Holm's adjustment counts this one.
    """
    if not (test.distance > 0 and math.isfinite(test.sd)):
        return None
    levels = ((seeds, level(ALPHA / family, look)) for look, seeds in enumerate(LOOKS))
    enough = (seeds for seeds, alpha in levels
              if power.reached(test.sd, test.row_se, test.distance, seeds, 1 - alpha) >= power.POWER)  # fmt: skip
    return next(enough, None)


def rows_needed(test: OwnTest, family: int) -> float | None:
    """Return how many times as many test rows it takes before any seeds can decide; None where seeds may decide.

    The noise of the rows alone is too large where its interval at the widest level of all looks is larger than the
    distance to the margin at the far end of the interval over seeds.
    """
    if not test.row_se > 0:
        return None
    widest = max(level(ALPHA / family, look) for look in range(len(LOOKS)))
    over_rows = float(stats.norm.isf(widest / 2)) * test.row_se
    over_seeds = float(stats.t.isf(ALPHA / 2, test.df)) * test.se if test.se > 0 else 0.0
    if over_rows < test.distance + over_seeds:
        return None
    quantiles = float(stats.norm.isf(widest / 2) + stats.norm.ppf(power.POWER))
    return max(1.0, (quantiles * test.row_se / max(test.distance, 1e-12)) ** 2)


def own_test(verdict: str, p: float, main: Interval, distance: float, at_best: bool = False) -> OwnTest | None:
    """Return a comparison's own test, before any adjustment; None where it cannot be tested.

    distance: from the estimate to the nearest value that decides.
    """
    if math.isnan(p):
        return None
    if main.kind == "half":  # its pairs are counted, so a spread over seeds says too little of what more seeds give
        return OwnTest(verdict, p, at_best)
    return OwnTest(verdict, p, at_best, sd=main.sd, se=main.se, df=main.df, row_se=main.row_se, distance=distance)
