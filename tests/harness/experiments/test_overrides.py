"""Filters, replacements and additions on an exhibit's blocks."""

import pytest

from harness.errors import UsageError
from harness.experiments import exhibits, overrides
from harness.experiments.grids import grid, options
from harness.experiments.grids.blocks import RATE, TUNING_SEED, USUAL_SEED

BLOCKS = """
title: t
source: s
view: [ranking]
floor: none
ceiling: full
grid:
  quick:
    - {model: m, task: [micro/qa, micro/sentiment], method: [lora, adapter], method.rank: [1, 4], seed: [0, 1]}
    - {model: m, task: [micro/qa, micro/sentiment], method: [none, full], seed: [0, 1]}
"""


@pytest.fixture
def exhibit(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(BLOCKS)
    return exhibits.read(path)


def shaped(exhibit, chosen=None, added=None):
    return overrides.reshape(exhibit, exhibit.blocks("quick"), chosen or {}, added or {})


def test_nothing_said_changes_nothing(exhibit):
    blocks, told = shaped(exhibit)
    assert tuple(blocks) == exhibit.blocks("quick")
    assert not told


def test_a_method_keeps_its_cells_and_drops_blocks_without_it(exhibit):
    blocks, told = shaped(exhibit, {"method": ["lora"]})
    assert [block["method"] for block in blocks] == [["lora"]]
    assert not told


def test_a_swept_field_is_filtered_where_it_is_swept(exhibit):
    blocks, _ = shaped(exhibit, {"method.rank": [4]})
    assert blocks[0]["method.rank"] == [4]
    assert "method.rank" not in blocks[1]


def test_a_value_that_is_not_swept_replaces_the_sweep(exhibit):
    blocks, told = shaped(exhibit, {"method.rank": [3]})
    assert blocks[0]["method.rank"] == [3]
    assert told == ["method.rank is 3, instead of 1, 4"]


def test_a_choice_may_be_a_list_or_a_map(exhibit):
    blocks, told = shaped(exhibit, {"method.targets": [["q", "v"], ["q", "v"], ["q"]]})
    assert blocks[0]["method.targets"] == [["q", "v"], ["q"]]
    assert told == ["method.targets is [q,v], [q]"]
    blocks, told = shaped(exhibit, {RATE: [{"lora": 0.001, "default": 0.002}]})
    assert blocks[0][RATE] == [{"lora": 0.001, "default": 0.002}]
    blocks, _ = shaped(exhibit, added={"method.rank": [{"q": 1}, {"q": 1}]})
    assert blocks[0]["method.rank"] == [1, 4, {"q": 1}]


def test_a_field_nobody_sweeps_is_set_where_it_can_be(exhibit):
    blocks, _ = shaped(exhibit, {"method.bottleneck": [4], "recipe.steps": [50]})
    assert [block.get("method.bottleneck") for block in blocks] == [[4], None]
    assert [block["recipe.steps"] for block in blocks] == [[50], [50]]


def test_another_model_replaces_and_is_told(exhibit):
    blocks, told = shaped(exhibit, {"model": ["other"]})
    assert {tuple(block["model"]) for block in blocks} == {("other",)}
    assert told == ["model is other, instead of m"]


def test_seeds_that_only_choose_rates_are_told_and_are_not_enough_alone() -> None:
    declared = exhibits.load("delta-gap")  # its embedded scale searches on seed 0
    blocks, told = overrides.reshape(declared, declared.blocks("quick"), {"seed": [0, 1, 2]}, {})
    assert {tuple(block["seed"]) for block in blocks} == {(0, 1, 2)}
    assert told[1:] == ["seed 0 only chooses learning rates, and no table reports it"]
    with pytest.raises(UsageError, match=r"seed=0: exhibit delta-gap only chooses .* such as seed=1"):
        overrides.reshape(declared, declared.blocks("quick"), {"seed": [0]}, {})


def test_patterns_keep_what_they_match(exhibit):
    blocks, told = shaped(exhibit, {"task": ["micro/sent*"], "seed": [1]})
    assert [block["task"] for block in blocks] == [["micro/sentiment"]] * 2
    assert [block["seed"] for block in blocks] == [[1], [1]]
    assert not told


def test_an_added_method_joins_the_compared_ones_not_floor_and_ceiling(exhibit):
    blocks, _ = shaped(exhibit, added={"method": ["prompt"]})
    assert [block["method"] for block in blocks] == [["lora", "adapter", "prompt"], ["none", "full"]]


def test_an_added_method_can_be_picked_out(exhibit):
    blocks, _ = shaped(exhibit, {"method": ["prompt", "full"]}, {"method": ["prompt"]})
    assert [block["method"] for block in blocks] == [["prompt"], ["full"]]


def test_a_chosen_and_an_added_method_are_both_left(exhibit):
    blocks, told = shaped(exhibit, {"method": ["lora"], "method.rank": [4]}, {"method": ["prompt"]})
    assert [(block["method"], block["method.rank"]) for block in blocks] == [(["lora", "prompt"], [4])]
    assert not told


@pytest.mark.parametrize(
    ("chosen", "added", "told"),
    [
        ({"method": ["prefix"]}, {}, r"\+method=prefix"),
        ({"method.no_such": [1]}, {}, "no_such"),
        ({"method": ["lora"], "method.bottleneck": [1]}, {}, "bottleneck"),
        ({}, {"recipe.steps": [1]}, "no such axis"),
    ],
)
def test_what_cannot_be_is_said(exhibit, chosen, added, told):
    with pytest.raises(UsageError, match=told):
        shaped(exhibit, chosen, added)


def test_a_partial_table_has_a_folder_of_its_own():
    assert overrides.label("quick", {}, {}) == "quick"
    names = {
        overrides.label("quick", {"method": ["lora"]}, {}),
        overrides.label("quick", {}, {"method": ["lora"]}),
        overrides.label("quick", {"task": ["micro/../qa"]}, {}),
    }
    assert len(names) == 3
    assert not any("/" in name or (".." in name.replace("_..", "") and "/" in name) for name in names)


def test_two_selections_never_share_a_folder():
    many = {"method": [f"method{number}" for number in range(60)]}
    pairs = [
        (many, {"method": [*many["method"][:-1], "other"]}),  # the same to the 150th letter and beyond
        ({"task": ["micro/qa"]}, {"task": ["micro_qa"]}),  # the same once it is made safe
        ({"method.rank": [4], "seed": [0]}, {"method.rank": [4], "seed": [1]}),
    ]
    for one, other in pairs:
        first, second = overrides.label("quick", one, {}), overrides.label("quick", other, {})
        assert first != second
        assert max(len(first), len(second)) <= 150
        assert first == overrides.label("quick", dict(reversed(one.items())), {})
    twice = {"seed": [0, 0, 1]}, {"method": ["lora", "lora"]}
    assert overrides.label("quick", *twice) == overrides.label("quick", {"seed": [0, 1]}, {"method": ["lora"]})


def test_a_method_nobody_has_is_named_not_offered(exhibit):
    with pytest.raises(UsageError, match=r"no method 'adaptr'\. Did you mean adapter"):
        shaped(exhibit, {"method": ["adaptr"]})
    with pytest.raises(UsageError, match=r"\+method=prompt adds it"):
        shaped(exhibit, {"method": ["prompt"]})


def test_a_search_takes_the_place_of_every_rate_and_keeps_the_tuning_seeds_apart():
    """Blocks that only try rates fall away, and what was run at one rate is searched for as well."""
    exhibit = exhibits.load("delta-subspace")
    before = exhibit.blocks("paper")
    assert any(RATE not in block for block in before)
    assert any(len(block.get(RATE, [])) > 1 for block in before)
    blocks, _ = overrides.reshape(exhibit, before, {RATE: ["tuned"]}, {})
    assert [(block[RATE], block[TUNING_SEED], block["seed"]) for block in blocks] == [(["tuned"], [200], [0, 1, 2])] * 2
    assert overrides.searched(exhibit, blocks).tuning_seeds() == {200}
    same_seeds = exhibits.load("delta-ranking")
    blocks, _ = overrides.reshape(same_seeds, same_seeds.blocks("embedded"), {RATE: ["tuned"], "method": ["lora"]}, {})
    assert [(block["method"], block[TUNING_SEED], block["seed"]) for block in blocks] == [
        (["lora"], [0], [1, 2, 3, 4, 5])
    ]


def test_a_field_goes_with_the_methods_that_have_it() -> None:
    """The exhibit sets a rank for LoRA and full fine-tuning together, and nobody has asked for one of the latter."""
    exhibit = exhibits.load("regret-rate")
    [block], _ = overrides.reshape(exhibit, exhibit.blocks("quick"), {"method": ["full"]}, {})
    assert not [axis for axis in block if axis.startswith("method.")]
    assert {cell.method.name for cell in grid.expand([block])} == {"full"}


def test_a_search_has_seeds_of_its_own_where_the_exhibit_has_none(exhibit):
    blocks, _ = shaped(exhibit, {RATE: ["tuned"]})
    assert {tuple(block[TUNING_SEED]) for block in blocks} == {(USUAL_SEED,)}
    assert overrides.searched(exhibit, blocks).tuning_seeds() == {USUAL_SEED}
    assert overrides.searched(exhibit, exhibit.blocks("quick")) is exhibit
    blocks, _ = shaped(exhibit, {RATE: ["tuned"], TUNING_SEED: [7, 8]})
    assert {tuple(block[TUNING_SEED]) for block in blocks} == {(7, 8)}


@pytest.mark.parametrize(
    ("name", "chosen", "message"),
    [
        ("dora-table15", {RATE: ["tuned", "x3"]}, "tries none; give recipe.learning_rate=tuned without"),
        ("lr-tuning", {RATE: ["tuned"]}, "compares the same rates on all of its tasks"),
    ],
)
def test_a_search_that_an_exhibit_cannot_make_is_refused(name, chosen, message):
    exhibit = exhibits.load(name)
    with pytest.raises(UsageError, match=message):
        overrides.reshape(exhibit, exhibit.blocks("embedded"), chosen, {})


def test_an_exhibit_may_search_by_itself(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(BLOCKS.replace("seed: [0, 1]}", f"seed: [0, 1], {RATE}: tuned, tuning_seed: 300}}", 1))
    assert exhibits.read(path).tuning_seeds() == {300}


def test_lr_tuning_can_be_run_on_every_embedded_backbone():
    """Its recipe lines are those of one backbone each, so each needs its tasks and methods to exist there."""
    exhibit = exhibits.load("lr-tuning")
    models = options.match("model", "micro-*")
    blocks, _ = overrides.reshape(exhibit, exhibit.blocks("quick"), {"model": models, RATE: ["x1"]}, {})
    cells = grid.expand(blocks)  # raises for what cannot be
    assert {cell.model.name for cell in cells} == set(models)
    assert len(cells) == len(models) * 3 * 6
