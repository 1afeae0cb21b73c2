"""`report`: one file, a sentence for what cannot be, and nothing written into the store."""

import re
from pathlib import Path

import pytest

from harness.cli import dispatch
from harness.store.store import Store
from tests.harness.analysis.page.made_pages import fill


def call(*words: str | Path) -> int:
    return dispatch.main(["report", *map(str, words)])


def test_a_store_becomes_one_file(store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fill(store)
    out = tmp_path / "deep" / "page.html"
    assert call("--store", store.path, "--out", out) == 0
    assert out.read_text().startswith("<!doctype html>")
    assert re.search(rf"{re.escape(str(out))}: 7 attempts, 1 exhibit, \d\.\d MB", capsys.readouterr().out)


def test_an_empty_store_is_a_page_that_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "page.html"
    (tmp_path / "new" / "cells").mkdir(parents=True)
    assert call(f"store={tmp_path / 'new'}", "--out", out) == 0
    assert "This store has no record yet." in capsys.readouterr().out
    assert "This store has no record yet." in out.read_text()
    assert [path.name for path in (tmp_path / "new").rglob("*")] == ["cells"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["delta-rankin", "--reference"], "there is no reference run named 'delta-rankin'"),
        (["--reference", "--out", "."], "this is a folder; name a file"),
        (["--reference", "minilm", "--out", "/proc/none/page.html"], "it cannot be written"),
        (["method=lora"], "a page takes names of exhibits and store=DIR"),
        (["--store", "a", "store=b"], "give one of them"),
    ],
)
def test_a_mistake_is_one_sentence(words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(*words) == 2
    assert said in capsys.readouterr().err
