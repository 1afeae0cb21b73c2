"""How often an interval of a difference holds the truth when test rows are drawn anew too, simulated.

python tests/benchmarks/rows.py [repeats]

Two methods answer the same rows. A row has a difficulty that both share, each method has a liking of its own for it,
and each seed is a little better or worse. The truth is the difference over all rows and seeds there could be. Printed
is the coverage of the interval over seeds alone, and of that for seeds and rows, which has only scores to go by and
takes the two methods' answers for independent.
"""

import sys
from itertools import product
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

import numpy as np

from harness.analysis.study import estimates, statistics
from harness.analysis.study.selection import Panel

EASE = np.array([1.3, 1.0])
"""The mean logit of a right answer, of either method."""
HARD = 1.5
"""Standard deviation of the rows' difficulty, in logits."""


def scores(random: np.random.Generator, tasks: int, rows: int, seeds: int, own: float, spread: float) -> np.ndarray:
    """[2, tasks, seeds] shares of right answers. own, spread: logits, of a method's liking for a row and of seeds."""
    difficulty = random.normal(0, HARD, size=(1, tasks, 1, rows))
    likings = random.normal(0, own, size=(2, tasks, 1, rows))
    skill = EASE[:, None, None, None] + random.normal(0, spread, size=(2, tasks, seeds, 1))
    return (random.random((2, tasks, seeds, rows)) < _sigmoid(skill + likings - difficulty)).mean(axis=-1)


def truth(own: float, spread: float) -> float:
    """The difference over all rows and seeds: of two logistic-normal means."""
    points, weights = np.polynomial.hermite_e.hermegauss(80)
    width = np.sqrt(HARD**2 + own**2 + spread**2)
    means = [(_sigmoid(ease + width * points) * weights).sum() / weights.sum() for ease in EASE]
    return float(means[0] - means[1])


def coverage(tasks: int, rows: int, seeds: int, own: float, spread: float, repeats: int) -> tuple[float, float]:
    """(over seeds alone, for seeds and rows)."""
    random, hits, real = np.random.default_rng(0), np.zeros(2), truth(own, spread)
    for _ in range(repeats):
        drawn = scores(random, tasks, rows, seeds, own, spread)
        alone = statistics.over_seeds(drawn[0] - drawn[1])
        found = statistics.with_rows(alone, estimates.row_error(panel(drawn, rows), ["a", "b"]))
        hits += [alone.low <= real <= alone.high, found.low <= real <= found.high]
    return float(hits[0] / repeats), float(hits[1] / repeats)


def panel(values: np.ndarray, rows: int) -> Panel:
    """values: [2, T, S]."""
    tasks, seeds = values.shape[1:]
    names, sizes = tuple(f"task{index}" for index in range(tasks)), np.full(tasks, float(rows))
    keys = np.full(values.shape, "", dtype=object)
    return Panel(("a", "b"), names, tuple(range(seeds)), values, keys, sizes, sizes * np.nan, np.full(tasks, True))


def _sigmoid(values: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-values))


def main(repeats: int) -> None:
    for tasks, seeds, own, spread in product((1, 6), (3, 5, 10), (0.0, 1.0), (0.02, 0.2)):
        alone, both = coverage(tasks, 200, seeds, own, spread, repeats)
        told = f"{tasks} tasks of 200 rows, {seeds:2d} seeds, likings {own:g}, seeds' spread {spread:4g}"
        print(f"{told}: over seeds alone {100 * alone:5.1f} %, seeds and rows {100 * both:5.1f} %")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 2000)
