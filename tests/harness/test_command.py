"""The command of a cell whose YAML lies in a user's folder plans that cell from anywhere."""

import json
import shlex
import shutil
from functools import cache
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest

from harness import private_paths
from harness.cli import dispatch
from harness.cli.command_line import parse
from harness.config import conf_files
from harness.config.schema import Cell, ModelConfig
from harness.experiments.grids import grid
from harness.experiments.rerun_command import command, exhibit_words, missing
from harness.models import weight_files
from harness.store import identity
from harness.store.store import Store
from methods import registry as methods

MODEL, TASK = "micro-t5-nano", "micro/sentiment"
ODD = "my conf, with $odd 'signs' #1"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of one's own with a task, a model, a recipe and a method, and with defaults of its own."""
    monkeypatch.setattr(conf_files, "_added", [])
    data, conf = tmp_path / "rows", tmp_path / ODD
    data.mkdir()
    rows = [json.dumps({"text": f"t {i}", "label": i % 2}) for i in range(20)]
    for split in ("train", "test"):
        (data / f"{split}.jsonl").write_text("\n".join(rows))
    said = {
        "task/mine.yaml": f"name: mine\ndata_dir: {data}\ntemplate: '{{text}}'\nlabel_words: [no, yes]\n",
        "task/file.yaml": f"name: called\ndata_dir: {data}\ntemplate: 'x {{text}}'\nlabel_words: [no, yes]\n",
        "task/micro/sentiment.yaml": "name: micro/sentiment\ntrain_size: 64\n",
        "model/own.yaml": "name: own\nfamily: t5\nlocation: micro-t5-nano\nobjective: seq2seq\nrecipe: slow\n",
        "recipe/slow.yaml": "name: slow\nlearning_rate: 1.0e-4\nsteps: 7\n",
        "method/lora.yaml": "name: lora\nrank: 3\n",
        "run.yaml": (
            "defaults: [{method: lora}, {model: own}, {task: mine}, {recipe: null}, _self_]\n"
            "objective: null\nseed: 5\nruntime: {store: s}\n"
        ),
    }
    for name, text in said.items():
        (conf / name).parent.mkdir(parents=True, exist_ok=True)
        (conf / name).write_text(text)
    return conf


def planned(words: list[str]) -> Cell:
    """The cell that the words of a command plan; `--config-dir DIR` first, where they name one."""
    with conf_files.looking_into(Path(words[1]) if words[:1] == ["--config-dir"] else None):
        [cell] = grid.expand([parse(words[2:] if words[:1] == ["--config-dir"] else words).block])
    return cell


CHOICES: list[tuple[list[str], bool]] = [
    (["model=micro-t5-nano", "task=mine"], True),
    (["model=own", "task=file", "recipe.steps=9"], True),
    (["model=own", "task=micro/sentiment", "seed=1"], True),
    (["model=micro-t5-nano", "task=micro/sentiment", "recipe=slow"], True),
    (["model=micro-t5-nano", "task=micro/sentiment", "method=lora"], False),
    (["model=micro-t5-nano", "task=micro/sentiment", "method=full", "recipe.dropout=0"], False),
]


@pytest.mark.parametrize(("words", "needed"), CHOICES)
def test_the_command_plans_the_key(folder: Path, words: list[str], needed: bool) -> None:
    cell = planned(["--config-dir", str(folder), *words])
    cell = identity.from_json(identity.to_json(cell))  # as a record has it
    commands = {command(cell)}
    with conf_files.looking_into(folder):
        commands.add(command(cell))
    assert missing(cell) is None
    for told in map(shlex.split, commands):
        assert told[:2] == ["deltabench", "run"]
        assert (told[2:4] == ["--config-dir", str(folder.resolve())]) == needed
        assert identity.key(planned(told[2:])) == identity.key(cell)


@pytest.mark.parametrize("text", ["", "method=lora,bitfit", "method.targets=[q,v],[q]", "task.template='{a}, \"b\"'"])
@pytest.mark.parametrize("added", [[], ["+task=gain,'odd, name'"]])
def test_the_words_of_an_exhibit_choose_the_same(folder: Path, text: str, added: list[str]) -> None:
    given = parse([*([text] if text else []), *added])
    told = shlex.split(exhibit_words(given.block, given.added))
    again = parse(told)
    assert (again.block, again.added) == (given.block, given.added)
    with conf_files.looking_into(folder):
        *rest, option, place = shlex.split(exhibit_words(given.block, given.added))
    assert (rest, option, place) == (told, "--config-dir", str(folder.resolve()))


def test_a_model_and_rows_of_one_s_own_are_named_from_any_folder(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Words with relative paths, given in one folder; the printed command is run in another one."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(weight_files.folder(ModelConfig(MODEL, "t5")), tmp_path / "model")
    own = ["--config-dir", str(folder), "task=mine", "task.data_dir=rows"]
    cell = planned([*own, "model=any", "model.path=model", "recipe.steps=3", "seed=1"])
    assert (cell.model.path, cell.task.data_dir) == (str(tmp_path / "model"), str(tmp_path / "rows"))
    monkeypatch.chdir(folder)
    assert identity.key(planned(shlex.split(command(cell))[2:])) == identity.key(cell)


def test_the_command_names_a_store_that_is_not_the_usual_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A cell that builds on others finds them there."""
    monkeypatch.setattr(conf_files, "_added", [])
    parents = [f"parents.{role}={{method: full, seed: {seed}}}" for seed, role in enumerate("ab")]
    [cell] = [one for one in grid.expand([parse([f"model={MODEL}", f"task={TASK}", "method=soup", *parents]).block])
              if one.parents]  # fmt: skip
    key = Store(tmp_path / "store").register(cell)
    assert dispatch.main(["show", key, f"store={tmp_path / 'store'}", "--json"]) == 0
    *_, place = told = shlex.split(json.loads(capsys.readouterr().out)["command"])
    assert place == f"store={tmp_path / 'store'}"
    assert [identity.key(one) for one in grid.expand([parse(told[2:]).block])] == [key]


PLUGIN = """
from dataclasses import dataclass
from typing import ClassVar
from methods.base import Method

@dataclass(frozen=True)
class Theirs(Method):
    name: ClassVar[str] = "theirs"
    size: int = 3
"""


def test_the_command_of_a_package_s_method_plans_the_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conf_files, "_added", [])
    (tmp_path / "their_method_file.py").write_text(PLUGIN)
    monkeypatch.syspath_prepend(str(tmp_path))
    point = EntryPoint("theirs", "their_method_file", methods.ENTRY_POINTS)
    monkeypatch.setattr(methods, "entry_points", lambda group: [point])
    monkeypatch.setattr(methods, "catalogue", cache(methods.catalogue.__wrapped__))
    cell = planned([f"model={MODEL}", f"task={TASK}", "method=theirs", "method.size=7", "seed=2"])
    told = shlex.split(command(cell))
    assert told[2] == "method=theirs"
    assert identity.key(planned(told[2:])) == identity.key(cell)


def test_a_folder_that_nobody_named_is_asked_for(folder: Path) -> None:
    """A record of an earlier version does not know its folder; one whose folder is gone names it."""
    cell = planned(["--config-dir", str(folder), "model=own", "task=mine"])
    content: dict[str, Any] = identity.without_runtime(identity.to_json(cell))
    assert ODD not in json.dumps(content)
    assert "holds task/mine.yaml with --config-dir" in str(missing(identity.from_json(content)))
    with conf_files.looking_into(folder):
        assert "--config-dir" in command(identity.from_json(content))
    folder.rename(folder.with_name("moved"))
    assert str(folder) in str(missing(cell))


def test_show_tells_the_command_of_a_folder_s_cell(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    cell = planned(["--config-dir", str(folder), "model=own", "task=mine"])
    key = Store(tmp_path / "store").register(cell)
    assert dispatch.main(["show", key, f"store={tmp_path / 'store'}"]) == 0
    assert f"--config-dir {shlex.quote(str(folder.resolve()))} " in capsys.readouterr().out
    folder.rename(folder.with_name("moved"))
    assert dispatch.main(["show", key, f"store={tmp_path / 'store'}", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["command"] is None
    assert "task/mine.yaml" in told["why_null"]


def test_what_is_passed_on_names_no_folder_of_this_machine(folder: Path) -> None:
    cell = planned(["--config-dir", str(folder), "model=own", "task=mine"])
    told = private_paths.command(command(cell))
    assert "--config-dir FOLDER " in told
    assert str(folder.parent) not in told
    assert str(folder.resolve()) in private_paths.paths(identity.to_json(cell))
