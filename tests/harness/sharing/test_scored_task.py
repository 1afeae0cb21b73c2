"""A delta is scored again on the rows of its card, and another person's rows are told apart from them."""

import json
from pathlib import Path
from typing import Any

import pytest

from harness.cli import dispatch
from harness.config.schema import TaskConfig
from harness.errors import UsageError
from harness.sharing import model_card, scored_task
from harness.sharing.scored_task import ScoredTask
from tests.harness.sharing.test_new_folder import CELL

BRIEF = [word for word in CELL if not word.startswith("task")]


def _rows(folder: Path, shop: str = "shop") -> Path:
    folder.mkdir()
    for split, count in (("train", 16), ("validation", 8), ("test", 8)):
        rows = [{"text": f"a {'good' if n % 2 else 'bad'} {shop} {n}", "label": n % 2} for n in range(count)]
        (folder / f"{split}.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return folder


def _pushed(tmp_path: Path, *task: str) -> Path:
    """A folder of a cell on this task."""
    store, to = tmp_path / "store", tmp_path / "pushed"
    assert dispatch.main(["run", "method=bitfit", *BRIEF, *task, f"store={store}"]) == 0
    (key,) = (path.name for path in (store / "cells").glob("*/*"))
    assert dispatch.main(["push", key, "--to", str(to), f"store={store}"]) == 0
    return to


def _scores(capsys: pytest.CaptureFixture[str], folder: Path, *words: str) -> tuple[Any, str]:
    """The scores and what stands on the error stream."""
    capsys.readouterr()
    assert dispatch.main(["delta", "score", str(folder), "--json", "device=cpu", *words]) == 0
    told = capsys.readouterr()
    return json.loads(told.out)["scores"], told.err


def test_rows_are_those_of_the_card_unless_others_are_given(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    to = _pushed(tmp_path, *(word for word in CELL if word.startswith("task")))
    card = model_card.read(to)
    scores, said = _scores(capsys, to)
    assert (scores["test"], said) == (card["scores"]["test"], "")
    scores, said = _scores(capsys, to, "task.test_size=24")
    assert scores["test"]["n"] == 24
    assert "other rows than the card's" in said
    assert said.count("\n") == 1
    description = json.loads((to / "method.json").read_text())
    (to / "method.json").write_text(json.dumps({name: x for name, x in description.items() if name != "rows"}))
    scores, said = _scores(capsys, to)
    assert scores["test"]["n"] > 24, "an earlier version told no sizes"
    assert said == ""


def test_rows_of_ones_own_are_asked_for_and_their_texts_are_known(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = _rows(tmp_path / "rows")
    own = ("task=own", f"task.data_dir={rows}", "task.template={text} :", "task.label_words=[bad,good]")
    to = _pushed(tmp_path, *own, "task.test_size=6")
    assert "    deltabench delta score FOLDER task.data_dir=DATA_FOLDER\n" in (to / model_card.README).read_text()
    assert all(str(tmp_path).encode() not in path.read_bytes() for path in to.iterdir())
    capsys.readouterr()
    assert dispatch.main(["delta", "score", str(to)]) == 2
    told = capsys.readouterr().err
    assert "say where they are: task.data_dir=DATA_FOLDER." in told
    scores, said = _scores(capsys, to, f"task.data_dir={rows}")
    assert (scores["test"], said) == (model_card.read(to)["scores"]["test"], "")
    _, said = _scores(capsys, to, f"task.data_dir={_rows(tmp_path / 'others', 'house')}")
    assert "other rows than the card's" in said
    assert dispatch.main(["pull", str(to), "--to", str(tmp_path / "pulled")]) == 0
    assert capsys.readouterr().out.endswith("task.data_dir=DATA_FOLDER\n")


CONFIG = TaskConfig("mine", test_size=4, digest="d", data_dir="/srv/x", template="{text}", label_words=("bad", "good"))


def test_a_task_of_a_yaml_that_is_elsewhere_is_one_of_its_own() -> None:
    task = scored_task.read("mine", json.loads(json.dumps(scored_task.described(CONFIG))))
    with pytest.raises(UsageError, match=r"its author's own rows \(task mine\).* task\.data_dir=DATA_FOLDER\.$"):
        scored_task.choices(task, {})
    chosen = scored_task.choices(task, {"task.data_dir": ["rows"]})
    assert (chosen["task"], chosen["task.label_words"]) == ("own", [["bad", "good"]])
    assert (chosen["task.test_size"], chosen["task.train_size"]) == ([4], [None])
    assert not {f"task.{name}" for name in ("name", "digest", "data_dir", "files")} & chosen.keys()


def test_fields_belong_to_their_task_alone() -> None:
    task = ScoredTask("micro/sentiment", {"test_size": 4}, "d")
    assert scored_task.choices(task, {"task": ["micro/topic"]}) == {"task": "micro/sentiment"}
    assert scored_task.choices(task, {"task": ["micro/sentiment"]})["task.test_size"] == [4]
    assert scored_task.choices(ScoredTask("micro/sentiment"), {}) == {"task": "micro/sentiment"}


def test_what_a_later_version_adds_is_left_out_and_what_is_no_description_is_refused() -> None:
    task = scored_task.read("x", {"fields": {"beams": 2, "later": 1}, "digest": "d", "places": ["later"]})
    assert task == ScoredTask("x", {"beams": 2}, "d", ())
    for content in ([], {"fields": 1}, {"fields": {"beams": 0}, "digest": "", "places": []}, "text"):
        with pytest.raises(UsageError):
            scored_task.read("x", content)


def test_every_field_of_a_task_travels_or_has_its_reason() -> None:
    apart = {"name", "digest", *scored_task.PLACES}
    assert scored_task.FIELDS.keys() | apart == TaskConfig.__dataclass_fields__.keys()
