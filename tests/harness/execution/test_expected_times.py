"""The seconds of a sweep's cells: what ended corrects what was estimated, the most alike cells first."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from harness.config.schema import Cell
from harness.execution.expected_times import Estimate, ExpectedTimes, expected
from harness.store import identity

Make = Callable[..., Cell]


def test_ended_cells_correct_the_estimates_of_the_cells_most_like_them(cell: Make) -> None:
    other = replace(cell("full"), model=replace(cell().model, name="other", revision="r2"))
    cells = [cell("lora"), cell("lora", 1), cell("full"), other]
    lora, lora_1, full, elsewhere = map(identity.key, cells)
    times = ExpectedTimes(expected(cells, {key: Estimate(100.0, True) for key in (lora, lora_1, full, elsewhere)}))
    assert times.seconds(full) == 100.0
    times.learn(lora, 20.0)
    assert [times.seconds(key) for key in (lora_1, full, elsewhere)] == pytest.approx([20.0, 20.0, 20.0])
    times.learn(full, 50.0)
    assert times.seconds(lora_1) == pytest.approx(20.0)
    assert times.seconds(full) == pytest.approx(50.0)
    assert times.seconds(elsewhere) == pytest.approx(35.0)


def test_a_cell_without_an_estimate_takes_what_cells_like_it_took(cell: Make) -> None:
    times = ExpectedTimes(expected([cell("lora"), cell("full")], {}))
    assert times.seconds(identity.key(cell("full"))) is None
    times.learn(identity.key(cell("lora")), 7.0)
    assert times.seconds(identity.key(cell("full"))) == 7.0


def test_a_rough_guess_is_measured_once_a_cell_of_its_model_has_ended(cell: Make) -> None:
    other = replace(cell(), model=replace(cell().model, name="other", revision="r2"))
    cells = [cell("lora"), cell("full"), other, cell("nap")]
    lora, full, elsewhere, sure = map(identity.key, cells)
    rough = {key: Estimate(10.0, rough=key != sure) for key in (lora, full, elsewhere, sure)}
    times = ExpectedTimes(expected(cells, rough))
    assert [times.is_measured(key) for key in (lora, full, elsewhere, sure)] == [False, False, False, True]
    times.learn(lora, 10.0)
    assert [times.is_measured(key) for key in (lora, full, elsewhere, sure)] == [True, True, False, True]
