"""Labels tell cells apart, however long their fields are."""

from typing import Any

from harness.experiments.grids import grid, labels
from harness.store import identity
from methods import registry as methods


def cell(**fields: Any) -> dict[str, Any]:
    return {
        "method": {"name": "combine", **fields},
        "model": {"name": "m", "revision": "m"},
        "task": {"name": "t", "digest": "t"},
        "objective": "seq2seq",
        "recipe": {"name": "r", "learning_rate": 1e-3},
        "seed": 0,
    }


def arms(*parts: list[str]) -> list[str]:
    return [label.arm for label in labels.of_cells([cell(parts=listed) for listed in parts])]


def test_long_lists_are_told_apart_by_their_first_words() -> None:
    long = ["prompt length=20 init=vocabulary", "bitfit create_missing=true", "adapter bottleneck=24 cross=false"]
    assert arms(long, long[:2], [long[0], long[2]]) == [
        "combine parts=prompt+bitfit+adapter",
        "combine parts=prompt+bitfit",
        "combine parts=prompt+adapter",
    ]


def test_lists_that_differ_in_fields_alone_are_written_whole() -> None:
    named = arms(["prompt length=20 init=vocabulary", "bitfit"], ["prompt length=10 init=vocabulary", "bitfit"])
    assert len(set(named)) == 2
    assert "length=10" in named[1]


def test_a_digest_names_a_task_only_where_nothing_else_does() -> None:
    cells = [cell() for _ in range(2)]
    cells[0]["task"] = {"name": "t", "digest": "a" * 64, "prompt": "text"}
    cells[1]["task"] = {"name": "t", "digest": "b" * 64, "prompt": "bare"}
    assert [label.task for label in labels.of_cells(cells)] == ["t prompt=text", "t prompt=bare"]
    for content in cells:
        content["task"] = {**content["task"], "prompt": "text"}
    assert [label.task for label in labels.of_cells(cells)] == ["t digest=aaaaaaaa", "t digest=bbbbbbbb"]


def test_several_parents_of_one_task_are_named_by_their_method_once() -> None:
    shared = {"task": "micro/qa", "model": "micro-t5-nano", "method": "soup", "seed": 0}
    parts = [({"method": "full", "seed": 1}, {"method": other, "seed": 9}) for other in ("full", "lora")]
    cells = grid.expand([{**shared, "parents.a": first, "parents.b": second} for first, second in parts])
    named = {label.arm for label in labels.of_cells([identity.to_json(cell) for cell in cells])}
    assert {"soup from=full", "soup from=full+lora"} <= named


def test_parents_that_are_not_among_the_cells_leave_no_trace_in_a_label() -> None:
    shared = {"task": "micro/qa", "model": "micro-t5-nano", "method": "soup", "seed": 0}
    parts = [({"method": name, "seed": 1}, {"method": name, "seed": 9}) for name in ("full", "lora")]
    cells = grid.expand([{**shared, "parents.a": first, "parents.b": second} for first, second in parts])
    present = [identity.to_json(cell) for cell in cells if cell.seed != 9]
    assert {label.arm for label in labels.of_cells(present)} >= {"soup from=full", "soup from=lora"}


def budgeted(**fields: Any) -> dict[str, Any]:
    return {**cell(), "method": {"name": "lora", **methods.resolve("lora", fields)}}


def test_a_budget_stands_in_place_of_the_size_that_it_chooses() -> None:
    """The size of the cell is the default, which nothing uses."""
    many = [budgeted(rank=4), budgeted(rank=8), budgeted(budget=0.1), budgeted(budget=0.2)]
    arms = [label.arm for label in labels.of_cells(many)]
    assert arms == ["lora rank=4", "lora rank=8", "lora budget=0.1", "lora budget=0.2"]
    assert [label.arm for label in labels.of_cells([many[1], many[2]])] == ["lora rank=8", "lora budget=0.1"]
    same = [budgeted(budget=0.1), budgeted(budget=0.1, targets=["q"])]
    assert [label.arm for label in labels.of_cells(same)] == ["lora targets=q+v", "lora targets=q"]


def test_a_size_or_a_budget_that_is_named_elsewhere_is_in_no_label() -> None:
    many = [budgeted(rank=4), budgeted(budget=0.1), budgeted(budget=0.2)]
    assert {label.arm for label in labels.of_cells(many, ["method.rank"], [{}, {"rank": 7}, {"rank": 15}])} == {"lora"}
    assert {label.arm for label in labels.of_cells(many, ["method.budget"])} == {"lora"}
