"""`deltabench list tasks`: source, size, verification, and what can run here from which folder."""

import json
from pathlib import Path

import pytest

from harness.cli.commands.list import table
from harness.cli.dispatch import main
from harness.config import conf_files
from tasks import registry as tasks
from tasks.data import data_root


def listed(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, dict]:
    assert main(["list", "tasks", "--json", *words]) == 0
    return {row["name"]: row for row in json.loads(capsys.readouterr().out)}


def test_every_task_says_where_it_is_from_and_how_it_is_known(capsys: pytest.CaptureFixture[str]) -> None:
    rows = listed(capsys)
    assert set(rows) >= set(tasks.catalogue())
    for name, row in rows.items():
        assert row["about"], name
        assert row["source"], name
        assert row["verified"] in ("rows", "docs", "unverified", "generated", "own"), name


def test_a_data_root_tells_what_runs_offline(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv(data_root.VARIABLE, raising=False)
    assert listed(capsys)["trec"]["offline"] is None
    (tmp_path / "trec").mkdir()
    (tmp_path / "trec" / "train.jsonl").write_text("{}\n")
    monkeypatch.setenv(data_root.VARIABLE, str(tmp_path))
    assert listed(capsys)["trec"]["offline"] is None  # its test rows are missing
    (tmp_path / "trec" / "test.csv.gz").write_bytes(b"")
    rows = listed(capsys)
    assert rows["trec"]["offline"] == str(tmp_path / "trec")
    assert rows["micro/sentiment"]["offline"] == "generated"
    lines = table(list(rows.values()))
    assert str(tmp_path / "trec") in next(line for line in lines if line.startswith("trec "))
    assert "tasks, " in lines[-1]
    monkeypatch.setenv(data_root.VARIABLE, str(tmp_path / "nowhere"))
    assert main(["list", "tasks"]) == 2
    assert "no such folder" in capsys.readouterr().err


def test_a_task_of_ones_own_is_listed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(conf_files, "_added", [])
    (tmp_path / "task").mkdir()
    (tmp_path / "task" / "mine.yaml").write_text(f"# Mine.\nname: mine\ndata_dir: {tmp_path}\ntemplate: '{{text}}'\n")
    (tmp_path / "task" / "broken.yaml").write_text("[")
    rows = listed(capsys, "--config-dir", str(tmp_path))
    assert rows["mine"]["offline"] == str(tmp_path)
    assert rows["mine"]["about"] == "Mine."
    assert rows["broken"]["offline"] is None
