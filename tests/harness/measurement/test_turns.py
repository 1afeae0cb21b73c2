"""Sides that are timed in turn, and the rate of matrix products."""

import pytest
import torch

from harness.measurement import matmul_rate, turns


def test_each_side_comes_first_as_often_as_the_others() -> None:
    orders = [turns.in_turn(["a", "b", "c"], alternation) for alternation in range(3)]
    assert sorted(order[0] for order in orders) == ["a", "b", "c"]
    assert all(sorted(order) == ["a", "b", "c"] for order in orders)


def test_a_ratio_is_taken_within_each_alternation() -> None:
    assert turns.ratio([2.0, 30.0], [1.0, 10.0])["median"] == pytest.approx(2.5)
    assert turns.spread([4.0]) == {"median": 4.0, "quartiles": [4.0, 4.0], "least": 4.0, "most": 4.0, "n": 1}


def test_a_products_operations_are_two_for_each_multiplication(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(100))
    monkeypatch.setattr(matmul_rate.time, "perf_counter", lambda: float(next(clock)))
    assert matmul_rate.measure(torch.device("cpu"), "bf16", size=4, times=3) == 2 * 4**3
