"""The learning rate of each step, as a share of the recipe's."""

import math

from harness.config.schema import RecipeConfig


def schedule(recipe: RecipeConfig, step: int) -> float:
    """Return the learning rate of a step (from 1) as a share of the peak: a linear rise over the warm-up, then a fall
    towards 0 (linear or cosine) or a constant.

    The peak is reached at the last step of the warm-up; no step has rate 0.
    """
    steps, warm = recipe.steps, round(recipe.warmup_share * recipe.steps)
    if step <= warm:
        return step / warm
    if recipe.schedule == "constant":
        return 1.0
    left = (steps - step + 1) / (steps - warm + (warm > 0))
    return left if recipe.schedule == "linear" else (1 - math.cos(math.pi * left)) / 2
