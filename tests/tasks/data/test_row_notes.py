"""Rows of test and validation that are also in train are counted, and so are rows that teach or measure little."""

import json
from pathlib import Path

import pytest

from harness.config.building import build
from harness.config.schema import TaskConfig
from tasks import registry as tasks
from tasks.data import file_formats

ROWS = [{"text": f"row {i}", "label": i % 2} for i in range(40)]


def _leaked(folder: Path, train: list[dict], test: list[dict], **said: object) -> str:
    return tasks.leaked(_config(folder, train, test, **said))


def _config(folder: Path, train: list[dict], test: list[dict], **said: object) -> TaskConfig:
    for split, rows in (("train", train), ("test", test)):
        (folder / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    own = {"name": "mine", "template": "{text}", "label_words": ["no", "yes"], "data_dir": str(folder)}
    return build(TaskConfig, {**own, **said}, "task")


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


@pytest.mark.parametrize(
    ("train", "test", "lines"),
    [
        (ROWS[:20], ROWS[20:], ()),
        (
            [{**row, "label": 1} for row in ROWS[:20]],
            ROWS[20:],
            (
                "all 18 rows of its train split have the label 'yes'; "
                "all 2 rows of its validation split have the label 'yes'",
            ),
        ),
        (ROWS[:20], ROWS[20::2], ("all 10 rows of its test split have the label 'no'",)),
        (ROWS[:20], ROWS[20:21], ()),  # of one row there is nothing to say
        (
            ROWS[:20],
            [*ROWS[20:], *({**row, "label": 1 - row["label"]} for row in ROWS[20:23]), ROWS[30]],
            ("6 of 24 rows of its test split have a text that also has another label there",),
        ),
        (
            ROWS[:20],
            [{**row, "text": " "} for row in ROWS[20:]],
            ("20 of 20 texts of its test split are empty",),
        ),
    ],
    ids=["sound", "train", "test", "one row", "two labels", "empty"],
)
def test_rows_that_teach_or_measure_little_are_counted(
    tmp_path: Path, train: list[dict], test: list[dict], lines: tuple[str, ...]
) -> None:
    assert tasks.notes(_config(tmp_path, train, test)) == lines


def test_a_text_may_have_several_answers_but_not_all_rows_the_same(tmp_path: Path) -> None:
    own = {"label_words": None, "template": "{text}", "columns": {"target": "answer"}}
    rows = [{"text": "a question", "answer": f"answer {i}"} for i in range(20)]
    same = [{"text": f"question {i}", "answer": "yes"} for i in range(20)]
    leaks, line = tasks.notes(_config(tmp_path, rows, same, **own))
    assert leaks == "2 of 2 validation rows are also in train"
    assert line == "all 20 rows of its test split have the answer 'yes'"


def test_rows_are_read_once_for_their_digest_and_their_notes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[Path] = []
    rows = file_formats.rows
    monkeypatch.setattr(file_formats, "rows", lambda path, *names: (read.append(path), rows(path, *names))[1])
    config = tasks.resolve(_config(tmp_path, ROWS, ROWS, name="read-once"))
    assert len(tasks.notes(config)) == 1
    assert sorted(path.name for path in read) == ["test.jsonl", "train.jsonl"]


@pytest.mark.parametrize("name", [name for name, row in tasks.catalogue().items() if row.generated])
def test_our_own_rows_need_no_note(name: str) -> None:
    config = build(TaskConfig, {"name": name}, "task")
    assert tasks.notes(config) == tuple(filter(None, [tasks.leaked(config)]))
