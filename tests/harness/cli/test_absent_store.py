"""A path at which there is no store is refused by every verb that only reads one: it may be mistyped."""

from pathlib import Path

import pytest

from harness.cli import dispatch, pretraining_gate, rate_gate
from harness.errors import UsageError

READING = {
    "status": [["status"], ["status", "method=lora"], ["status", "--json"], ["status", "--watch"]],
    "table": [["table"]],
    "show": [["show", "abcd"]],
    "why": [["why", "abcd"], ["why", "abcd", "ef01"]],
    "probe": [["probe", "abcd", "latency"]],
    "judge": [["judge", "abcd"], ["judge", "abcd", "ef01"]],
    "push": [["push", "abcd", "--to", "there"]],
    "delta": [["delta", "export", "abcd", "--to", "there"]],
    "store": [["store", "export", "all.parquet"], ["store", "gc"], ["store", "rm", "abcd", "--yes"]],
    "check": [["check", "delta-ranking"]],
    "report": [["report"], ["report", "delta-ranking"], ["report", "--reference"]],
    "view": [["view", "--port=0"], ["view", "--port=0", "--reference"]],
}
"""Verb -> commands that read a store."""
OTHER = set("run sweep plan reproduce forecast claims pull list pretrain doctor completion".split())
"""Verbs that make a store or plan for a new one, and those that have none."""


def test_every_verb_is_one_or_the_other() -> None:
    assert set(READING) | OTHER == set(dispatch.verbs())
    assert not set(READING) & OTHER


@pytest.mark.parametrize("words", [words for commands in READING.values() for words in commands], ids=" ".join)
def test_no_verb_takes_a_mistyped_store_for_an_empty_one(
    words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert dispatch.main([*words, "store=nope"]) == 2
    assert capsys.readouterr() == ("", "deltabench: store=nope: there is no store yet; `deltabench run` makes it.\n")
    assert not list(tmp_path.iterdir())


def test_an_earlier_page_survives_a_mistyped_store(tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    page.write_text("the page of a good store")
    assert dispatch.main(["report", f"store={tmp_path / 'nope'}", "--out", str(page)]) == 2
    assert page.read_text() == "the page of a good store"


def test_status_without_a_path_says_how_to_begin(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert dispatch.main(["status"]) == 0
    assert "no cells yet. `deltabench run` makes the first." in capsys.readouterr().out


def test_the_store_of_a_gate_is_no_empty_one(tmp_path: Path) -> None:
    nope = str(tmp_path / "nope")
    with pytest.raises(UsageError, match="there is no store yet"):
        pretraining_gate.main(nope)
    with pytest.raises(UsageError, match="there is no store yet"):
        rate_gate.main(nope, ["model=micro2-t5-nano"])
