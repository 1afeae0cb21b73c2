"""Results on the meta device: the same as torch's own, and made without it where a call is like an earlier one."""

from typing import Any

import pytest
import torch

from harness.measurement.meta_results import MetaResults, counted

ATEN = torch.ops.aten


def meta(*size: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.empty(size, dtype=dtype, device="meta")


def _twice(func: Any, *args: Any, **kwargs: Any) -> list[torch.Tensor]:
    results = MetaResults()
    return [func(*args, **kwargs), *(results.call(func, args, kwargs) for _ in range(2))]


@pytest.mark.parametrize(
    ("func", "args"),
    [
        (ATEN.mul.Tensor, (meta(2, 3), meta(3))),
        (ATEN.mul.Tensor, (meta(2, 3).t(), 2)),
        (ATEN.mul.Tensor, (meta(2, 3, dtype=torch.int64), 2.0)),
        (ATEN.mul.Tensor, (meta(2, 3, dtype=torch.int64), 2)),
        (ATEN.add.Tensor, (meta(2, 3, dtype=torch.bfloat16), meta(2, 3))),
        (ATEN.mm.default, (meta(2, 3), meta(3, 5))),
        (ATEN.sum.dim_IntList, (meta(2, 3), [1], True)),
        (ATEN.cat.default, ([meta(2, 3), meta(4, 3)],)),
        (ATEN.expand.default, (meta(1, 3), [4, 3])),
    ],
)
def test_a_second_call_has_the_shape_strides_and_type_of_the_first(func: Any, args: tuple[Any, ...]) -> None:
    own, first, second = _twice(func, *args)
    for other in (first, second):
        assert (other.shape, other.stride(), other.dtype) == (own.shape, own.stride(), own.dtype)
        assert other.untyped_storage().nbytes() == own.untyped_storage().nbytes()


def test_a_known_call_does_not_reach_torch() -> None:
    calls: list[int] = []

    class Counted:
        _schema = ATEN.relu.default._schema

        def __call__(self, x: torch.Tensor) -> torch.Tensor:
            calls.append(1)
            return ATEN.relu.default(x)

    results, func = MetaResults(), Counted()
    for x in (meta(2), meta(2), meta(3)):
        results.call(func, (x,), {})
    assert len(calls) == 2


def test_views_changes_in_place_and_real_tensors_are_left_to_torch() -> None:
    results, x, real = MetaResults(), meta(2, 3), torch.ones(2)
    for _ in range(2):
        for view in (ATEN.view.default, ATEN._unsafe_view.default):  # the second does not state that it is one
            assert results.call(view, (x, [6]), {}).untyped_storage()._cdata == x.untyped_storage()._cdata
        assert results.call(ATEN.add_.Tensor, (x, 1), {}) is x
        assert results.call(ATEN.mul.Tensor, (real, 2), {}).tolist() == [2.0, 2.0]


@pytest.mark.parametrize(
    ("func", "args", "expected"),
    [
        (ATEN.mm.default, (meta(2, 3), meta(3, 5)), 2 * 2 * 3 * 5),
        (ATEN.bmm.default, (meta(4, 2, 3), meta(4, 3, 5)), 4 * 2 * 2 * 3 * 5),
        (ATEN.addmm.default, (meta(5), meta(2, 3), meta(3, 5)), 2 * 2 * 3 * 5),
        (ATEN.mul.Tensor, (meta(2, 3), 2), 0),
    ],
)
def test_operations_are_counted_as_torch_counts_them(func: Any, args: tuple[Any, ...], expected: int) -> None:
    results, out = MetaResults(), func(*args)
    assert [results.operations(func, args, {}, out) for _ in range(2)] == [expected, expected]
    assert counted(func, args, {}, out) == expected


def test_operations_of_other_shapes_and_of_real_tensors_are_counted_anew() -> None:
    results, real = MetaResults(), torch.ones(2, 2)
    for rows in (2, 3, 2):
        x, y = meta(rows, 3), meta(3, 5)
        assert results.operations(ATEN.mm.default, (x, y), {}, ATEN.mm.default(x, y)) == 30 * rows
    assert results.operations(ATEN.mm.default, (real, real), {}, real) == 16
