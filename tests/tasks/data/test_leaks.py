"""Rows of test and validation that are also in train are counted."""

import json
from pathlib import Path

import pytest

from harness.config.building import build
from harness.config.schema import TaskConfig
from tasks import registry as tasks

ROWS = [{"text": f"row {i}", "label": i % 2} for i in range(40)]


def _leaked(folder: Path, train: list[dict], test: list[dict], **said: object) -> str:
    for split, rows in (("train", train), ("test", test)):
        (folder / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    own = {"name": "mine", "template": "{text}", "label_words": ["no", "yes"], "data_dir": str(folder)}
    return tasks.leaked(build(TaskConfig, {**own, **said}, "task"))


def test_no_row_twice_is_nothing_to_say(tmp_path: Path) -> None:
    assert _leaked(tmp_path, ROWS[:20], ROWS[20:]) == ""


@pytest.mark.parametrize("shots", [0, 2])
def test_the_same_file_as_train_and_test(tmp_path: Path, shots: int) -> None:
    """Four rows were carved from train for validation; demonstrations before a row do not hide it."""
    said = "40 of 40 test rows are also in train (4 of them in the part that is kept for validation)"
    assert _leaked(tmp_path, ROWS, ROWS, shots=shots) == said


def test_another_label_is_the_same_row_and_doubles_reach_validation(tmp_path: Path) -> None:
    other = [{**row, "label": 1 - row["label"]} for row in ROWS[:3]]
    assert _leaked(tmp_path, ROWS[:30], [*other, *ROWS[30:]], validation_size=1).startswith("3 of 13 test rows")
    assert "20 of 20 validation rows" in _leaked(tmp_path, [*ROWS[:20]] * 4, ROWS[20:], validation_size=20)
