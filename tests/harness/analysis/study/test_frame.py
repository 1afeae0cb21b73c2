"""Records become rows: labels, roles, archives."""

import gzip
import json

import pytest

from harness.analysis.study import frame
from harness.errors import UsageError
from harness.experiments.grids import labels
from harness.store import archive
from harness.store.columns import method_fields


def write_archive(path, runs):
    with gzip.open(path, "wt") as file:
        for run in runs:
            file.write(json.dumps({"record": run.record, "curve": list(run.curve)}) + "\n")
    return path


def test_an_archive_gives_back_its_records(tmp_path, make_grid):
    runs = make_grid()
    read = archive.from_archive(write_archive(tmp_path / "records.jsonl.gz", runs))
    assert frame.scores(read).equals(frame.scores(runs))
    assert frame.curves(read).equals(frame.curves(runs))


@pytest.mark.parametrize(
    "content",
    [
        b"no gzip",
        gzip.compress(b"{]\n", mtime=0),
        gzip.compress(b'{"curve": []}\n', mtime=0),
        gzip.compress(b"[1]\n", mtime=0),
    ],
)
def test_a_file_that_is_no_archive_is_named(tmp_path, content):
    path = tmp_path / "records.jsonl.gz"
    path.write_bytes(content)
    with pytest.raises(UsageError, match=r"records\.jsonl\.gz"):
        archive.from_archive(path)


def test_sets_of_other_roles_are_not_read(make_grid):
    runs = make_grid()
    for run in runs:
        run.record["scores"]["best"]["sets"]["test"] = {"accuracy": object()}  # any use of it would fail
    scores = frame.scores(runs, ("validation",))
    assert set(scores["set"]) == {"validation"}
    assert set(scores.checkpoint) == {"best", "last"}
    assert set(frame.curves(runs, ("validation",))["set"]) == {"validation"}


def test_a_failure_is_a_row_and_not_a_score(make_run):
    runs = [make_run("lora", "micro/qa", 0), make_run("lora", "micro/qa", 1, status="oom")]
    assert list(frame.scores(runs).seed.unique()) == [0]
    failed = frame.failures(runs)
    assert failed.status.tolist() == ["oom"]
    assert failed.reason.tolist() == ["loss is not finite"]


def test_variants_are_told_apart_by_the_fewest_fields(make_run):
    runs = [make_run("lora", "micro/qa", 0, fields={"rank": r, "alpha": 2 * r, "targets": ["q", "v"]}) for r in (4, 8)]
    runs.append(make_run("full", "micro/qa", 0))
    assert list(frame.scores(runs).arm.unique()) == ["lora rank=4", "lora rank=8", "full"]


def test_a_field_that_follows_the_task_makes_no_variant(make_run):
    runs = [make_run("lora", task, 0, steps=steps) for task, steps in (("micro/qa", 100), ("micro/sentiment", 200))]
    assert list(frame.scores(runs).arm.unique()) == ["lora"]


def test_two_sizes_of_one_task_are_two_columns(make_run):
    runs = [make_run("lora", "micro/qa", 0), make_run("lora", "micro/qa", 1)]
    for run, size in zip(runs, (100, 400), strict=True):
        run.record["cell"]["task"]["train_size"] = size
    assert list(frame.scores(runs).task.unique()) == ["micro/qa train_size=100", "micro/qa train_size=400"]


def test_several_reported_sets_stand_apart(make_run):
    from harness.analysis.study import selection

    run = make_run("lora", "micro/qa", 0)
    run.record["task_facts"]["tests"] = ["easy", "hard"]
    for point in run.record["scores"].values():
        point["sets"] |= {"easy": {"accuracy": 0.9, "n": 10}, "hard": {"accuracy": 0.3, "n": 10}}
    rows = frame.scores([archive.Run(run.record)])
    panel = selection.panel(rows[rows.checkpoint == "best"], "test", ())
    assert panel.tasks == ("micro/qa:easy", "micro/qa:hard")


def test_test_sets_come_in_the_order_of_their_task(make_run):
    """An archive sorts the fields of its records, so their own order is not the task's."""
    run = make_run("lora", "micro/qa", 0)
    run.record["task_facts"]["tests"] = ["one", "another"]
    for point in run.record["scores"].values():
        point["sets"] |= {"another": {"accuracy": 0.9, "n": 10}, "one": {"accuracy": 0.3, "n": 10}}
    rows = frame.scores([archive.Run(run.record)])
    assert list(rows[rows.role == "test"].set.unique()) == ["one", "another"]


def test_distinguishing_needs_no_field_for_equal_rows():
    assert labels.distinguishing([{"rank": 1}, {"rank": 1}]) == ()
    assert labels.distinguishing([{"a": 1, "b": 1}, {"a": 1, "b": 2}, {"a": 2, "b": 2}]) == ("a", "b")


def test_a_record_from_before_a_field_existed_has_it_at_its_default(make_run):
    old, new = make_run("lora", "micro/qa", 0), make_run("lora", "micro/qa", 1)
    new.record["cell"]["recipe"] |= {"accumulate": 1, "loss_on": "answer"}
    new.record["cell"]["task"] |= {"beams": 1}
    assert set(frame.scores([old, new]).arm) == {"lora"}
    new.record["cell"]["method"] |= {"rslora": False, "rank": 8}
    assert set(frame.scores([old, new]).arm) == {"lora"}
    new.record["cell"]["recipe"]["accumulate"] = 4
    assert set(frame.scores([old, new]).arm) == {"lora accumulate=1", "lora accumulate=4"}


def test_a_field_that_follows_from_another_is_no_label():
    """Archives have their fields sorted, alpha before rank; what was varied is the rank."""
    fields = [{"alpha": 2 * rank, "dropout": 0.0, "name": "lora", "rank": rank} for rank in (4, 8)]
    told = labels.labels(["lora", "lora"], [0, 0], [method_fields(one) for one in fields])
    assert told == ["lora rank=4", "lora rank=8"]
    alone = [{**fields[0], "alpha": alpha} for alpha in (4, 8)]
    assert labels.labels(["lora"] * 2, [0, 0], list(map(method_fields, alone))) == ["lora alpha=4", "lora alpha=8"]


def test_a_methods_own_dropout_is_not_the_recipes(make_run):
    own = [make_run("lora", "micro/qa", 0, fields={"dropout": dropout}) for dropout in (0.0, 0.1)]
    assert set(frame.scores(own).arm) == {"lora dropout=0.0", "lora dropout=0.1"}
    recipes = [make_run("lora", "micro/qa", 0, fields={"dropout": 0.0}) for _ in range(2)]
    recipes[0].record["cell"]["recipe"]["dropout"] = 0.1
    assert set(frame.scores(recipes).arm) == {"lora recipe.dropout=0.1", "lora recipe.dropout=None"}


def test_a_field_on_an_axis_is_in_no_label(make_run):
    cells = [
        make_run(method, "micro/qa", 0, fields={"rank": rank, "alpha": 2 * rank}).record["cell"]
        for method, rank in (("lora", 4), ("lora", 8), ("dora", 4), ("dora", 8))
    ]
    assert [one.arm for one in labels.of_cells(cells)] == ["lora rank=4", "lora rank=8", "dora rank=4", "dora rank=8"]
    assert [one.arm for one in labels.of_cells(cells, ["method.rank"])] == ["lora", "lora", "dora", "dora"]
