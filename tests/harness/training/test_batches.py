"""The order of rows is a function of seed and step; padding never shows."""

from collections import Counter

import numpy as np
import pytest
import torch

from harness.batches import POOL, Encoded, Order, pad
from harness.text import IGNORED

LENGTHS = torch.tensor([3, 9, 1, 4, 4, 7, 2, 8, 5, 6, 3, 3, 2])


def steps(order: Order, count: int) -> list[list[int]]:
    return [order.rows(step).tolist() for step in range(count)]


def test_the_order_resumes_at_any_step() -> None:
    whole = steps(Order(LENGTHS, 4, seed=5), 40)
    for step in (0, 7, 8, 23, 39):
        assert Order(LENGTHS, 4, seed=5).rows(step).tolist() == whole[step]
    assert steps(Order(LENGTHS, 4, seed=6), 40) != whole


@pytest.mark.parametrize("batch_size", [1, 4, 13, 50])
def test_every_row_is_seen_equally_often_and_batches_are_full(batch_size: int) -> None:
    seen = steps(Order(LENGTHS, batch_size, seed=0), POOL * len(LENGTHS))
    assert {len(rows) for rows in seen} == {batch_size}
    assert set(Counter(row for rows in seen for row in rows).values()) == {POOL * batch_size}


def test_batches_hold_rows_of_like_length() -> None:
    lengths = torch.from_numpy(np.random.default_rng(0).integers(1, 100, size=1000))
    spread = [float(lengths[rows].float().std()) for rows in map(Order(lengths, 16, seed=0).rows, range(POOL * 4))]
    assert sum(spread) / len(spread) < 0.5 * float(lengths.float().std())


def encoded() -> Encoded:
    rows = [list(range(1, n + 1)) for n in LENGTHS.tolist()]
    return Encoded.of(rows, 0, 0, targets=[row[:2] for row in rows], labels=torch.arange(len(rows)))


def test_a_batch_is_cut_to_its_longest_row() -> None:
    batch = encoded().batch([2, 0, 3])
    assert batch.inputs.tolist() == [[1, 0, 0, 0], [1, 2, 3, 0], [1, 2, 3, 4]]
    assert batch.mask.tolist() == [[1, 0, 0, 0], [1, 1, 1, 0], [1, 1, 1, 1]]
    assert batch.need_targets().tolist() == [[1, IGNORED], [1, 2], [1, 2]]
    assert encoded().batch([2]).need_targets().tolist() == [[1]]


def test_tokens_count_inputs_and_targets_without_padding() -> None:
    assert encoded().tokens.tolist() == [n + min(n, 2) for n in LENGTHS.tolist()]


def test_evaluation_visits_every_row_once() -> None:
    groups = list(encoded().by_length(4))
    assert sorted(row for group in groups for row in group) == list(range(len(LENGTHS)))
    assert max(map(len, groups)) == 4


def test_pad_keeps_what_it_is_given() -> None:
    assert pad([[1], [2, 3]], 7, width=3).tolist() == [[1, 7, 7], [2, 3, 7]]
