"""Published data sets: what is reported never selects; Hub and folder are one; bad data are refused in one sentence."""

import json
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import constants

from harness import network
from harness.config.building import build
from harness.config.schema import TaskConfig
from harness.errors import UsageError
from tasks import glue
from tasks import registry as tasks
from tasks.data import data_root, read_before, row_files

NAMES = sorted(glue.TASKS)


def rows(n: int, split: str) -> list[dict]:
    return [{"sentence": f"{split} sentence {i}", "label": int(i % 3 == 0), "idx": i} for i in range(n)]


def write(folder: Path, split: str, content: list[dict]) -> None:
    (folder / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in content))


@pytest.fixture(autouse=True)
def _no_data_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(data_root.VARIABLE, raising=False)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write(tmp_path, "train", rows(300, "train"))
    write(tmp_path, "validation", rows(60, "validation"))
    return tmp_path


def config(folder: Path | None, **values: object) -> TaskConfig:
    return TaskConfig(name="glue/sst2", data_dir=str(folder) if folder else None, **values)  # type: ignore[arg-type]


def test_the_reported_rows_are_the_publishers_validation_and_choose_nothing(folder: Path) -> None:
    splits = tasks.load(config(folder)).splits
    assert {row.fields["sentence"].split()[0] for row in (*splits.train, *splits.validation)} == {"train"}
    assert [row.fields["sentence"] for row in splits.tests["test"]] == [r["sentence"] for r in rows(60, "validation")]


def test_the_carved_validation_is_disjoint_stratified_and_seeded(folder: Path) -> None:
    splits = tasks.load(config(folder, validation_size=60)).splits
    train, validation = ({row.id for row in part} for part in (splits.train, splits.validation))
    assert not train & validation
    assert len(train | validation) == 300
    assert Counter(row.label for row in splits.validation) == {0: 40, 1: 20}
    again = tasks.load(config(folder, validation_size=60, split_seed=1)).splits
    assert {row.id for row in again.validation} != validation
    assert tasks.load(config(folder, validation_size=60)).splits == splits


def test_the_hub_and_a_folder_with_the_same_rows_are_one_task(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    datasets = pytest.importorskip("datasets")

    def load_dataset(hub: str, config_name: str, revision: str, split: str) -> list[dict]:
        assert (hub, config_name, len(revision)) == ("nyu-mll/glue", "sst2", 40)
        return rows(300 if split == "train" else 60, split)

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    monkeypatch.setattr(network, "obstacle", lambda: "")
    assert tasks.resolve(config(None, train_size=100)).digest == tasks.resolve(config(folder, train_size=100)).digest


def test_no_network_is_one_sentence_with_a_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    datasets = pytest.importorskip("datasets")

    def load_dataset(*_: object, **__: object) -> None:
        raise ConnectionError("no route\nto host")

    monkeypatch.setattr(network, "_state", network._State(at=time.monotonic()))  # it answered a moment ago
    monkeypatch.setattr(constants, "HF_HUB_CACHE", "nowhere")
    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    with pytest.raises(UsageError, match=r"could not be read from the Hub .*task\.data_dir=FOLDER"):
        tasks.load(config(None, split_seed=99))
    monkeypatch.delattr(datasets, "load_dataset")
    with pytest.raises(UsageError, match=r"not on this machine, and the Hub did not answer .*no route"):
        tasks.load(config(None, split_seed=98))


@pytest.mark.parametrize(
    ("label", "message"),
    [
        (-1, r"validation row 2, in the test split: label -1 is outside.*publisher hides"),
        (2, r"label 2 is outside.*0=negative"),
    ],
)
def test_a_label_outside_the_words_is_refused(folder: Path, label: int, message: str) -> None:
    content = rows(60, "validation")
    content[1]["label"] = label
    write(folder, "validation", content)
    with pytest.raises(UsageError, match=message):
        tasks.load(config(folder))


@pytest.mark.parametrize("split", ["train", "validation"])
def test_an_empty_split_is_refused(folder: Path, split: str) -> None:
    write(folder, split, [])
    with pytest.raises(UsageError, match=rf"{split}\.jsonl: it has no rows"):
        tasks.load(config(folder))


@pytest.mark.parametrize("field", ["train_size", "validation_size", "test_size"])
def test_a_size_beyond_the_data_is_refused(folder: Path, field: str) -> None:
    with pytest.raises(UsageError, match=rf"task\.{field}=301"):
        tasks.load(config(folder, **{field: 301}))


def test_a_size_cuts_in_proportion_to_the_labels(folder: Path) -> None:
    splits = tasks.load(config(folder, train_size=90, test_size=30)).splits
    assert Counter(row.label for row in splits.train) == {0: 60, 1: 30}
    assert Counter(row.label for row in splits.tests["test"]) == {0: 20, 1: 10}


def test_changed_data_change_the_digest_and_stop_a_planned_cell(folder: Path) -> None:
    planned = tasks.resolve(config(folder))
    assert tasks.load(planned).name == "glue/sst2"
    content = rows(300, "train")
    content[7]["sentence"] += " indeed"
    write(folder, "train", content)
    tasks._read.cache_clear()
    assert tasks.resolve(config(folder)).digest != planned.digest
    with pytest.raises(UsageError, match="data changed since"):
        tasks.load(planned)


def test_every_source_says_where_it_is_and_how_its_schema_is_known() -> None:
    assert NAMES
    assert len(glue.REVISION) == 40
    for name, row in tasks.catalogue().items():
        if row.folder:
            assert row.verified in ("rows", "docs", "unverified"), name
            assert row.size, name
            assert row.source, name
            assert row.files, name


@pytest.mark.parametrize(
    "given", [{"train": "a.jsonl"}, {"train": "a"}, {"validation": "validation.jsonl", "train": "a"}]
)
def test_files_may_have_names_of_their_own(folder: Path, given: dict[str, str]) -> None:
    (folder / "train.jsonl").rename(folder / "a.jsonl")
    named = build(TaskConfig, {"name": "glue/sst2", "data_dir": str(folder), "files": given}, "task")
    assert len(tasks.load(named).splits.train) == 270


def test_a_file_for_no_split_is_refused(folder: Path) -> None:
    with pytest.raises(UsageError, match=r"reads no split 'trian'.*train"):
        tasks.load(config(folder, files=("trian=a.jsonl",)))


def test_columns_may_have_names_of_their_own(folder: Path) -> None:
    renamed = [{"text": row["sentence"], "gold": row["label"]} for row in rows(50, "train")]
    write(folder, "train", renamed)
    write(folder, "validation", renamed)
    told = config(folder, columns=("label=gold", "sentence=text"))
    assert tasks.load(told).splits.tests["test"][3].label == 1
    with pytest.raises(UsageError, match=r"train\.jsonl row 1: the field 'sentence' is missing\. Known: gold, text"):
        tasks.load(config(folder))


@pytest.mark.parametrize("given", [[1, 0, 1], ["1", "0", "1"], ["positive", "Negative", " positive"], [1.0, 0, "1.0"]])
def test_labels_come_as_numbers_texts_and_words(folder: Path, given: list) -> None:
    content = [{**row, "label": label} for row, label in zip(rows(3, "validation"), given, strict=True)]
    write(folder, "validation", content)
    assert [row.label for row in tasks.load(config(folder)).splits.tests["test"]] == [1, 0, 1]


@pytest.mark.parametrize("label", ["good", 0.5, True, [1]])
def test_a_label_that_is_none_is_named(folder: Path, label: object) -> None:
    write(folder, "validation", [{**row, "label": label} for row in rows(2, "validation")])
    with pytest.raises(UsageError, match=r"glue/sst2, .*validation row 1: the field 'label' is .*expected one of"):
        tasks.load(config(folder))


def test_words_template_and_metric_can_be_changed_and_the_digest_knows(folder: Path) -> None:
    plain = tasks.resolve(config(folder)).digest
    changes: list[dict] = [
        {"template": "review : {sentence}"}, {"label_words": ("bad", "good")}, {"metric": "macro_f1"},
    ]  # fmt: skip
    assert len({plain, *(tasks.resolve(config(folder, **change)).digest for change in changes)}) == 4
    with pytest.raises(UsageError, match="has 2 classes"):
        tasks.load(config(folder, label_words=("a", "b", "c")))
    with pytest.raises(UsageError, match=r"lack the template's \{text\}"):
        tasks.load(config(folder, template="{text}"))


def test_one_folder_with_a_folder_per_data_set_serves_them_all(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "sst2").mkdir()
    for split in ("train", "validation"):
        (folder / f"{split}.jsonl").rename(folder / "sst2" / f"{split}.jsonl")
    direct = tasks.resolve(config(folder / "sst2"))
    assert tasks.resolve(config(folder)) == direct
    monkeypatch.setenv(data_root.VARIABLE, str(folder))
    assert tasks.resolve(config(None)) == direct
    monkeypatch.setenv(data_root.VARIABLE, str(folder / "nowhere"))
    with pytest.raises(UsageError, match=r"DELTABENCH_DATA=.*no such folder"):
        tasks.resolve(config(None))


def test_a_split_is_read_once_and_again_where_a_byte_has_changed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However it is cut, and however soon after the last look a file of the same size takes its place."""
    opened, read = Counter[str](), row_files.read_all

    def counting(paths: tuple[Path, ...], *arguments: Any) -> list[dict]:
        opened.update(path.name for path in paths)
        return read(paths, *arguments)

    monkeypatch.setattr(row_files, "read_all", counting)
    sizes = (10, 20, 30)
    digests = [tasks.resolve(config(folder, train_size=size)).digest for size in sizes]
    assert len({*digests}) == len(sizes)
    assert opened == {"train.jsonl": 1, "validation.jsonl": 1}
    path = folder / "validation.jsonl"
    path.write_text(path.read_text().replace("sentence 5", "sentence 6", 1))
    tasks._read.cache_clear()
    assert not {*digests} & {tasks.resolve(config(folder, train_size=size)).digest for size in sizes}
    assert opened == {"train.jsonl": 1, "validation.jsonl": 2}


def test_the_rows_that_are_kept_are_bounded(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(read_before, "MOST_ROWS", 320)
    monkeypatch.setattr(read_before, "_kept", [])
    tasks.load(config(folder, train_size=11))
    assert [len(split.rows) for split in read_before._kept] == [60]
