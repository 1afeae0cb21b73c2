"""A folder that leaves a store is whole or not there, and its files have the rights that the umask leaves."""

import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from harness.cli import dispatch
from harness.errors import Halted, UsageError
from harness.sharing.new_folder import new_folder
from tests.harness.small_files import small_files

CELL = (
    "model=micro-t5-nano", "task=micro/sentiment", "task.train_size=16", "task.validation_size=8", "task.test_size=8",
    "recipe.steps=2", "recipe.evaluate_every=1", "recipe.batch_size=8", "device=cpu",
)  # fmt: skip
FORMATS = ("deltabench", "peft", "merged")


@contextmanager
def _umask(mask: int) -> Iterator[None]:
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


def _finished(store: Path, mask: int = 0o022) -> str:
    """The key of a cell that ran in this store. A process of its own runs it, as a fork server keeps its umask."""
    words = [sys.executable, "-m", "harness.cli", "run", "method=lora", *CELL, f"store={store}"]
    around = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    subprocess.run(words, cwd=store.parent, env=around, umask=mask, capture_output=True, check=True, timeout=600)
    (key,) = (path.name for path in (store / "cells").glob("*/*"))
    return key


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("store")


@pytest.fixture(scope="module")
def key(store: Path) -> str:
    return _finished(store)


def _writing(key: str, store: Path, to: Path) -> dict[str, list[str]]:
    """The commands that write a folder, by the name of what they write."""
    place = ["--to", str(to), f"store={store}"]
    commands = {form: ["delta", "export", key, "--format", form, *place] for form in FORMATS}
    return commands | {f"push {form}": ["push", key, "--format", form, *place] for form in ("peft", "deltabench")}


def _unlike(folder: Path, mask: int) -> dict[str, str]:
    """The files whose mode is not what the mask leaves to a new file."""
    modes = {str(path): stat.S_IMODE(path.stat().st_mode) for path in folder.rglob("*") if path.is_file()}
    assert modes
    return {path: oct(mode) for path, mode in modes.items() if mode != 0o666 & ~mask}


@pytest.mark.parametrize("mask", [0o022, 0o077])
def test_every_file_has_the_rights_that_the_umask_leaves(mask: int, tmp_path: Path) -> None:
    """A store and a pushed folder may be shared, and safetensors creates its files for their owner alone."""
    with _umask(mask):
        key = _finished(tmp_path / "store", mask)
        for name, words in _writing(key, tmp_path / "store", tmp_path / "to").items():
            assert dispatch.main(words) == 0
            (tmp_path / "to").rename(tmp_path / name)
        assert dispatch.main(["pull", str(tmp_path / "push peft"), "--to", str(tmp_path / "pulled")]) == 0
        bringing = ["delta", "import", str(tmp_path / "pulled"), "--to", str(tmp_path / "ours"), "model=micro-t5-nano"]
        assert dispatch.main(bringing) == 0
    assert _unlike(tmp_path, mask) == {}
    assert len(list(tmp_path.rglob("*.safetensors"))) >= 9


@pytest.mark.parametrize("name", [*FORMATS, "push peft", "push deltabench"])
@pytest.mark.parametrize("there", [False, True])
def test_without_room_nothing_is_left_and_the_same_command_goes_on(
    name: str, there: bool, key: str, store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    to = tmp_path / "to"
    if there:
        to.mkdir(mode=0o750)
    words = _writing(key, store, to)[name]
    before, mode = sorted(tmp_path.rglob("*")), to.stat().st_mode if there else None
    with small_files(4096):
        assert dispatch.main(words) == 1
    assert capsys.readouterr().err == (
        f"deltabench: --to {to}: it cannot be written (File too large), and nothing is left there. "
        "Make room, or name another place.\n"
    )
    assert sorted(tmp_path.rglob("*")) == before
    assert dispatch.main(words) == 0
    assert not there or to.stat().st_mode == mode
    assert list(tmp_path.rglob(".tmp-*")) == []


def _interrupted(folder: Path) -> None:
    with new_folder(folder) as place:
        (place / "file").write_text("half")
        raise KeyboardInterrupt


def test_a_folder_above_is_made_and_goes_again(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        _interrupted(tmp_path / "a" / "b" / "c")
    assert list(tmp_path.iterdir()) == []
    with new_folder(tmp_path / "a" / "b" / "c") as place:
        (place / "file").write_text("whole")
    assert (tmp_path / "a" / "b" / "c" / "file").read_text() == "whole"
    with pytest.raises(UsageError, match="this is not an empty folder"), new_folder(tmp_path / "a"):
        pass


def test_a_file_in_the_way_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    sentence = r"--to .*/file/new: it cannot be written \(Not a directory\)"
    with pytest.raises(Halted, match=sentence), new_folder(tmp_path / "file" / "new"):
        pass
