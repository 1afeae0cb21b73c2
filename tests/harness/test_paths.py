"""`~` is the home folder in every setting and option that names a place."""

from pathlib import Path

import pytest

from harness.cli import command_line
from harness.cli.commands import pretrain, reproduce
from harness.config import conf_files
from harness.config.schema import TaskConfig
from harness.errors import UsageError
from harness.paths import located
from harness.sharing import transfer
from tasks.data import split_files


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(conf_files, "_added", [])
    return tmp_path


def test_every_place_knows_the_home_folder(home: Path) -> None:
    (home / "conf").mkdir()
    (home / "x.jsonl").write_text("{}\n")
    conf_files.use("~/conf")
    assert conf_files.folders()[0] == home / "conf"
    assert command_line.parse(["store=~/store"]).configure({}).store == str(home / "store")
    assert command_line.parse([]).configure({"store": "~/store"}).store == str(home / "store")
    assert reproduce._folder("~/out", None, "quick") == home / "out"  # type: ignore[arg-type]
    assert pretrain._choices(["model=m", "out=~/out"]) == ("m", home / "out")
    assert transfer.place("~/to") == home / "to"
    assert split_files.given(Path(), "~/x.jsonl", "train") == (home / "x.jsonl",)
    assert TaskConfig("t", data_dir="~/x").data_dir == "~/x"  # it is expanded where it is read, not in a record


def test_a_home_that_is_nobodys_is_a_sentence() -> None:
    with pytest.raises(UsageError, match="no such home folder"):
        located("~nobody-of-this-name/x")
