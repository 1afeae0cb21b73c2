"""False verdicts of the test whether one method's score varies less over a field than another's, simulated.

python tests/benchmarks/spread.py [repeats]

Both methods have the same spread over five values of the field; seeds are noisier for the one than for the other, or
much noisier at one value. A level of 5 % is nominal, both sides together.
"""

import sys
from itertools import product
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

import numpy as np

from harness.analysis.study import statistics
from harness.analysis.views import field_values

SHAPES = np.array([[-1.2, -0.4, 0.0, 0.5, 1.1], [-2.0, 0.5, 0.5, 0.5, 0.5]])
"""Means of either method over the values; they differ in shape and, once scaled, not in spread."""
UNEQUAL = np.array([0.2, 0.2, 0.5, 1.0, 2.0])


def draw(
    random: np.random.Generator, seeds: int, spread: float, noises: tuple[float, float], unequal: bool
) -> np.ndarray:
    """[2, V, S] scores of two methods with the same spread."""
    means = spread * SHAPES / SHAPES.std(axis=1, ddof=1, keepdims=True)
    scale = np.array(noises)[:, None, None] * (UNEQUAL[:, None] if unequal else 1.0)
    return means[:, :, None] + scale * random.normal(size=(2, 5, seeds))


def false(seeds: int, spread: float, noises: tuple[float, float], unequal: bool, repeats: int) -> float:
    random, wrong = np.random.default_rng(0), 0
    for _ in range(repeats):
        found = field_values.jackknife(draw(random, seeds, spread, noises, unequal))
        wrong += statistics.superior(found, 0.0)[0] != "inconclusive"
    return wrong / repeats


def main(repeats: int) -> None:
    for seeds, spread, noises, unequal in product(
        (3, 5, 10), (0.0, 0.01, 0.05), ((0.01, 0.01), (0.01, 0.04), (0.05, 0.003)), (False, True)
    ):
        share = false(seeds, spread, noises, unequal, repeats)
        told = f"{seeds:2d} seeds, spread {spread:4g}, noise {noises[0]:g} and {noises[1]:g}"
        print(f"{told}{', one value the noisiest' if unequal else '':26s} {100 * share:4.1f} %")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1000)
