"""Every shipped exhibit is sound, and a broken one is named."""

import textwrap
from pathlib import Path

import pytest
import yaml

from harness import assets
from harness.errors import UsageError
from harness.experiments import claims, exhibits, published_rows, view_registry
from harness.experiments.grids.blocks import RATE, values

NAMES = exhibits.names()
GOOD = """
title: t
source: s
view: [ranking]
grid: {quick: [{method: [a, b], model: m, task: t, seed: [0, 1]}]}
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "mine.yaml"
    path.write_text(textwrap.dedent(text))
    return path


def seeds(exhibit: exhibits.Exhibit) -> set[int]:
    return {seed for blocks in exhibit.grids.values() for block in blocks for seed in values(block, "seed")}


def test_there_are_exhibits():
    assert len(NAMES) >= 3


@pytest.mark.parametrize("name", NAMES)
def test_every_exhibit_loads_and_is_headed(name):
    exhibit = exhibits.load(name)
    lines = exhibit.path.read_text().splitlines()
    assert lines[0].startswith("# ")
    assert f"deltabench reproduce {name}" in "\n".join(lines[:3])
    assert all(blocks for blocks in exhibit.grids.values())


def test_every_view_and_claim_leads_to_a_function():
    for view in view_registry.VIEWS.values():
        assert callable(view.function()), view.name
    for claim in claims.CLAIMS.values():
        assert callable(claim.test()), claim.name
        assert all((claim.estimand, claim.direction, claim.scale, claim.sentence, claim.why)), claim.name
        assert claim.margin > 0, claim.name


def test_tuning_seeds_are_used_by_no_exhibit_that_reports_test_scores():
    every = [exhibits.load(name) for name in NAMES]
    tuning = [exhibit for exhibit in every if exhibit.sets == "validation"]
    assert tuning
    for exhibit in tuning:
        for other in every:
            assert other.sets == "validation" or not seeds(exhibit) & seeds(other), (exhibit.name, other.name)


def test_no_rate_is_chosen_on_a_seed_that_is_reported():
    """Where a block tries several rates, some of its seeds are left for a report that chose nothing on them."""
    tried = 0
    for exhibit in map(exhibits.load, NAMES):
        for scale, blocks in exhibit.grids.items():
            for block in blocks if exhibit.sets == "test" and not exhibit.forecast else ():
                if len(values(block, RATE)) < 2 or scale == "paper":
                    continue
                tried += 1
                assert set(values(block, "seed")) & (exhibit.tuning_seeds() | exhibit.declared_tuning), (
                    exhibit.name, scale,
                )  # fmt: skip
    assert tried > 5


def test_every_published_file_names_its_source_and_parses():
    files = sorted(assets.published().glob("*.csv"))
    assert files
    for path in files:
        assert path.read_text().startswith("# "), path.name
        rows = published_rows.read(path)
        assert rows, path.name
        assert all(None not in row for row in rows), path.name


def test_the_order_of_methods_is_known_from_published_orders_alone():
    """No method's and no task's name in the analysis; the expected order is data with its provenance."""
    root = assets.root()
    folders = [root / "conf" / group for group in ("method", "task")]
    names = {str(path.relative_to(folder).with_suffix("")) for folder in folders for path in folder.rglob("*.yaml")}
    quoted = {f'"{name}"' for name in names}
    rooms = [root / "harness" / "analysis" / room for room in ("study", "views", "figures", "output")]
    code = [path for room in rooms for path in room.glob("*.py")]
    code += [root / "harness" / "experiments" / name for name in ("exhibits.py", "claims.py", "verdict.py")]
    assert names
    assert len(code) > 10
    for path in code:
        found = {name for name in quoted if name in path.read_text()}
        assert not found, (path.name, found)
    for row in published_rows.read(assets.published() / "delta_tuning_orders.csv"):
        assert row["provenance"] == "second-hand, order only"


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("titel: x", "unknown field 'titel'.*title"),
        ("view: [rankin]", "view 'rankin'.*ranking"),
        ("claims: [order-of-score]", "claim 'order-of-score'.*order-of-scores"),
        ("claims: [{claim: order-of-scores, margn: 1}]", "no option 'margn'.*margin"),
        (
            "claims: [{scores-above: {left: lora, right: full}}]",
            r"a claim without its name\. Write {claim: scores-above, left: lora, right: full}\.",
        ),
        ("claims: [{scores-above: null, left: lora}]", r"Write {claim: scores-above, left: lora}\."),
        ("claims: [{order-of-score: {}}]", r"Write {claim: NAME}\. Did you mean order-of-scores"),
        ("claims: [{}]", r"Write {claim: NAME}\. Known: "),
        ("published: nothing.csv", "no published numbers 'nothing.csv'"),
        ("sets: train", "sets 'train'"),
        ("tuning_seeds: first", "tuning_seeds is a list of seeds"),
        ("grid: {quick: []}", "grid.quick is not a list of blocks"),
        ("grid: {quick: [{methd: a, model: m, task: t, seed: 0}]}", "unknown axis 'methd'.*method"),
        ("grid: {quick: [{method: a, task: t, seed: 0}]}", "no model"),
        ("grid: {quick: 3}", "grid.quick is not a list of blocks"),
        ("grid: {quick: {model: m, task: t, seed: 0, arms: [a]}}", "grid.quick: arms is a list of choices"),
        ("grid: {quick: {model: m, task: t, seed: 0, arm: [{method: a}]}}", "unknown axis 'arm'.*arms"),
        ("grid: {quick: {model: m, task: t, seed: 0, arms: [{method: a}, {methd: b}]}}", "unknown axis 'methd'"),
        ("grid: {quick: {method: a, model: m, task: t, seed: 0, tuning_seed: 9}}", "tuning_seed needs several rates"),
        ("grid: {quick: {method: a, model: m, task: t, seed: {b: 1}}}", "seed=.*b.*: a seed is a whole number"),
        ("grid: {quick: {method: a, model: m, task: t, seed: 0, tuning_seed: [[9]]}}", "tuning_seed=.*: a seed is"),
        ("grid: mine", "names itself"),
        ("grid: nowhere", "no exhibit 'nowhere'"),
        ("title: ", "'title' is missing"),
        ("floor: nobody", "floor 'nobody' is not one of its methods"),
        ("ceiling: nobody", "ceiling 'nobody' is not one of its methods"),
    ],
)
def test_a_broken_exhibit_is_named_with_the_rule(tmp_path, change, told):
    text = yaml.safe_dump({**yaml.safe_load(GOOD), **yaml.safe_load(change)})
    with pytest.raises(UsageError, match=told) as error:
        exhibits.read(written(tmp_path, text))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("text", ["[1, 2]", "a: [", "\x00", "title: a\ntitle: b\n", "[a, b]: 1", "{a: 1, a: 2}"])
def test_what_is_no_mapping_is_named(tmp_path, text):
    with pytest.raises(UsageError, match=r"mine\.yaml"):
        exhibits.read(written(tmp_path, text))


def test_numbers_without_a_dot_are_numbers(tmp_path):
    text = GOOD.replace("seed: [0, 1]", "seed: [0, 1], recipe.learning_rate: [3e-4, 1.0e-3, x3]")
    block = exhibits.read(written(tmp_path, text)).blocks("quick")[0]
    assert block["recipe.learning_rate"] == [3e-4, 1e-3, "x3"]


def test_one_block_with_arms_and_a_tuning_seed_is_the_blocks_that_it_stands_for(tmp_path):
    """An arm's own choice comes before the block's; arms may have arms; each arm with rates is tuned, then run."""
    short = """{model: m, task: t, seed: [0, 1], method.rank: 8, arms: [
        {method: none},
        {recipe.learning_rate: [x0.3, x1], tuning_seed: 9, arms: [{method: a}, {method: b, method.rank: 2}]}]}"""
    long = [
        {"method": "none", "seed": [0, 1], "method.rank": 8},
        {"method": "a", "seed": 9, "method.rank": 8, "recipe.learning_rate": ["x0.3", "x1"]},
        {"method": "a", "seed": [0, 1], "method.rank": 8, "recipe.learning_rate": "chosen"},
        {"method": "b", "seed": 9, "method.rank": 2, "recipe.learning_rate": ["x0.3", "x1"]},
        {"method": "b", "seed": [0, 1], "method.rank": 2, "recipe.learning_rate": "chosen"},
    ]
    read = exhibits.read(written(tmp_path, f"title: t\nsource: s\nview: [ranking]\ngrid:\n  quick: {short}\n"))
    assert read.blocks("quick") == tuple({"model": "m", "task": "t", **block} for block in long)
    assert read.tuning_seeds() == {9}
    assert read.methods() == ("none", "a", "b")


def test_an_unknown_exhibit_or_scale_names_near_ones(tmp_path):
    with pytest.raises(UsageError, match="delta-ranking"):
        exhibits.load("delta-rankin")
    with pytest.raises(UsageError, match="quick"):
        exhibits.load("delta-ranking").blocks("quik")


def test_a_folder_of_ones_own_comes_first(tmp_path):
    (tmp_path / "exhibit").mkdir()
    written(tmp_path / "exhibit", GOOD)
    assert "mine" in exhibits.names([tmp_path])
    assert exhibits.load("mine", [tmp_path]).methods() == ("a", "b")


def test_installed_packages_bring_exhibits(tmp_path, monkeypatch):
    package = tmp_path / "their_exhibits"
    package.mkdir()
    (package / "__init__.py").write_text("raise RuntimeError('never imported')")
    (package / "theirs.yaml").write_text(GOOD + "published: theirs.csv\n")
    (package / "theirs.csv").write_text("# SOURCE: them\na\n1\n")
    monkeypatch.syspath_prepend(tmp_path)
    entry = exhibits.importlib.metadata.EntryPoint("x", "their_exhibits", exhibits.GROUP)
    monkeypatch.setattr(exhibits.importlib.metadata, "entry_points", lambda group: [entry])
    exhibits._packages.cache_clear()
    try:
        assert exhibits.load("theirs").published == package / "theirs.csv"
    finally:
        exhibits._packages.cache_clear()


def test_what_cannot_be_run_shows_its_published_numbers_alone(capsys):
    from harness.cli import dispatch

    only = [name for name in exhibits.names() if not exhibits.load(name).grids]
    assert only
    for name in only:
        assert dispatch.main(["reproduce", name]) == 0
        assert "published numbers only" in capsys.readouterr().out
        with pytest.raises(UsageError, match="published only"):
            exhibits.load(name).blocks("quick")
