"""What the rule for intervals was chosen by: coverage and wrong verdicts, beside those of other rules, simulated.

python tests/benchmarks/coverage.py [repeats]

Coverage: how often a nominal 95 % interval of the mean over tasks holds the truth. `shared` is the correlation of the
tasks of one seed (in our reference runs 0 to 0.3). False: in which share of families of ten comparisons of five equal
methods some comparison is called reproduced after Holm's adjustment; 2.5 % is nominal.
"""

import math
import sys
from collections.abc import Callable
from itertools import combinations
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

import numpy as np
from scipy import stats

from harness.analysis.study import statistics

Rule = Callable[[np.ndarray], tuple[float, float]]
"""[T, S] -> (standard error of the mean, degrees of freedom)."""

SPREADS = {
    "one task": [0.02],
    "six equal": [0.02] * 6,
    "eight equal": [0.02] * 8,
    "unequal": [0, 0, 0.002, 0.02, 0.05, 0.15],
}


def seeds_means(values: np.ndarray) -> tuple[float, float]:
    found = statistics.over_seeds(values)
    return found.se, found.df


def pooled(values: np.ndarray) -> tuple[float, float]:
    tasks, seeds = values.shape
    return math.sqrt(values.var(axis=1, ddof=1).mean() / (tasks * seeds)), tasks * (seeds - 1)


def welch(values: np.ndarray) -> tuple[float, float]:
    tasks, seeds = values.shape
    errors = values.var(axis=1, ddof=1) / seeds
    return math.sqrt(errors.sum()) / tasks, errors.sum() ** 2 / max((errors**2).sum() / (seeds - 1), 1e-300)


RULES: dict[str, Rule] = {"seeds' means": seeds_means, "Welch": welch, "pooled": pooled}


def draw(random: np.random.Generator, spreads: list[float], seeds: int, shared: float, ceiling: bool) -> np.ndarray:
    """[T, S] scores less their expectation; ceiling: scores around 0.97 that cannot exceed 1."""
    own, common = random.normal(size=(len(spreads), seeds)), random.normal(size=(1, seeds))
    scale = np.asarray(spreads)[:, None]
    values = scale * (math.sqrt(1 - shared) * own + math.sqrt(shared) * common)
    if not ceiling:
        return values
    edge = 0.03 / np.maximum(scale, 1e-9)  # E min(e, 0.03) of a normal e with this scale
    return np.minimum(values, 0.03) + scale * (stats.norm.pdf(edge) - edge * stats.norm.sf(edge))


def covered(rule: Rule, values: np.ndarray) -> bool:
    error, df = rule(values)
    return bool(abs(values.mean()) <= stats.t.ppf(0.975, max(df, 1)) * error + 1e-15)


def falsely(rule: Rule, scores: np.ndarray) -> bool:
    """scores: [5, T, S] of equal methods."""
    p_values, above = [], []
    for left, right in combinations(scores, 2):
        error, df = rule(left - right)
        mean = float((left - right).mean())
        p_values.append(2 * float(stats.t.sf(abs(mean) / error, df)))
        above.append(mean > 0)
    adjusted = statistics.holm(p_values)
    return any(p < 0.05 and up for p, up in zip(adjusted, above, strict=True))


def main(repeats: int) -> None:
    random = np.random.default_rng(0)
    print(f"{'':44s}" + "".join(f"{name:>15s}" for name in RULES))
    for seeds in (2, 3, 5, 10):
        for name, spreads in SPREADS.items():
            for shared, ceiling in ((0.0, False), (0.3, False), (1.0, False), (0.0, True)):
                drawn = [draw(random, spreads, seeds, shared, ceiling) for _ in range(repeats)]
                found = [np.mean([covered(rule, one) for one in drawn]) for rule in RULES.values()]
                told = f"coverage, {seeds} seeds, {name}, " + ("ceiling" if ceiling else f"shared {shared:g}")
                print(f"{told:44s}" + "".join(f"{100 * share:13.1f} %" for share in found))
    for seeds in (2, 3, 5):
        for shared in (0.0, 0.3):
            sets = [
                np.stack([draw(random, SPREADS["unequal"], seeds, shared, False) for _ in range(5)])
                for _ in range(repeats // 4)
            ]
            found = [np.mean([falsely(rule, one) for one in sets]) for rule in RULES.values()]
            told = f"false, {seeds} seeds, unequal, shared {shared:g}"
            print(f"{told:44s}" + "".join(f"{100 * share:13.1f} %" for share in found))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 4000)
