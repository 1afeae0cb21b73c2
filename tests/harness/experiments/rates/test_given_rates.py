"""The rates and seeds that a command line gives to exhibits which search for rates, or choose among several."""

from typing import Any

import pytest

from harness.config import conf_files
from harness.errors import RowsAbsent, UsageError
from harness.experiments import exhibits, overrides
from harness.experiments.grids import grid
from harness.experiments.grids.blocks import CHOSEN, RATE, TUNED, TUNING_SEED, Block, values
from harness.experiments.rates import given_rates, rate_tuning
from harness.store.store import Store

FRESH = 771
"""A seed of no exhibit."""
SCALES = [  # of the exhibits that search or choose
    (name, scale)
    for name in sorted(conf_files.files("exhibit"))
    for scale, blocks in exhibits.load(name).grids.items()
    if given_rates.have_open_rates(blocks)
]
TRAINED = [(name, scale) for name, scale in SCALES if scale in ("quick", "embedded")]


def shaped(name: str, scale: str, **chosen: list[Any]) -> tuple[list[Block], list[str]]:
    exhibit = exhibits.load(name)
    words = {axis.replace("__", "."): wanted for axis, wanted in chosen.items()}
    return overrides.reshape(exhibit, exhibit.blocks(scale), words, {})


def test_several_exhibits_search_or_choose() -> None:
    assert len(SCALES) > 20
    assert {TUNED, CHOSEN} <= {
        rate for name, scale in SCALES for block in exhibits.load(name).grids[scale] for rate in values(block, RATE)
        if isinstance(rate, str)
    }  # fmt: skip


@pytest.mark.parametrize(("name", "scale"), SCALES)
def test_one_rate_is_the_rate_of_every_cell_and_nothing_is_tried(name: str, scale: str) -> None:
    blocks, told = shaped(name, scale, recipe__learning_rate=[1e-3])
    assert not given_rates.have_open_rates(blocks)
    assert all(TUNING_SEED not in block for block in blocks)
    assert {rate for block in blocks for rate in values(block, RATE)} <= {1e-3}
    assert told[0].startswith("recipe.learning_rate is 0.001, instead of ")


@pytest.mark.parametrize(("name", "scale"), SCALES)
def test_a_seed_is_reported_and_rates_are_tried_where_they_were(name: str, scale: str) -> None:
    exhibit = exhibits.load(name)
    tuning, before = exhibit.tuning_seeds(), exhibit.blocks(scale)
    blocks, _ = shaped(name, scale, seed=[FRESH])
    tries = [block for block in blocks if given_rates.tries_only(block, tuning)]
    assert tries == [block for block in before if given_rates.tries_only(block, tuning)]
    assert {seed for block in blocks if block not in tries for seed in values(block, "seed")} == {FRESH}
    assert len(blocks) == len(before)


@pytest.mark.parametrize(("name", "scale"), TRAINED)
def test_the_cells_at_one_rate_can_be_planned(name: str, scale: str, tmp_path: Any) -> None:
    blocks, _ = shaped(name, scale, recipe__learning_rate=["x1"], seed=[FRESH])
    planned = rate_tuning.expand(blocks, Store(tmp_path), holes=True)
    assert planned.cells or all(isinstance(hole.error, RowsAbsent) for hole in planned.holes)
    assert planned.waiting == 0
    assert {FRESH} >= {cell.seed for cell in planned.cells}


def test_several_rates_are_tried_on_the_tuning_seeds_and_the_best_is_reported() -> None:
    blocks, told = shaped("dora-table15", "embedded", recipe__learning_rate=[1e-3, 3e-3], method=["lora"])
    assert [(block[RATE], block["seed"]) for block in blocks] == [([1e-3, 3e-3], [200]), (CHOSEN, [0, 1, 2, 3, 4])]
    assert told[1] == "these rates are tried on seed 200, and the best one of each arm is reported"
    paper, _ = shaped("dora-table15", "paper", recipe__learning_rate=[1e-4, 2e-4])
    assert [(block[RATE], block["seed"]) for block in paper] == [([1e-4, 2e-4], 200), (CHOSEN, [0, 1, 2])]


def test_parents_that_are_searched_for_have_the_given_rate_and_others_keep_theirs() -> None:
    blocks, _ = shaped("delta-transfer", "quick", recipe__learning_rate=[1e-3])
    parents = {key for cell in grid.expand(blocks) for _, key in cell.parents}
    assert parents
    with pytest.raises(UsageError, match="nothing trains in the cells of exhibit delta-soup but in those that they"):
        shaped("delta-soup", "quick", recipe__learning_rate=[1e-3])


def test_several_rates_cannot_be_tried_where_cells_build_on_others() -> None:
    with pytest.raises(UsageError, match=r"build on others, .* give one rate for all, or leave"):
        shaped("delta-transfer", "quick", recipe__learning_rate=[1e-3, 3e-3])


def test_cells_at_a_rate_of_their_own_keep_it_where_several_are_tried() -> None:
    blocks, told = shaped("tuned-variants", "embedded", recipe__learning_rate=[1e-3, 2e-3])
    rates = [values(block, RATE) for block in blocks if RATE in block]
    assert set(rates) == {(1e-3, 2e-3), (CHOSEN,), ("x1",)}
    assert told[-1] == "cells at a rate of their own keep it: x1"
    _, told = shaped("tuned-variants", "embedded", recipe__learning_rate=["tuned"])
    assert told == ["recipe.learning_rate is tuned, instead of x1"]


@pytest.mark.parametrize("rates", [None, ["x1", "x3"]])
def test_the_tuning_seed_alone_may_be_another(rates: list[str] | None) -> None:
    exhibit = exhibits.load("delta-ranking")
    chosen = {TUNING_SEED: [FRESH], **({RATE: rates} if rates else {})}
    blocks, _ = overrides.reshape(exhibit, exhibit.blocks("embedded"), chosen, {})
    assert FRESH in overrides.searched(exhibit, blocks).tuning_seeds()
    assert {seed for block in blocks for seed in values(block, TUNING_SEED)} == (set() if rates else {FRESH})
    tried = [values(block, "seed") for block in blocks if len(values(block, RATE)) > 1]
    assert set(tried) == ({(FRESH,)} if rates else set())


@pytest.mark.parametrize("rate", [None, ["x1"]])
def test_a_tuning_seed_needs_rates_to_try(rate: list[str] | None) -> None:
    exhibit = exhibits.load("dora-table15")
    with pytest.raises(UsageError, match=r"tries none; give recipe.learning_rate=tuned without other"):
        overrides.reshape(exhibit, exhibit.blocks("quick"), {TUNING_SEED: [7], **({RATE: rate} if rate else {})}, {})


@pytest.mark.parametrize(("name", "scale"), SCALES)
def test_an_added_seed_is_reported_and_tries_no_rate(name: str, scale: str) -> None:
    exhibit = exhibits.load(name)
    tuning, before = exhibit.tuning_seeds(), exhibit.blocks(scale)
    blocks, _ = overrides.reshape(exhibit, before, {}, {"seed": [FRESH]})
    for block, was in zip(blocks, before, strict=True):
        fresh = set(values(block, "seed")) - set(values(was, "seed"))
        assert fresh == (set() if given_rates.tries_only(was, tuning) else {FRESH})
    if alone := sorted(tuning):
        with pytest.raises(UsageError, match=rf"\+seed={alone[0]}: exhibit {name} only chooses"):
            overrides.reshape(exhibit, before, {}, {"seed": alone[:1]})


def test_a_seed_that_tries_rates_is_not_reported() -> None:
    with pytest.raises(UsageError, match=r"seed=200: exhibit dora-table15 only chooses .* such as seed=0"):
        shaped("dora-table15", "paper", seed=[200])
