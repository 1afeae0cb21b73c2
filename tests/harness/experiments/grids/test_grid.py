"""Blocks become cells; whatever ships expands; whatever does not exist is named."""

import dataclasses
import gzip
import json
import random
import shlex
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness import assets
from harness.cli.command_line import parse
from harness.config import compose, conf_files
from harness.config.schema import Cell, RecipeConfig, TaskConfig
from harness.config.yaml_values import flow, quoted
from harness.errors import RowsAbsent, UsageError
from harness.experiments import exhibits
from harness.experiments.grids import axis_choices, declared_types, grid, options
from harness.experiments.rates import rate_tuning
from harness.experiments.rerun_command import command
from harness.store import identity
from harness.store.store import Store
from harness.training.objectives.registry import ANSWERS
from tasks import registry as tasks

MODEL = compose.defaults()["model"]
TASK = compose.defaults()["task"]


def expand(**block: Any) -> list[Cell]:
    """Of the default model and task; `method__rank` is `method.rank`."""
    named = {key.replace("__", "."): value for key, value in block.items()}
    return grid.expand([{"model": MODEL, "task": TASK, **named}])


def test_the_default_is_one_cell() -> None:
    [cell] = grid.expand([{}])
    assert (cell.model.name, cell.task.name, cell.seed) == (MODEL, TASK, 0)
    assert cell.model.revision
    assert cell.task.digest
    assert isinstance(cell.recipe.learning_rate, float)


def test_order_and_product() -> None:
    found = expand(method=["lora", "full"], seed=[1, 0], method__rank=[4, 8])
    assert [(cell.method.name, cell.method.fields.get("rank"), cell.seed) for cell in found] == [
        ("lora", 4, 1), ("lora", 8, 1), ("full", None, 1), ("lora", 4, 0), ("lora", 8, 0), ("full", None, 0),
    ]  # fmt: skip


def test_expansions_inside_one_look_share_what_they_read(monkeypatch: pytest.MonkeyPatch) -> None:
    block = {"model": MODEL, "task": TASK, "method": "lora"}
    with grid.reading_once():
        first = grid.expand([block])
        monkeypatch.setattr(axis_choices, "resolved", lambda *_: pytest.fail("it was resolved again"))
        assert grid.expand([block]) == first
    with pytest.raises(pytest.fail.Exception, match="again"):  # files may have changed since
        grid.expand([block])


def test_blocks_concatenate_and_drop_what_is_there() -> None:
    block = {"model": MODEL, "task": TASK, "method": ["lora", "full"]}
    assert len(grid.expand([block, {**block, "method": "lora"}, {**block, "method": "none"}])) == 3


@pytest.mark.parametrize("group", ["task", "method", "model"])
def test_patterns(group: str) -> None:
    names = options.match(group, "*")
    assert names == sorted(names)
    assert set(names) == set(options.names(group)) - {"own"}, "no pattern stands for what a command line describes"
    assert len(expand(task="micro/senti*")) == len(
        [name for name in options.names("task") if name.startswith("micro/senti")]
    )


@pytest.mark.parametrize("group", conf_files.GROUPS)
def test_every_shipped_yaml_composes_to_flat_fields(group: str) -> None:
    files = conf_files.files(group)
    assert files
    composed = compose.load((group, name) for name in files)
    for name, path in files.items():
        assert composed[group, name]["name"] == name
        assert conf_files.header(path), f"{path.name} has no header"


def test_every_method_expands_with_its_learning_rate() -> None:
    names = options.names("method")
    assert {cell.method.name for cell in expand(method="*")} == {
        compose.load([("method", name)])["method", name]["name"] for name in names
    }


def test_every_exhibit_expands_without_its_rows(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Papers' grids too: neither the Hub nor a local copy is at hand here, so no row is read.

    A model without a verified commit needs the Hub for its plan; its grid is then refused for this reason alone.
    """
    monkeypatch.setattr(tasks, "resolve", lambda config: replace(config, digest=tasks.row(config).metric))
    for name in exhibits.names():
        for scale, blocks in exhibits.load(name).grids.items():
            try:
                assert rate_tuning.expand(blocks, Store(str(tmp_path))).cells, (name, scale)
            except UsageError as error:
                unverified = "at revision main is not whole in the cache" in str(error)
                if not unverified and "weights are not in this copy" not in str(error):
                    raise


def test_learning_rates_are_one_number() -> None:
    [base] = expand(method="lora")
    rates = [
        ("x0.3", base.recipe.learning_rate * 0.3),
        ("x1", base.recipe.learning_rate),
        (0.00123456, 0.001235),
        ({"lora": "3e-3", "default": 1e-3}, 0.003),
        ({"full": 3e-3, "default": 1e-3}, 0.001),
    ]
    for value, expected in rates:
        [cell] = expand(method="lora", recipe__learning_rate=[value])
        assert cell.recipe.learning_rate == pytest.approx(expected, rel=1e-3)
        assert float(f"{cell.recipe.learning_rate:.4g}") == cell.recipe.learning_rate
    [same] = expand(method="lora", recipe__learning_rate=["x1"])
    assert identity.key(same) == identity.key(base)


@pytest.mark.parametrize(
    ("block", "said"),
    [
        ({"method": "lroa"}, "lora"),
        ({"task": "micro/sentimnt"}, "micro/sentiment"),
        ({"task": "nothing/*"}, "no task matches"),
        ({"model": "micro-t5-nan"}, "micro-t5-nano"),
        ({"recipe": "micr"}, "micro"),
        ({"objective": "seq2sec"}, "seq2seq"),
        ({"colour": "red"}, "colour"),
        ({"method": "full", "method.rank": 4}, r"^method full has no field 'rank'\. There are no fields to set\.$"),
        (
            {"method": "ia3", "method.targets": [["q"]]},
            r"^method ia3 has no field 'targets'\. Known: method\.inputs, method\.outputs\.$",
        ),
        ({"method": "ia3", "method.output": [["q"]]}, r"no field 'output'\. Did you mean method\.outputs"),
        ({"method": "ia3", "method.steps": 4}, r"no field 'steps'\. Did you mean recipe\.steps\?"),
        ({"method": "ia3", "method.budget": 0.1}, "^method ia3 has no field 'budget'. It has no size to choose"),
        (
            {"method": ["ia3", "ssf"], "method.rank": 4},
            r"^none of the methods ia3 and ssf has a field 'rank'\. Known: method\.inputs, method\.outputs",
        ),
        ({"method": "lora", "method.rnak": 4}, "rank"),
        ({"method": "lora", "method.name": "x"}, "name"),
        ({"method": "lora", "method.rank": "many"}, "whole number"),
        ({"task.train_sise": 4}, "train_size"),
        ({"task.digest": "abc"}, "digest"),
        ({"task.train_size": -4}, "at least 1"),
        ({"recipe.steps": "x"}, "whole number"),
        ({"recipe.steps": [None]}, "needs a value"),
        ({"recipe.learning_rate": "fast"}, "a number"),
        ({"recipe.learning_rate": "xfast"}, "=xfast: a factor is x and a number above 0"),
        ({"recipe.learning_rate": "x1e308"}, "=x1e308: a factor .* leaves 0.01 a learning rate"),
        ({"recipe.learning_rate": "x2e-38"}, "=x2e-38: a factor .* leaves 0.01 a learning rate"),
        ({"recipe.learning_rate": "x-1"}, "=x-1: a factor is x and a number above 0"),
        ({"recipe.learning_rate": "x0"}, "=x0: a factor is x and a number above 0"),
        ({"method": "full", "recipe.learning_rate": [{"lora": 1e-3}]}, "no number for full"),
        ({"recipe.learning_rate": [{"lroa": 1e-3, "default": 1}]}, "lora"),
        ({"seed": -1}, "whole number"),
        ({"seed": "one"}, "whole number"),
        ({"seed": 2**40}, "whole number"),
        ({"seed": []}, "empty"),
        ({"model.path": "/no/such/folder"}, "no such folder"),
        ({"model.weights": "imagined"}, "random"),
        ({"model.family": "bert"}, "config.json says t5"),
        ({"model.revision": "abc"}, "model.revision=abc"),
        *(
            ({f"model.{name}": "abc", "model.path": "/no/such"}, f"model.{name}=abc: .* of model.path=/no/such,")
            for name in axis_choices.OVERRULED
        ),
        ({"model.source": "package", "model.location": "no.such.package"}, "not installed"),
        ({"task.data_dir": "/some/folder"}, "reads no files"),
    ],
)
def test_what_does_not_exist_is_named(block: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        grid.expand([{"model": MODEL, "task": TASK, **block}])


def test_malformed_words_expand_or_are_refused() -> None:
    """Random values for every choice: cells or a sentence, never a traceback."""
    draw = random.Random(1)
    keys = ["method", "model", "task", "recipe", "objective", "seed", "method.rank", "method.targets", "recipe.steps"]
    keys += ["recipe.learning_rate", "recipe.precision", "task.train_size", "model.weights", "model.attention"]
    values = [
        "",
        "*",
        "[",
        "x",
        "x1",
        "-1",
        "0",
        "1e400",
        "null",
        "true",
        "[]",
        "{}",
        "{a: 1}",
        "[[q]]",
        "../../x",
        "~",
    ]
    values += [
        "lora",
        "full",
        "micro/*",
        "'",
        "a,b",
        "9" * 50,
        "1.5",
        "[1,2]",
        "!!python/object:os.system",
        "${oc.env:X}",
    ]
    refused = 0
    for _ in range(150):
        chosen = draw.sample(keys, draw.randrange(1, 4))
        try:
            grid.expand([parse([f"{key}={draw.choice(values)}" for key in chosen]).block])
        except UsageError:
            refused += 1
    assert refused > 50


def test_a_folder_of_the_users_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conf_files, "_added", [])
    folder = tmp_path / "my conf, with odd = signs"
    (folder / "method").mkdir(parents=True)
    (folder / "method" / "lora-big.yaml").write_text("# mine\nname: lora\nrank: 64\n")
    conf_files.use(str(folder))
    [cell] = expand(method="lora-big")
    assert (cell.method.name, cell.method.fields["rank"]) == ("lora", 64)
    with pytest.raises(UsageError, match="no such folder"):
        conf_files.use(str(tmp_path / "nothing"))


def test_yaml_of_a_user_that_is_no_choice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conf_files, "_added", [])
    (tmp_path / "method").mkdir()
    (tmp_path / "method" / "worse.yaml").write_text("- a list\n")
    (tmp_path / "method" / "torn.yaml").write_text("name: [lora\n")
    (tmp_path / "method" / "twice.yaml").write_text("name: lora\nrank: 1\nrank: 2\n")
    (tmp_path / "method" / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    conf_files.use(str(tmp_path))
    assert conf_files.header(tmp_path / "method" / "binary.yaml") == ""
    for name in ("worse", "torn", "twice"):
        with pytest.raises(UsageError):
            expand(method=name)
    with pytest.raises(UsageError, match="not UTF-8"):
        expand(method="binary")


def _variants() -> list[dict[str, Any]]:
    return [
        {},
        {"method": "lora", "method.rank": 3, "method.targets": [["q", "o"]], "seed": 5},
        {"recipe.learning_rate": 0.00125, "recipe.steps": 7, "recipe.dropout": 0.25},
        {"task.train_size": 64, "model.weights": "random"},
    ]


def _again(cell: Cell) -> list[Cell]:
    """The cells that the printed command of a cell plans."""
    program, verb, *words = shlex.split(command(cell))
    assert (program, verb) == ("deltabench", "run")
    if words[0] == "--config-dir":  # the folder that is looked into here anyway
        assert Path(words[1]) == conf_files.added()
        del words[:2]
    return grid.expand([parse(words).block])


@pytest.mark.parametrize("block", _variants())
def test_the_command_of_a_cell_makes_that_cell(block: dict[str, Any]) -> None:
    [cell] = grid.expand([{"model": MODEL, "task": TASK, **block}])
    assert _again(cell) == [cell]


ODD = [
    "a, b", "a #1", "x: y", "it's", '"q"', "[x", "x]", "{", "null", "true", "no", "010", "1e3", " ", "ü 😀", "a+b",
    "a=b", "line\nbreak", "\\", "$HOME", "`x`", "-1", "a  b", "*", "?", "~",
]  # fmt: skip


def _odd_blocks(folder: Path) -> Iterator[dict[str, Any]]:
    """Cells with odd values in every kind of text field."""
    for place, odd in enumerate(ODD):
        data = folder / f"{place} {odd}"
        data.mkdir()
        rows = [{"text": f"{i} {odd}", "label": ("no", "yes")[i % 2]} for i in range(20)]
        for split in ("train", "test"):
            (data / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        named = {"task.labels": [["no", "yes"]], "task.label_words": [[odd.strip() or "w", "other"]]}
        yield {"task": "mine", "task.data_dir": str(data), **named}
        yield {"task": "mine", "task.data_dir": str(data), "task.template": odd.replace("{", "{{") + "{text}"}
        yield {"method": "prompt", "method.init": "text", "method.text": odd}
        yield {"method": "lora", "method.targets": [[odd.strip() or "w", "q"]], "parents": None}
        part = f"lora targets={flow([odd.strip() or 'w', 'q'])}"
        yield {"method": "combine", "method.parts": [[f"prompt init=text text={quoted(odd)}", part]]}


def test_the_command_of_an_odd_cell_makes_that_cell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """plan(command(cell)) == key, whatever the texts of a cell are."""
    monkeypatch.setattr(compose, "_composed", {})  # options of other tests have the same names
    monkeypatch.setattr(conf_files, "_added", [])
    (tmp_path / "task").mkdir()
    yaml = 'name: mine\ntemplate: "{text}"\nlabel_words: [no, yes]\n'
    (tmp_path / "task" / "elsewhere.yaml").write_text(yaml.replace("mine", "other-name"))
    (tmp_path / "task" / "mine.yaml").write_text(yaml)
    conf_files.use(str(tmp_path))
    seen = 0
    for block in _odd_blocks(tmp_path):
        chosen = {name: value for name, value in block.items() if value is not None}
        [cell] = grid.expand([{"model": MODEL, "task": TASK, **chosen}])
        assert [identity.key(one) for one in _again(cell)] == [identity.key(cell)], (chosen, command(cell))
        seen += 1
    assert seen == 5 * len(ODD)
    [cell] = grid.expand([{"model": MODEL, "task": "elsewhere", "task.data_dir": str(tmp_path / "0 a, b")}])
    assert cell.task.name == "other-name"
    assert _again(cell) == [cell]


def _reference_cells() -> list[Cell]:
    """One cell of each kind among the committed records: what differs in seed and rate only is said alike."""
    found: dict[str, Cell] = {}
    for path in sorted(assets.reference().glob("*/records.jsonl.gz")):
        with gzip.open(path, "rt", encoding="utf-8") as lines:
            for line in lines:
                cell = identity.from_json(json.loads(line)["record"]["cell"])
                one_rate = replace(cell.recipe, learning_rate=1.0)
                alike = replace(cell, seed=0, recipe=one_rate, task=replace(cell.task, digest="", name=""), parents=())
                found.setdefault(identity.key(alike), cell)
    return list(found.values())


@pytest.mark.slow
def test_the_commands_of_reference_records_make_their_cells() -> None:
    """Where the model and the rows are here; the keys are those that the records have."""
    tried = 0
    for cell in _reference_cells():
        with suppress(RowsAbsent):
            assert [identity.key(one) for one in _again(cell)] == [identity.key(cell)], command(cell)
            tried += 1
    assert tried > 50


@pytest.mark.parametrize("name", ["2024", "null", "1e3", "über", "a'b", "x=y", "on"])
def test_an_option_may_have_any_name(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compose, "_composed", {})  # options of other tests have the same names
    monkeypatch.setattr(conf_files, "_added", [])
    (tmp_path / "method").mkdir()
    (tmp_path / "method" / f"{name}.yaml").write_text("name: lora\nrank: 010\ntargets: [on, 010]\n")
    conf_files.use(str(tmp_path))
    [cell] = grid.expand([parse([f"method={name}", f"model={MODEL}", f"task={TASK}"]).block])
    assert (cell.method.name, cell.method.fields["rank"]) == ("lora", 10)
    assert cell.method.fields["targets"] == ("010", "on")


def test_a_package_in_the_head_of_a_choice_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compose, "_composed", {})  # options of other tests have the same names
    monkeypatch.setattr(conf_files, "_added", [])
    (tmp_path / "task").mkdir()
    (tmp_path / "task" / "far.yaml").write_text("# @package _global_\nname: far\n")
    conf_files.use(str(tmp_path))
    with pytest.raises(UsageError, match=r"far.*@package"):
        expand(task="far")


def test_a_hundred_cells_compose_each_choice_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compose, "_composed", {})
    calls: list[Any] = []
    real: Callable[..., Any] = compose._hydra

    def counted() -> Any:
        calls.append(1)
        return real()

    monkeypatch.setattr(compose, "_hydra", counted)
    found = expand(method="*", seed=list(range(20)))
    assert len(found) >= 100
    assert len(calls) <= 3


def test_every_objective_is_one_that_can_be_chosen() -> None:
    assert set(options.match("objective", "*")) == set(ANSWERS)


def _idle() -> list[str]:
    """Return every field that enters no key, of which a recipe or any task may have two values."""
    kinds = {"recipe": RecipeConfig, "task": TaskConfig}
    fields = ((group, field) for group, kind in kinds.items() for field in dataclasses.fields(kind))
    return [f"{group}.{field.name}" for group, field in fields if field.metadata["kind"] == "runtime"]


@pytest.mark.parametrize("key", [key for key in _idle() if declared_types.kind(key) in ("int", "float")])
def test_two_choices_of_what_no_result_depends_on_are_refused(key: str) -> None:
    block = {"method": "lora", "model": "micro-t5-nano", "task": "micro/sentiment", key: [0.5, 1]}
    if declared_types.kind(key) == "int":
        block[key] = [7, 8]
    if len({*map(identity.key, grid.expand([{**block, key: value} for value in block[key]]))}) > 1:
        assert len(grid.expand([block])) == 2, "it leads to other rows or other answers"
        return
    with pytest.raises(UsageError, match=rf"{key}=.*both give the same result, so they are one cell"):
        grid.expand([block])
    assert len(grid.expand([{**block, key: [block[key][0]] * 2}])) == 1
