"""The schedule of the learning rate."""

from dataclasses import replace

import pytest

from harness.config.schema import RecipeConfig
from harness.training.course.learning_rates import schedule


@pytest.mark.parametrize("steps", [1, 2, 10, 200])
@pytest.mark.parametrize("share", [0.0, 0.1, 1.0])
def test_the_schedule_rises_to_one_and_falls_without_reaching_zero(steps: int, share: float) -> None:
    recipe = RecipeConfig(steps=steps, warmup_share=share)
    rates = [schedule(recipe, step) for step in range(1, steps + 1)]
    top = rates.index(max(rates))
    assert max(rates) == pytest.approx(1.0)
    assert min(rates) > 0
    assert rates[: top + 1] == sorted(rates[: top + 1])
    assert rates[top:] == sorted(rates[top:], reverse=True)
    constant = [schedule(replace(recipe, schedule="constant"), step) for step in range(1, steps + 1)]
    assert constant[top:] == [1.0] * (steps - top)
