"""Calls that are spread over several children: each result comes back to its own item."""

from collections.abc import Sequence
from typing import Any

import pytest

from harness.processes import forkserver


@pytest.mark.parametrize(("items", "cores", "children"), [(0, 2, 1), (5, 2, 1), (8, 2, 2), (11, 2, 2), (13, 64, 3)])
def test_results_are_in_the_order_of_the_items(
    monkeypatch: pytest.MonkeyPatch, items: int, cores: int, children: int
) -> None:
    called: list[int] = []

    def call_each(target: str, each: Sequence[tuple[Any, ...]], modules: Sequence[str]) -> list[list[int]]:
        called.append(len(each))
        return [[10 * item for item in part] for (part,) in each]

    monkeypatch.setattr(forkserver, "call_each", call_each)
    monkeypatch.setattr(forkserver, "_cores", lambda: cores)
    assert forkserver.call_in_parts("any:thing", range(items), ()) == [10 * item for item in range(items)]
    assert called == [children]
