"""The command of a cell whose YAML lies in a user's folder plans that cell from anywhere."""

import json
import shlex
from pathlib import Path
from typing import Any

import pytest

from harness import private_paths
from harness.cli import dispatch
from harness.cli.arguments import parse
from harness.config import conf_files
from harness.config.schema import Cell
from harness.experiments import grid
from harness.experiments.rerun_command import command, missing
from harness.store import identity
from harness.store.store import Store

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
