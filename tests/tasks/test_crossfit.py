"""CrossFit's tasks: the published table and a folder that its script would build."""

from pathlib import Path

import pytest

from harness.config.schema import TaskConfig
from harness.errors import UsageError
from tasks import crossfit
from tasks import registry as tasks
from tasks.data import data_root
from tasks.metrics.label_metrics import METRICS


@pytest.fixture(autouse=True)
def _no_data_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(data_root.VARIABLE, raising=False)


def built(folder: Path, name: str, shots: int = 16, seeds: tuple[int, ...] = (100, 13, 21, 42, 87)) -> Path:
    """As FewshotGymDataset.write_to_tsv writes: one line a row, input, tab, output; several outputs by tabs."""
    (folder / name).mkdir(parents=True)
    for seed in seeds:
        for split, n in (("train", 4), ("dev", 3), ("test", 6)):
            lines = [f'{split} {seed} "row {i}\t{1 + i % 2}' + ("\t2" if i == 0 else "") for i in range(n)]
            path = folder / name / f"{name}_{shots}_{seed}_{split}.tsv"
            path.write_text("\n".join([*lines, "an empty line?", ""]) + "\n", encoding="utf-8")
    return folder


def test_the_table_gives_160_tasks_with_known_metrics() -> None:
    assert len(crossfit.TASKS) == 160
    assert {row.metric for row in crossfit.TASKS.values()} <= set(METRICS)
    assert all("few-shot" in row.size for row in crossfit.TASKS.values())


@pytest.mark.parametrize("name", ["glue-sst2", "squad-with_context", "yelp_review_full"])
def test_a_built_folder_is_the_task(tmp_path: Path, name: str) -> None:
    folder = built(tmp_path, name)
    for place in (folder, folder / name):
        task = tasks.load(TaskConfig(f"crossfit/{name}", data_dir=str(place)))
        assert [len(rows) for rows in task.splits.named().values()] == [4, 3, 6]
        assert task.text(task.splits.train[1]) == 'train 100 "row 1'
        assert task.target(task.splits.train[0]) == "1"
        assert task.splits.train[0].references == ("1", "2")
    other = tasks.load(TaskConfig(f"crossfit/{name}", data_dir=str(folder), split_seed=2))
    assert other.splits.train[1].fields["input"].startswith("train 21")


def test_the_data_root_serves_them_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    built(tmp_path / "crossfit", "glue-cola")
    monkeypatch.setenv(data_root.VARIABLE, str(tmp_path))
    assert tasks.load(TaskConfig("crossfit/glue-cola")).metric == "matthews"
    assert data_root.offline(tasks.find("crossfit/glue-cola")) == tmp_path / "crossfit"
    assert data_root.offline(tasks.find("crossfit/glue-sst2")) is None


def test_a_folder_that_was_not_built_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"built by its script .*task\.data_dir=FOLDER"):
        tasks.load(TaskConfig("crossfit/glue-sst2"))
    with pytest.raises(UsageError, match=r"no files glue-sst2_SHOTS_100_train\.tsv"):
        tasks.load(TaskConfig("crossfit/glue-sst2", data_dir=str(tmp_path)))
    folder = built(tmp_path, "glue-sst2", seeds=(100,))
    (folder / "glue-sst2" / "glue-sst2_16_100_dev.tsv").unlink()
    with pytest.raises(UsageError, match=r"glue-sst2_16_100_dev\.tsv: it cannot be read"):
        tasks.load(TaskConfig("crossfit/glue-sst2", data_dir=str(folder)))
    (folder / "glue-sst2" / "glue-sst2_16_100_dev.tsv").write_text("no tab here\n")
    with pytest.raises(UsageError, match="no line `input <tab> output`"):
        tasks.load(TaskConfig("crossfit/glue-sst2", data_dir=str(folder)))
