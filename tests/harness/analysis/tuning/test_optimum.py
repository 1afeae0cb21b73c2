"""The lowest point of the parabola is found where it is known, its interval covers it, and its absence has a reason."""

import numpy as np
import pytest

from harness.analysis.tuning import optimum
from harness.analysis.tuning.optimum import Grid

RATES = np.array([2.5e-4 * 2**place for place in range(8)])
LOGS = np.log10(RATES)


def losses(at: float, seeds: int, draw: np.random.Generator, spread: float = 0.1, noise: float = 0.05) -> Grid:
    """Log losses around a best rate 10**at that each seed moves by `spread` decades, with noise at every rate."""
    columns = [
        0.6 * (LOGS - at - spread * draw.normal()) ** 2 + 0.1 * draw.normal() + noise * draw.normal(size=len(LOGS))
        for _ in range(seeds)
    ]
    return Grid(RATES, np.stack(columns, axis=1), tuple(range(seeds)))


def test_an_exact_parabola_gives_its_lowest_point() -> None:
    for at in (-2.9, -2.4, -2.07):
        assert optimum.lowest(LOGS, (1 + 0.7 * (LOGS - at) ** 2)[None])[0] == pytest.approx(at)


def test_the_ratio_is_the_difference_of_two_lowest_points() -> None:
    exact = [Grid(RATES, np.repeat(((LOGS - at) ** 2)[:, None], 3, axis=1), (0, 1, 2)) for at in (-2.3, -2.8)]
    found = optimum.ratio(*exact)
    assert found.interval.mean == pytest.approx(0.5)
    assert found.interval.low == pytest.approx(0.5)
    assert optimum.ratio(exact[0], exact[0]).interval.mean == pytest.approx(0)


@pytest.mark.parametrize("seeds", [3, 5])
@pytest.mark.parametrize(("spread", "noise"), [(0.1, 0.05), (0.03, 0.15), (0.0, 0.1)])
def test_the_interval_covers_the_truth_about_as_often_as_it_says(seeds: int, spread: float, noise: float) -> None:
    draw, tries = np.random.default_rng(1), 150
    found = [optimum.best(losses(-2.6, seeds, draw, spread, noise)) for _ in range(tries)]
    known = [one.interval for one in found if not one.reason]
    assert len(known) > 0.9 * tries
    share = np.mean([one.low <= -2.6 <= one.high for one in known])
    assert share >= 0.91, "a 95 % interval that misses in more than 9 % of the tries"


def test_the_interval_of_a_ratio_covers_the_truth_and_pairs_the_seeds() -> None:
    draw, tries, hits, widths = np.random.default_rng(2), 150, 0, []
    for _ in range(tries):
        moved = 0.2 * draw.normal(size=4)
        both = [
            np.stack([0.6 * (LOGS - at - shift) ** 2 + 0.02 * draw.normal(size=8) for shift in moved], axis=1)
            for at in (-2.3, -2.7)
        ]
        one = optimum.ratio(*(Grid(RATES, values, (0, 1, 2, 3)) for values in both)).interval
        hits += one.low <= 0.4 <= one.high
        widths.append(one.high - one.low)
    assert hits / tries >= 0.91
    assert np.median(widths) < 0.3, "what a seed does to both arms cancels: unpaired it would be about 0.9"


def test_there_is_no_best_rate_at_the_end_of_the_rates() -> None:
    falling = Grid(RATES, np.repeat(-LOGS[:, None], 3, axis=1), (0, 1, 2))
    assert optimum.best(falling).reason == optimum.EDGE
    assert np.isnan(optimum.best(falling).interval.mean)
    flat = Grid(RATES, np.zeros((8, 3)), (0, 1, 2))
    assert optimum.best(flat).reason == optimum.EDGE, "the first of equal rates is an end"


def test_one_seed_has_no_interval_and_two_rates_no_parabola() -> None:
    draw = np.random.default_rng(3)
    one = optimum.best(losses(-2.6, 1, draw))
    assert one.reason == optimum.FEW_SEEDS
    assert np.isfinite(one.interval.mean)
    assert np.isnan(one.interval.low)
    few = Grid(RATES[:2], np.zeros((2, 3)), (0, 1, 2))
    assert optimum.best(few).reason == optimum.FEW_RATES


def test_noise_that_hides_the_best_rate_gives_no_interval() -> None:
    draw = np.random.default_rng(4)
    reasons = [optimum.best(losses(-3.5, 3, draw, spread=0.0, noise=0.1)).reason for _ in range(30)]
    assert reasons.count(optimum.UNSURE) + reasons.count(optimum.EDGE) > 20, "it has no bound below it"


def test_the_parabola_that_is_drawn_has_the_same_lowest_point() -> None:
    grid = losses(-2.6, 5, np.random.default_rng(5))
    drawn = optimum.parabola(grid)
    assert drawn is not None
    rates, fitted = drawn
    assert np.log10(rates[fitted.argmin()]) == pytest.approx(optimum.best(grid).interval.mean, abs=0.03)
