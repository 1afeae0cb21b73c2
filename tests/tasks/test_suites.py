"""Every published task is read from local files in its publisher's schema; rows here are made up, one per schema."""

import gzip
import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from harness.config.schema import TaskConfig
from harness.errors import UsageError
from harness.training.objectives import registry as objectives
from tasks import registry as tasks
from tasks.data import data_root, dataset
from tasks.data.dataset import Source
from tasks.metrics.label_metrics import METRICS

PUBLISHED = {
    name: row.load.args[0]
    for name, row in tasks.catalogue().items()
    if isinstance(row.load, partial) and row.load.func is dataset.load
}
ASKED = (
    "Please choose the correct answer to the question: {}?\n\nAnswer1: a Answer2: b\n\nAnswer format: answer1/answer2"
)
SPECIAL: dict[str, Any] = {
    "answers": {"text": ["a b", "b"], "answer_start": [0, 2]}, "choices": {"text": ["x", "y"], "label": ["A", "B"]},
    "answerKey": "B", "instruction": ASKED, "input": "", "output": "the correct answer is answer2",
    "answer": "answer2", "endings": ["x", "y"], "label": 1,
}  # fmt: skip
ENTITIES = {"superglue/record": {"answers": ["Ann", "Ann B."]}, "gsm8k": {"answer": "1+1=2\n#### 2"},
            "metamath": {"answer": "so\n#### 3"}, "alpaca": {"output": "done", "instruction": "do"},
            "winogrande": {"answer": "2"}}  # fmt: skip


@pytest.fixture(autouse=True)
def _no_data_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(data_root.VARIABLE, raising=False)


def fake(name: str, source: Source, split: str, n: int) -> list[dict[str, Any]]:
    own = source.test_source if source.test_source and split in source.tests.values() else source
    special = {**SPECIAL, **ENTITIES.get(name, {})}
    if own.reader.names and own.reader.label not in ("right", ""):
        special[own.reader.label] = own.reader.names[1]
    rows = []
    for i in range(n):
        row = {field: special.get(field, f"{field} {split} {i}") for field in own.reader.schema}
        row |= {field: 2.5 + i % 2 for field, kind in own.reader.schema.items() if kind is float}
        row |= {"instruction": row["instruction"].format(f"{split} {i}")} if "instruction" in row else {}
        rows.append({**row, "extra": [i], "id": "7"})
    return rows


def build(folder: Path, name: str, source: Source, n: int = 30) -> Path:
    for split in source.splits():
        path = folder / f"{source.places.get(split, (split,))[-1].removeprefix('../')}.jsonl.gz"
        path.parent.mkdir(parents=True, exist_ok=True)
        content = "".join(json.dumps(row) + "\n" for row in fake(name, source, split, n))
        path.write_bytes(gzip.compress(content.encode()))
    return folder


def test_there_are_suites() -> None:
    suites = {name.partition("/")[0] for name in PUBLISHED}
    assert {"glue", "superglue", "commonsense", "squad", "trec", "gsm8k", "alpaca"} <= suites
    assert len(PUBLISHED) > 45


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_local_folder_in_the_publishers_schema_is_the_task(tmp_path: Path, name: str) -> None:
    source = PUBLISHED[name]
    places = source.places.get("test", ())
    if any(place.startswith("../") for place in places):
        (tmp_path / "train").mkdir()
        folder = build(tmp_path / "train", name, source)
    else:
        folder = build(tmp_path, name, source)
    task = tasks.load(TaskConfig(name, data_dir=str(folder)))
    splits = task.splits.named()
    ids = {split: {row.id for row in rows} for split, rows in splits.items()}
    assert not ids["train"] & ids["validation"]
    for split in task.splits.tests:
        assert not ids[split] & (ids["train"] | ids["validation"])
        assert task.splits.tests[split]
    row = task.splits.train[0]
    assert task.target(row)
    assert "{" not in task.text(row)
    targets = [list(row.references) or task.target(row) for row in task.splits.validation]
    if task.answer == "text":
        figures = METRICS[task.metric](targets, [task.target(row) for row in task.splits.validation])
        assert figures[task.metric] == pytest.approx(1.0, abs=1e-9) or task.metric in ("pearson", "bleu")
    else:
        assert row.label == 1
        assert len(task.options(row)) > 1
    assert any(task.answer in able for able in objectives.ANSWERS.values())


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_missing_field_is_named_with_file_and_row(tmp_path: Path, name: str) -> None:
    source = PUBLISHED[name]
    folder = build(tmp_path, name, source, n=3)
    field = next(iter(source.reader.schema))
    rows = fake(name, source, source.train, 3)
    del rows[1][field]
    path = next(path for path in folder.rglob("*.gz") if source.train.split("/")[-1] in path.name or "395K" in path.name
                or "alpaca_data" in path.name or "dolly" in path.name or "170k" in path.name)  # fmt: skip
    path.write_bytes(gzip.compress("".join(json.dumps(row) + "\n" for row in rows).encode()))
    with pytest.raises(UsageError, match=rf"{path.name} row 2: the field '{field}' is missing"):
        tasks.load(TaskConfig(name, data_dir=str(folder)))


def test_no_two_tasks_read_one_folder_with_different_schemas() -> None:
    """In a data root, a folder's name says what its rows look like."""
    seen: dict[str, set[str]] = {}
    for name, source in PUBLISHED.items():
        seen.setdefault(tasks.find(name).folder, set()).add(str(sorted(source.reader.schema)))
    assert {folder: schemas for folder, schemas in seen.items() if len(schemas) > 1} == {}


def test_rows_without_an_answer_are_left_out_where_the_publisher_has_them(tmp_path: Path) -> None:
    folder = build(tmp_path, "snli", PUBLISHED["snli"])
    rows = fake("snli", PUBLISHED["snli"], "test", 4)
    rows[0]["label"] = -1
    path = folder / "test.jsonl.gz"
    path.write_bytes(gzip.compress("".join(json.dumps(row) + "\n" for row in rows).encode()))
    assert [row.id for row in tasks.load(TaskConfig("snli", data_dir=str(folder))).splits.tests["test"]] == [
        "test-1", "test-2", "test-3",
    ]  # fmt: skip
