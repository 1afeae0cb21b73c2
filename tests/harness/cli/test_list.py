"""`deltabench list tasks`: source, size, verification, and what can run here from which folder."""

import json
from pathlib import Path

import pytest

from harness.cli.commands.list import table
from harness.cli.dispatch import main
from harness.config import conf_files
from methods import registry as methods
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


def said(capsys: pytest.CaptureFixture[str], *words: str) -> list[str]:
    assert main(["list", *words]) == 0
    return capsys.readouterr().out.splitlines()


def rows_of(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, dict]:
    return {row["name"]: row for row in json.loads("\n".join(said(capsys, *words, "--json")))}


def test_a_word_filters_by_name_then_by_text_and_a_pattern_by_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert set(rows_of(capsys, "methods", "LoRA")) == {"adalora", "lora", "qlora", "randlora"}
    assert set(rows_of(capsys, "tasks", "superglue/*")) >= {"superglue/rte"}
    assert not any(name.startswith("glue/") for name in rows_of(capsys, "tasks", "superglue/*"))
    assert set(rows_of(capsys, "methods", "kopiczko")) == {"vera"}  # no name has the word, a text has it
    assert main(["list", "tasks", "glu/sst2"]) == 2
    assert "has 'glu/sst2'. Did you mean glue/sst2" in capsys.readouterr().err


def test_a_long_suite_is_one_line_until_a_word_asks_for_it(capsys: pytest.CaptureFixture[str]) -> None:
    lines = said(capsys, "tasks")
    assert [line for line in lines if line.startswith("crossfit/")] == [
        line for line in lines if line.startswith("crossfit/*") and "160 tasks" in line
    ]
    assert sum(line.startswith("crossfit/") for line in said(capsys, "tasks", "crossfit")) == 160
    assert sum(name.startswith("crossfit/") for name in listed(capsys)) == 160


@pytest.mark.parametrize("columns", [40, 80, 200])
@pytest.mark.parametrize("what", ["methods", "tasks", "claims", "views", "exhibits", "fields"])
def test_lines_fit_the_terminal(
    what: str, columns: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    for line in said(capsys, what):
        assert len(line) <= columns or " " not in line.strip(), line


def test_without_a_terminal_every_row_is_one_whole_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    assert len(said(capsys, "claims")) == len(rows_of(capsys, "claims"))


def test_claims_have_their_options_and_views_their_kind(capsys: pytest.CaptureFixture[str]) -> None:
    claims = rows_of(capsys, "claims")
    assert claims["comparable-in-most-cases"]["options"] == {"margin": 0.05, "near": 0.05}
    assert "delta-ranking" in claims["order-of-scores"]["exhibits"]
    views = rows_of(capsys, "views")
    assert (views["ranking"]["kind"], views["ranking-figure"]["kind"]) == ("table", "figure")
    assert all(row["about"].endswith(".") for row in views.values())
    assert any("Options: margin=0.05, near=0.05." in line for line in said(capsys, "claims"))


def test_fields_name_the_values_of_another_library_that_run(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    assert main(["list", "fields", "peft"]) == 0
    lines = dict(line.split("  ", 1) for line in capsys.readouterr().out.splitlines())
    assert lines["method.peft_type=ADALORA"].strip().startswith("Runs: update_and_allocate")
    assert lines["method.peft_type=XLORA"].strip() == "Refused: it mixes adapters that are trained already"
    assert "Refused: it needs initialize_lora_eva" in lines["method.settings=[init_lora_weights=eva]"]


def test_fields_of_an_option_have_its_values_and_every_declared_field_a_meaning(
    capsys: pytest.CaptureFixture[str],
) -> None:
    lora = rows_of(capsys, "fields", "lora")
    assert (lora["method.rank"]["value"], lora["method.targets"]["value"]) == (8, ["q", "v"])
    assert "2 * rank" in lora["method.alpha"]["about"]
    assert "does not shrink as the rank grows" in lora["method.rslora"]["about"]
    assert lora["method.start_batches"]["about"].startswith("eva, corda and lora_ga look at the first `start_batches`")
    assert "batches" not in lora["method.init"]["about"]
    assert rows_of(capsys, "fields", "micro")["recipe.learning_rate"]["value"]["default"]
    recipe = rows_of(capsys, "fields", "recipe")
    assert recipe["recipe.steps"]["rule"] == "at least 0 and at most 10000000"
    assert set(rows_of(capsys, "fields", "rate")) >= {"recipe.learning_rate"}
    every = [rows_of(capsys, "fields"), *(rows_of(capsys, "fields", name) for name in methods.catalogue())]
    assert [name for rows in every for name, row in rows.items() if len(row["about"].split()) < 3] == []
    assert len(every) > 20
    assert main(["list", "fields", "adapterbias"]) == 0
    assert capsys.readouterr().out == "adapterbias has no fields to set.\n"
    assert main(["list", "fields", "lroa"]) == 2
    assert "Did you mean lora" in capsys.readouterr().err
