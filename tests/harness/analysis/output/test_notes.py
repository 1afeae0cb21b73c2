"""What every table of scores says of the text that its backbones read."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from harness import assets
from harness.analysis.output import notes
from harness.analysis.study import study
from harness.analysis.study.findings import SEEDS_ALONE
from harness.experiments import exhibits
from harness.store.archive import Run


def test_a_table_says_which_text_a_backbone_cannot_read(make_grid: Callable[..., list[Run]]) -> None:
    """From one percent of a split's tokens, for the inputs and the answers alike."""
    runs = make_grid(methods=("none", "full", "lora"), seeds=range(2))
    read = [one for one in notes.label(study.studies(exhibits.load("delta-ranking"), runs)[0]) if "unknown" in one]
    assert read == []
    for run in runs:
        if run.record["cell"]["task"]["name"] == "micro/qa":
            shares = {"unknown_inputs": {"train": 0.004}, "unknown_answers": {"train": 0.02, "test": 0.123}}
            run.record["notes"] = {**(run.record.get("notes") or {}), **shares}
        elif run.record["cell"]["task"]["name"] == "micro/inference":
            run.record["notes"] = {"unknown_inputs": {"train": 0.009}}
    (here,) = study.studies(exhibits.load("delta-ranking"), runs)
    lines = [one for one in notes.common_notes(here) if "unknown" in one]
    assert lines == ["12% of the tokens of a split of micro/qa are unknown to micro-t5-nano"]


def test_a_table_says_which_rows_are_also_in_train(make_grid: Callable[..., list[Run]]) -> None:
    runs = make_grid(methods=("none", "full", "lora"), seeds=range(2))
    for run in runs:
        if run.record["cell"]["task"]["name"] == "micro/qa":
            run.record["notes"] = {"leaked_rows": "3 of 60 test rows are also in train"}
    (here,) = study.studies(exhibits.load("delta-ranking"), runs)
    assert [line for line in notes.common_notes(here) if "train" in line and "rows" in line.split(",")[-1]] == [
        "in micro/qa, 3 of 60 test rows are also in train"
    ]


def test_a_task_that_a_method_was_not_run_on_is_no_number_of_seeds(make_grid: Callable[..., list[Run]]) -> None:
    runs = make_grid(methods=("full",), tasks=("micro/qa",)) + make_grid(methods=("lora",), tasks=("micro/inference",))
    (made,) = study.studies(exhibits.load("dora-table6"), runs)
    lines = notes.common_notes(made)
    assert any("mean over 3 seeds" in line for line in lines)
    assert any("not every method has a cell on every task" in line for line in lines)
    (whole,) = study.studies(exhibits.load("dora-table6"), make_grid(methods=("full", "lora")))
    assert not any("not every method" in line for line in notes.common_notes(whole))


@pytest.mark.parametrize("path", sorted(assets.reference().glob("*/exhibit.json")), ids=lambda path: path.parent.name)
def test_no_table_says_two_things_of_its_intervals(path: Path) -> None:
    """Intervals are for new rows, or over seeds alone; a remark on both kinds says which columns it means."""
    tables = {table["name"]: table["notes"] for table in json.loads(path.read_text())["tables"]}
    for name, remarks in tables.items():
        assert SEEDS_ALONE not in remarks or not any("and new test rows" in remark for remark in remarks), name


def test_a_label_of_some_models_names_them(make_grid: Callable[..., list[Run]]) -> None:
    """A page with a microworld backbone beside a real one must not call both the microworld's."""
    runs = make_grid(methods=("full", "lora"), models=("micro-t5-nano", "minilm"))
    for run in runs:
        if run.record["cell"]["model"]["name"] == "minilm":
            run.record["cell"]["model"]["source"] = "hub"
    both = study.studies(exhibits.load("delta-ranking"), runs)
    [line] = [line for line in notes.labels(both) if "microworld" in line]
    assert line.startswith("micro-t5-nano: microworld: ")
    [line] = [line for line in notes.labels(both[:1]) if "microworld" in line]
    assert line.startswith("microworld: ")
