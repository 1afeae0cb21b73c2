"""The order of rows is a function of seed and step; padding never shows."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch

from harness.models.text_tokens import IGNORED
from harness.training.batches import POOL, Encoded, Order, pad

LENGTHS = torch.tensor([3, 9, 1, 4, 4, 7, 2, 8, 5, 6, 3, 3, 2])
GOLDEN = [[11, 1], [0, 5], [2, 7], [15, 10], [13, 3], [14, 4], [8, 9], [6, 12]]


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


@pytest.mark.parametrize("n", [1, 5, 16, 31, 32, 33, 45, 105, 128, 129, 150, 300])
def test_a_batch_has_no_row_twice_and_an_epoch_has_each_row_once(n: int) -> None:
    lengths = torch.from_numpy(np.random.default_rng(n).integers(1, 9, size=n))
    order, counts = Order(lengths, 16, seed=1), np.zeros(n, dtype=int)
    for step in range(70):
        rows = order.rows(step)
        assert len(set(rows.tolist())) == min(16, n)
        np.add.at(counts, rows, 1)
        assert counts.max() - counts.min() <= 1, "no row comes again before all the others have come"


def test_an_epoch_smaller_than_a_pool_resumes_at_any_step() -> None:
    for n in (3, 13, 21):
        order = Order(torch.arange(n), 8, seed=5)
        for step, rows in enumerate(steps(order, 30)):
            assert Order(torch.arange(n), 8, seed=5).rows(step).tolist() == rows


def test_the_order_within_an_epoch_stays_what_records_were_trained_with() -> None:
    assert steps(Order(torch.arange(16) % 5, 2, seed=3), 8) == GOLDEN


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


def test_options_are_read_in_groups_of_like_length() -> None:
    lengths = [[9, 3, 1], [5, 4, 0], [8, 3, 0]]
    options = torch.full((3, 3, 12), IGNORED)
    for row, column in ((row, column) for row in range(3) for column in range(3)):
        options[row, column, : lengths[row][column]] = 10 * row + column
    whole = Encoded.of([[1], [2], [3]], 0, 0, labels=torch.zeros(3, dtype=torch.long), options=options)
    groups = [(places.tolist(), tokens) for places, tokens in whole.batch([0, 1, 2]).option_groups()]
    assert [places for places, _ in groups] == [[0, 3, 6], [1, 4, 7], [2]], (
        "those that a row does not have are left out"
    )
    assert [tokens.shape[1] for _, tokens in groups] == [9, 4, 1]
    for places, tokens in groups:
        for place, row in zip(places, tokens, strict=True):
            assert row[row != IGNORED].tolist() == [10 * (place // 3) + place % 3] * lengths[place // 3][place % 3]


@pytest.mark.parametrize("tokens", [1, 8, 20, 33, 10_000])
@pytest.mark.parametrize("kind", ["targets", "options of a row", "label words"])
def test_evaluation_visits_every_row_once_in_groups_of_so_many_tokens(kind: str, tokens: int) -> None:
    count = {"targets": 0, "label words": 1, "options of a row": len(LENGTHS)}[kind]
    table = torch.full((count, 3, 4), IGNORED)
    for row in range(count):
        table[row, : 2 + row % 2, : 1 + row % 4] = 7
    rows = encoded() if kind == "targets" else replace(encoded(), options=table)
    groups = list(rows.by_length(tokens))
    assert sorted(row for group in groups for row in group) == list(range(len(LENGTHS)))
    for group in groups:
        batch = rows.batch(group)
        read = batch.need_targets() if batch.options is None else batch.options.flatten(1)
        most = int((batch.mask.sum(dim=1) + (read != IGNORED).sum(dim=1)).max())
        assert len(group) == 1 or len(group) * most <= tokens
    if tokens == 10_000:
        assert len(groups) == 1


def test_a_group_of_an_evaluation_takes_the_next_row_where_there_is_room() -> None:
    rows = Encoded.of([[1] * 5] * 23, 0, 0)
    assert list(map(len, rows.by_length(50))) == [10, 10, 3]
    assert list(rows.by_length(50)) == list(rows.by_length(54))


def test_pad_keeps_what_it_is_given() -> None:
    assert pad([[1], [2, 3]], 7, width=3).tolist() == [[1, 7, 7], [2, 3, 7]]
