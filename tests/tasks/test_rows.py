"""Schemas verified on real rows: read in place from a data root, skipped with the reason where there is none."""

import os
from pathlib import Path

import pytest

from harness.config.schema import TaskConfig
from harness.errors import UsageError
from tasks import registry as tasks
from tasks.base import TaskRow
from tasks.data import data_root, row_files, split_files
from tasks.data.dataset import Source

ROOT = Path(os.environ.get(data_root.VARIABLE) or Path(__file__).parents[3] / "shared" / "data")
# Tasks that are mixed from others have no folder: their rows are those of their parts.
VERIFIED = {name: row for name, row in tasks.catalogue().items() if row.verified == "rows" and row.folder}

pytestmark = pytest.mark.skipif(not ROOT.is_dir(), reason="no real rows; set DELTABENCH_DATA to a folder of them")


def source_of(row: TaskRow) -> Source:
    source: Source = row.load.args[0]  # type: ignore[attr-defined]
    return source


@pytest.mark.parametrize("name", VERIFIED)
def test_some_real_rows_have_the_schema(name: str) -> None:
    """At least one split of every task that says so; all rows where the file is small."""
    row = VERIFIED[name]
    source, folder = source_of(row), ROOT / row.folder
    splits = [split for split in source.splits() if split_files.has(folder, split, source.places.get(split, ()))]
    if not splits and not any(folder.glob("validation_*")):
        pytest.skip(f"{folder.name} is not in this data root")
    for split in splits or ["validation_1000"]:
        own = source.test_source if source.test_source and split in source.tests.values() else source
        rows = row_files.read_all(split_files.find(folder, split, source.places.get(split, ())), own.reader.schema)
        examples = [own.reader.example(str(i), one, f"{name} {split} {i}") for i, one in enumerate(rows[:3000])]
        assert examples
        words = row.label_words
        # A number to predict (STS-B's similarity) is a label too, but not the index of a word.
        indices = [(one.label, one.choices or words) for one in examples if isinstance(one.label, int)]
        assert all(0 <= label < len(options) for label, options in indices)
        if row.answer != "text":
            assert all(one.label is None or isinstance(one.label, int) for one in examples)
        assert all(one.target or one.label is not None for one in examples)


@pytest.mark.parametrize("name", ["glue/cola", "glue/rte", "glue/stsb", "trec", "mr", "arc_easy", "commonsense/arc-c"])
def test_a_task_loads_from_the_data_root(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(data_root.VARIABLE, str(ROOT))
    if data_root.offline(tasks.find(name)) is None:
        pytest.skip(f"{name} is not in this data root")
    resolved = tasks.resolve(TaskConfig(name, test_size=100))
    assert resolved.data_dir
    task = tasks.load(resolved)
    assert {len(rows) for rows in task.splits.tests.values()} == {100}
    texts = {task.text(row) for row in task.splits.train} & {task.text(row) for row in task.splits.validation}
    assert len(texts) < 0.05 * len(task.splits.validation)  # some publishers repeat rows


def test_the_stand_in_for_the_mixture_trains_in_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(data_root.VARIABLE, str(ROOT))
    config = TaskConfig("commonsense_170k", files=("train=mix_20k_train.jsonl.gz",), train_size=200, test_size=50)
    try:
        task = tasks.load(config)
    except UsageError as error:
        pytest.skip(str(error))
    assert {"boolq", "piqa", "siqa", "winogrande", "arc-e", "arc-c", "obqa"} <= set(task.splits.tests)
    assert len(task.splits.train) == 200
