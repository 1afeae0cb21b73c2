"""When a loss is hopeless."""

from typing import Any

import pytest

from harness.training.course import divergence
from harness.training.course.divergence import FACTOR, LEAST_LOSS, ROWS, Diverged


def rows(start: float, *train: float) -> list[dict[str, Any]]:
    return [
        {"step": step, "train_loss": loss if step else None, "validation_loss": start}
        for step, loss in enumerate((0.0, *train))
    ]


@pytest.mark.parametrize(
    ("curve", "hopeless"),
    [
        (rows(12.0, *[119.0] * ROWS), False),
        (rows(12.0, *[FACTOR * 12 + 1] * ROWS), True),
        (rows(12.0, *[1e9] * (ROWS - 1)), False),
        (rows(12.0, 1e9, 3.0, 1e9, 1e9), False),
        (rows(0.1, *[LEAST_LOSS - 1] * 9), False),
        (rows(0.1, 3.0, *[LEAST_LOSS + 1] * ROWS), True),
    ],
)
def test_a_loss_far_above_the_start_for_long_is_hopeless(curve: list[dict[str, Any]], hopeless: bool) -> None:
    if not hopeless:
        divergence.check(curve)
        return
    with pytest.raises(Diverged, match="in a row") as caught:
        divergence.check(curve)
    assert (caught.value.step, caught.value.status) == (curve[-1]["step"], "diverged")


def test_a_validation_loss_that_is_no_number_has_diverged() -> None:
    with pytest.raises(Diverged, match="nan"):
        divergence.check(rows(float("nan")))
