"""How often an interval of a difference holds the truth when test rows are drawn anew too, simulated.

python tests/benchmarks/rows.py [repeats]

Two methods answer the same rows. A row has a difficulty that both share, each method has a liking of its own for it,
and each seed is a little better or worse. The truth is the difference over all rows and seeds there could be. Printed
is the coverage of the interval over seeds alone, of that for seeds and rows from the two scores alone, which takes the
two methods' answers for independent, and of that which pairs what each row scored; with the mean width of the last two.
"""

import sys
from dataclasses import replace
from itertools import product
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

import numpy as np

from harness.analysis.study import row_errors, statistics
from harness.analysis.study.selection import Panel

EASE = np.array([1.3, 1.0])
CEILING = np.array([4.0, 3.8])
"""The mean logit of a right answer, of either method."""
HARD = 1.5
"""Standard deviation of the rows' difficulty, in logits."""


def answers(
    random: np.random.Generator, tasks: int, rows: int, seeds: int, own: float, spread: float, ease: np.ndarray = EASE
) -> np.ndarray:
    """[2, tasks, seeds, rows], 1 where right. own, spread: logits, of a method's liking for a row and of seeds."""
    difficulty = random.normal(0, HARD, size=(1, tasks, 1, rows))
    likings = random.normal(0, own, size=(2, tasks, 1, rows))
    skill = ease[:, None, None, None] + random.normal(0, spread, size=(2, tasks, seeds, 1))
    return (random.random((2, tasks, seeds, rows)) < _sigmoid(skill + likings - difficulty)).astype(float)


def truth(own: float, spread: float, ease: np.ndarray = EASE) -> float:
    """The difference over all rows and seeds: of two logistic-normal means."""
    points, weights = np.polynomial.hermite_e.hermegauss(80)
    width = np.sqrt(HARD**2 + own**2 + spread**2)
    means = [(_sigmoid(mean + width * points) * weights).sum() / weights.sum() for mean in ease]
    return float(means[0] - means[1])


def coverage(
    tasks: int, rows: int, seeds: int, own: float, spread: float, repeats: int, ease: np.ndarray = EASE
) -> tuple[np.ndarray, np.ndarray]:
    """Shares of the intervals that hold the truth: over seeds alone, from scores alone, with paired rows; and the mean
    widths of the last two.
    """
    random, real = np.random.default_rng(0), truth(own, spread, ease)
    hits, widths = np.zeros(3), np.zeros(2)
    for _ in range(repeats):
        drawn = answers(random, tasks, rows, seeds, own, spread, ease)
        paired = panel(drawn)
        scores = paired.values[0] - paired.values[1]
        alone = statistics.over_seeds(scores)
        bound, pairing = (
            statistics.with_rows(alone, row_errors.of_arms(given, ["a", "b"]))
            for given in (replace(paired, row_scores=None), paired)
        )
        hits += [found.low <= real <= found.high for found in (alone, bound, pairing)]
        widths += [found.high - found.low for found in (bound, pairing)]
    return hits / repeats, widths / repeats


def panel(right: np.ndarray) -> Panel:
    """right: [2, T, S, rows]."""
    _, tasks, seeds, rows = right.shape
    names, sizes = tuple(f"task{index}" for index in range(tasks)), np.full(tasks, float(rows))
    row_scores = np.full(right.shape[:3], None, dtype=object)
    for place in np.ndindex(row_scores.shape):
        row_scores[place] = right[place]
    values, keys = right.mean(axis=-1), np.full(row_scores.shape, "", dtype=object)
    known = np.full(tasks, True)
    return Panel(
        ("a", "b"), names, tuple(range(seeds)), values, keys, sizes, sizes * np.nan, known, row_scores=row_scores
    )  # fmt: skip


def _sigmoid(values: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-values))


def main(repeats: int) -> None:
    for tasks, seeds, own, spread, ease in product((1, 6), (2, 3, 5, 10), (0.0, 1.0), (0.02, 0.2), (EASE, CEILING)):
        (alone, bound, paired), widths = coverage(tasks, 200, seeds, own, spread, repeats, ease)
        told = f"{tasks} tasks of 200 rows, {seeds:2d} seeds, likings {own:g}, spread {spread:4g}, logit {ease[0]:g}"
        print(
            f"{told}: over seeds alone {100 * alone:5.1f} %, from scores {100 * bound:5.1f} %, paired rows "
            f"{100 * paired:5.1f} %; widths {100 * widths[0]:.1f} and {100 * widths[1]:.1f} points"
        )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 2000)
