"""How often a verdict is withdrawn because validation cannot tell rates apart, rightly and wrongly, simulated.

python tests/benchmarks/tied_rates.py [repeats]

Two arms have five reported seeds at their best rates, and one tuning seed at each rate that is as good by validation.
The margin is 0 and the spread of the seeds of an arm is 1. The truth of the comparison is `at best`, at all rates or at
all but one of the left arm. Compared are waiting for proof at 5 %, Bonferroni's correction included, the rule of
harness/analysis/robustness/tied_rates.py, and taking every move of the estimate for real.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

import numpy as np
from scipy import stats

from harness.analysis.robustness import tied_rates

SEEDS = 5
RATES = ((2, 1), (3, 3), (4, 4))
TRUTHS = ((2.0, None), (3.0, None), (4.0, None), (4.0, 0.0), (4.0, -2.0), (4.0, -4.0))
"""The difference at the best rates, and at one rate of the left arm (None: the same)."""


def withdrawn(left: int, right: int, at_best: float, other: float | None, repeats: int) -> tuple[float, float, float]:
    """Return the shares of decided verdicts that each rule withdraws. left, right: the number of rates of an arm."""
    draw = np.random.default_rng(0)
    reported = at_best + np.sqrt(2) * draw.standard_normal((repeats, SEEDS))
    estimate, spread = reported.mean(axis=1), reported.std(axis=1, ddof=1)
    error = spread / np.sqrt(SEEDS)
    decided = estimate > stats.t.ppf(0.975, SEEDS - 1) * error
    true = np.full(left, at_best)
    true[-1] = at_best if other is None else other
    trials = true[:, None] + draw.standard_normal((repeats, left, 1)) - draw.standard_normal((repeats, 1, right))
    moved = estimate + (trials - trials[:, :1, :1]).reshape(repeats, -1).min(axis=1)
    noise = np.sqrt(2 * spread**2 + error**2)
    limits = stats.t.ppf(1 - 0.05 / (left * right), SEEDS - 1), tied_rates.largest_of(left * right), 0.0
    proof, rule, all_real = (float(np.mean(-moved[decided] > limit * noise[decided])) for limit in limits)
    return proof, rule, all_real


def main(repeats: int) -> None:
    """Print a table."""
    print("rates   at best  at one other   proof   rule   all real")
    for left, right in RATES:
        for at_best, other in TRUTHS:
            shares = "  ".join(f"{share:6.1%}" for share in withdrawn(left, right, at_best, other, repeats))
            print(
                f"{left} x {right}   {at_best:6.1f}  {'the same' if other is None else f'{other:8.1f}'}      {shares}"
            )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 20_000)
