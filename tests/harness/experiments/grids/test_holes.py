"""Combinations that cannot run: all of them at once, each with its reason, and the rest on request."""

import pytest

from harness.errors import Impossible, NotApplicable, RowsAbsent, UsageError
from harness.experiments.grids import grid, holes
from harness.experiments.grids.holes import Hole

BLOCK = {"model": "micro-t5-nano", "seed": [0, 1]}


def test_every_impossible_combination_is_collected_with_its_reason() -> None:
    found: list[Hole] = []
    block = {
        **BLOCK,
        "method": ["lora", "full"],
        "task": ["micro/sentiment", "micro/qa"],
        "objective": ["seq2seq", "classifier"],
    }
    cells = grid.expand([block], found)
    assert len(cells) + holes.count(found) == 16
    assert {cell.objective for cell in cells if cell.task.name == "micro/qa"} == {"seq2seq"}
    assert {hole.task for hole in found} == {"micro/qa"}
    assert all("classifier" in hole.reason for hole in found)
    with pytest.raises(Impossible, match=r"4 of 16 cells cannot run; leave their choices out\."):
        grid.expand([block])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"method.rank": [4, 8], "method.budget": [None, 0.01]}, "not both"),
        ({"recipe.precision": ["fp32", "bf16"], "model.dtype": ["fp32", "bf16"]}, "model.dtype=bf16"),
        ({"recipe.optimizer": ["adamw", "lomo"], "recipe.accumulate": [1, 2]}, "lomo moves a parameter"),
        ({"recipe.learning_rate": [0.1, {"full": 0.1}]}, "has no number for lora"),
        ({"task": ["micro/sentiment", "glue/sst2"], "task.data_dir": ["/no/such/folder"]}, ""),
        ({"model.path": ["/no/such/folder"]}, "/no/such/folder"),
    ],
)
def test_holes_of_every_kind(change: dict[str, object], said: str) -> None:
    found: list[Hole] = []
    cells = grid.expand([{**BLOCK, "method": "lora", **change}], found)
    assert found
    assert all(said in hole.reason for hole in found)
    assert not {hole.cells for hole in found} - {2, 4}
    assert all(hole.method == "lora" for hole in found)
    assert len(cells) % 2 == 0


def test_one_reason_for_all_cells_is_raised_as_it_is() -> None:
    with pytest.raises(NotApplicable, match="classifier cannot give the answers"):
        grid.expand([{**BLOCK, "task": "micro/qa", "objective": "classifier"}])
    error = RowsAbsent("no rows")
    with pytest.raises(RowsAbsent):
        holes.check([Hole("a", "m", "t", error), Hole("b", "m", "t", error)], possible=0, skip=True)


def test_the_rest_runs_on_request_only() -> None:
    found = [Hole("a", "m", "t", UsageError("bad"), 3)]
    holes.check(found, possible=5, skip=True)
    holes.check([], possible=0)
    with pytest.raises(Impossible, match=r"3 of 8 .*; --skip-impossible goes on with the other 5") as raised:
        holes.check(found, possible=5, skip=False)
    assert raised.value.lines == ("a × m × t (3 cells): bad",)


def test_a_verb_without_the_option_does_not_name_it() -> None:
    found = [Hole("a", "m", "t", UsageError("bad"), 3)]
    for possible, said in ((5, "leave their choices out"), (0, "bad")):
        with pytest.raises(UsageError, match=said) as raised:
            holes.check(found, possible)
        assert "--" not in str(raised.value)


def test_a_heading_counts_what_it_names() -> None:
    found = [Hole("a", "m", "t", UsageError("bad"), 3)]
    assert list(holes.heading(found, "skipped")) == [
        "skipped, because they cannot run: 3 cells",
        "  a × m × t (3 cells): bad",
    ]
    assert not list(holes.heading([], "skipped"))


def test_absent_rows_are_told_from_other_reasons() -> None:
    absent, other = Hole("a", "m", "t", RowsAbsent("no rows")), Hole("b", "m", "u", UsageError("bad"))
    assert holes.lack_rows(RowsAbsent("no rows"), [])
    assert holes.lack_rows(Impossible("some"), [absent])
    assert not holes.lack_rows(Impossible("some"), [absent, other])
    assert not holes.lack_rows(UsageError("bad"), [absent])


def test_one_line_per_reason_names_few_of_many() -> None:
    found = [Hole(f"m{number}", "m", "t", UsageError("bad")) for number in range(6)]
    found += [Hole("m0", "m", "t", UsageError("worse"), 2)]
    assert list(holes.lines(found)) == [
        "m0, m1, m2, m3 and 2 more × m × t (6 cells): bad",
        "m0 × m × t (2 cells): worse",
    ]
