"""`deltabench why` names the rows of numbers that changed since a record was made, and no others."""

from collections.abc import Callable
from typing import Any

import pytest

from harness.cli.commands import why
from harness.config.schema import Cell
from harness.store import fingerprint, identity
from harness.store.store import SCHEMA, Store
from tests.harness.conftest import OtherRows


@pytest.fixture
def put(store: Store, cell: Callable[..., Cell]) -> Callable[..., str]:
    """A finished record of the code of today, with some of its parts replaced."""

    def put(method: str = "lora", **changed: Any) -> str:
        made = cell(method)
        parts = {**fingerprint.parts(fingerprint.Subject.of_cell(made)), **changed}
        folder, key = store.begin(made), identity.key(made)
        content = {"schema": SCHEMA, "key": key, "attempt": 1, "status": "done", "cell": identity.to_json(made)}
        code = {"fingerprint": fingerprint.joined(parts), "fingerprint_parts": parts}
        store.finish(key, folder, {**content, "scores": {}, "time": {}, "provenance": code})
        return key

    return put


def test_a_changed_row_is_named_and_an_added_one_is_not(
    store: Store, put: Callable[..., str], other_rows: OtherRows
) -> None:
    key = put()
    other_rows({"training/added": ["1"]})
    assert why.changes(store, key)["code"] == []
    other_rows({"training/added": ["1"], "method lora/t5": ["2"]})
    result = why.changes(store, key)
    assert result["stale"]
    [row] = result["code"]
    assert (row["part"], len(row["then"]), row["then"] != row["now"]) == ("golden row method lora/t5", 8, True)
    assert [*why._lines_of_changes(result)][1:] == ["  golden row method lora/t5: changed since"]


def test_two_cells_differ_in_the_rows_that_both_have(store: Store, put: Callable[..., str]) -> None:
    one, other = put("lora"), put("dora")
    assert why.differences(store, one, other)["code"] == []
    third = put("prefix", torch="1.0")
    assert [row["part"] for row in why.differences(store, one, third)["code"]] == ["torch"]
