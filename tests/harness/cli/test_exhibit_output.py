"""`reproduce --format`: the tables alone on standard output, all else on the error stream."""

import csv
import io
import json
import sys
from pathlib import Path

import pytest

from harness.analysis import report
from harness.cli import exhibit_output
from harness.errors import UsageError
from harness.experiments import exhibits


@pytest.fixture
def folder(tmp_path: Path, make_grid, monkeypatch: pytest.MonkeyPatch) -> Path:  # type: ignore[no-untyped-def]
    monkeypatch.setattr(report, "_draw", lambda *_: ([], {}))
    report.render(exhibits.load("delta-ranking"), "quick", make_grid(), tmp_path)
    return tmp_path


def test_each_form_is_what_the_folder_has(folder: Path) -> None:
    text = exhibit_output.written(folder, "csv")
    assert text.startswith((folder / "ranking.csv").read_text())
    assert next(csv.reader(io.StringIO(text)))[:2] == ["model", "method"]
    assert exhibit_output.written(folder, "latex").startswith((folder / "ranking.tex").read_text())
    assert exhibit_output.written(folder, "md").startswith((folder / "ranking.md").read_text())
    assert json.loads(exhibit_output.written(folder, "json"))["exhibit"] == "delta-ranking"


def test_only_the_tables_are_on_standard_output(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with exhibit_output.chosen("latex", opened=False) as output:
        print("a line about the sweep")
        output.show(folder, exhibits.load("delta-ranking"))
    shown = capsys.readouterr()
    assert shown.err == "a line about the sweep\n"
    assert shown.out.startswith(r"\begin{table}")
    with exhibit_output.chosen("text", opened=False) as output:
        assert output.stream is sys.stdout


def test_an_unknown_form_is_a_sentence() -> None:
    with pytest.raises(UsageError, match="--format tex: it must be one of text, csv, md, latex, json"):
        exhibit_output.chosen("tex", opened=False).__enter__()


def test_open_writes_the_page_and_opens_it(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    opened: list[str] = []
    monkeypatch.setattr("webbrowser.open", lambda url: opened.append(url) or True)
    with exhibit_output.chosen("text", opened=True) as output:
        output.show(folder, exhibits.load("delta-ranking"))
    assert opened == [(folder / exhibit_output.PAGE).resolve().as_uri()]
    assert "Scores of the delta-tuning methods" in (folder / exhibit_output.PAGE).read_text()
    assert "page: " in capsys.readouterr().err
