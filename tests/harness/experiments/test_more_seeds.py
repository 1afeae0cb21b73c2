"""The cells of an exhibit at seeds beyond its own."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from harness.config.schema import Cell
from harness.experiments import exhibits, more_seeds
from harness.experiments.exhibits import Exhibit
from harness.experiments.grids import grid
from harness.store import identity
from harness.store.store import Store

YAML = """
title: A made-up exhibit
source: no paper
view: [suite]
grid: {{quick: {{model: micro-t5-nano, task: micro/sentiment, {} }}}}
"""
PLAIN = "method: [lora, none], seed: [3, 1]"
TUNED = "method: lora, recipe.learning_rate: [x0.3, x1], tuning_seed: 4, seed: [2, 3]"


@pytest.fixture
def made(tmp_path: Path) -> Callable[[str], Exhibit]:
    def make(grid_text: str) -> Exhibit:
        (tmp_path / "made-up.yaml").write_text(YAML.format(grid_text))
        return exhibits.read(tmp_path / "made-up.yaml")

    return make


@pytest.mark.parametrize(
    ("name", "scale", "seeds"),
    [
        ("delta-ranking", "quick", (1, 2, 3)),
        ("delta-ranking", "embedded", (1, 2, 3, 4, 5)),
        ("dora-table6", "quick", (0, 1, 2)),
    ],
)
def test_the_reported_seeds_of_an_exhibit(name: str, scale: str, seeds: tuple[int, ...]) -> None:
    exhibit = exhibits.load(name)
    assert more_seeds.own(exhibit, exhibit.blocks(scale)) == seeds


def test_further_seeds_follow_and_choose_no_rate(made: Callable[[str], Exhibit]) -> None:
    plain = made(PLAIN)
    assert more_seeds.first(plain, plain.blocks("quick"), 5) == (1, 3, 4, 5, 6)
    assert more_seeds.first(plain, plain.blocks("quick"), 1) == (1,)
    tuned = made(TUNED)
    assert more_seeds.first(tuned, tuned.blocks("quick"), 4) == (2, 3, 5, 6)


def test_cells_at_further_seeds_differ_in_the_seed_alone(made: Callable[[str], Exhibit], tmp_path: Path) -> None:
    exhibit, store = made(PLAIN), Store(tmp_path / "store")
    blocks = exhibit.blocks("quick")
    own, further = grid.expand(blocks), more_seeds.planned(exhibit, blocks, store, [7, 8]).cells
    assert {cell.seed for cell in further} == {7, 8}
    wanted = {identity.key(replace(cell, seed=7)) for cell in own}
    assert {identity.key(cell) for cell in further if cell.seed == 7} == wanted
    lora = [cell for cell in own if cell.method.name == "lora"]
    assert {(cell.method.name, cell.seed) for cell in more_seeds.like(further, lora[:1])} == {("lora", 7), ("lora", 8)}


def test_further_seeds_wait_for_the_rate_and_never_try_others(made: Callable[[str], Exhibit], tmp_path: Path) -> None:
    exhibit = made(TUNED)
    planned = more_seeds.planned(exhibit, exhibit.blocks("quick"), Store(tmp_path / "store"), [7, 8])
    assert planned.cells == []
    assert planned.waiting == 2


def test_a_parent_comes_with_its_child_and_before_it(cell: Callable[..., Cell]) -> None:
    parent, other = cell("good", 7), cell("nap", 7)
    child = replace(cell("soup", 7), parents=(("a", identity.key(parent)),))
    wanted = replace(cell("soup", 0), parents=(("a", identity.key(cell("good", 0))),))
    assert more_seeds.like([child, other, parent], [wanted]) == [parent, child]


def test_no_further_seeds_have_no_cells(made: Callable[[str], Exhibit], tmp_path: Path) -> None:
    """A dry run with --max-seeds at the exhibit's own number asks for none."""
    exhibit = made(PLAIN)
    planned = more_seeds.planned(exhibit, exhibit.blocks("quick"), Store(tmp_path / "store"), ())
    assert (planned.cells, planned.waiting) == ([], 0)
