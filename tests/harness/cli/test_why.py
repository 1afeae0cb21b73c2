"""`deltabench why` names the rows of numbers that changed since a record was made, and no others."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from harness.cli import dispatch
from harness.cli.commands import why
from harness.config.schema import Cell, MethodConfig
from harness.experiments.grids import grid
from harness.store import fingerprint, identity
from harness.store.store import SCHEMA, Store
from methods import registry as methods
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


def test_weights_and_rows_that_changed_are_named(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    """A backbone that was pretrained anew, and rows that are generated otherwise, as an earlier version had them."""
    [made] = grid.expand([{"method": "lora"}])
    old = replace(made, model=replace(made.model, revision="0" * 16), task=replace(made.task, digest="1" * 16))
    for one in (made, old):
        content = {"schema": SCHEMA, "key": identity.key(one), "attempt": 1, "status": "done"}
        content |= {"cell": identity.to_json(one), "scores": {}, "time": {}, "provenance": {}}
        store.finish(identity.key(one), store.begin(one), content)
    assert why.changes(store, identity.key(made))["inputs"] == []
    assert why.changes(store, identity.key(old))["inputs"] == [
        {"part": f"weights of {made.model.name}", "then": "0" * 16, "now": made.model.revision},
        {"part": f"rows of {made.task.name}", "then": "1" * 16, "now": made.task.digest},
    ]
    assert dispatch.main(["why", identity.key(old), f"store={store.path}"]) == 0
    said = capsys.readouterr().out
    assert f"but the weights of {made.model.name} changed: {'0' * 16} then" in said
    assert "up to date" not in said


def test_weights_that_are_not_here_are_no_news(store: Store) -> None:
    [made] = grid.expand([{"method": "lora"}])
    gone = replace(made, model=replace(made.model, source="folder", location="/nowhere", path="/nowhere"))
    content = {"schema": SCHEMA, "key": identity.key(gone), "attempt": 1, "status": "done"}
    content |= {"cell": identity.to_json(gone), "scores": {}, "time": {}, "provenance": {}}
    store.finish(identity.key(gone), store.begin(gone), content)
    assert why.changes(store, identity.key(gone))["inputs"] == []


def test_a_size_that_a_budget_chooses_is_no_difference(store: Store, cell: Callable[..., Cell]) -> None:
    """The cell has it at its default, which nothing uses."""
    one, other = (
        replace(cell("lora"), method=MethodConfig("lora", methods.resolve("lora", fields)))
        for fields in ({"budget": 0.1}, {"rank": 8})
    )
    for made in (one, other):
        store.begin(made)
    result = why.differences(store, identity.key(one), identity.key(other))
    fields = {row["field"]: (row["one"], row["other"]) for row in result["fields"]}
    assert fields["method.rank"] == (None, 8)
    assert fields["method.budget"] == (0.1, None)
