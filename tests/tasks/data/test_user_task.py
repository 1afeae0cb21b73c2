"""A task that is a YAML and files: what it may say, and what is refused in one sentence."""

import csv
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import datasets
import pandas as pd
import pytest

from harness.config import conf_files
from harness.config.building import build
from harness.config.schema import TaskConfig
from harness.errors import UsageError
from harness.experiments.grids import grid, options
from tasks import registry as tasks
from tasks.base import NUMBERS
from tasks.data import user_task
from tasks.data.row_reader import index

PAIRS = [{"s1": f"a dog {i}", "s2": "an animal", "gold": ["no", "yes", "maybe"][i % 3]} for i in range(60)]
TEXTS = [{"doc": f"long text {i}", "summary": f"text {i}"} for i in range(40)]
QUIZ = [{"q": f"question {i}", "a": "one", "b": "two", "right": i % 2} for i in range(40)]
LABELLED = {
    "template": "premise : {premise} hypothesis : {hypothesis}", "label_words": ["no", "yes", "maybe"],
    "columns": {"premise": "s1", "hypothesis": "s2", "label": "gold"},
}  # fmt: skip
TOLD = {"template": "summarize : {doc}", "columns": {"target": "summary"}, "metric": "rouge_l"}
CHOSEN = {"template": "{q}", "columns": {"choices": ["a", "b"], "label": "right"}}


def write(path: Path, rows: list[dict]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def config(**values: Any) -> TaskConfig:
    return build(TaskConfig, {"name": "mine", **values}, "task")


@pytest.mark.parametrize(
    ("rows", "said", "answer"), [(PAIRS, LABELLED, "label"), (TEXTS, TOLD, "text"), (QUIZ, CHOSEN, "choice")]
)
def test_a_yaml_and_files_are_a_task(tmp_path: Path, rows: list[dict], said: dict, answer: str) -> None:
    write(tmp_path / "train.jsonl", rows)
    write(tmp_path / "dev.jsonl", rows[:9])
    write(tmp_path / "test.jsonl", rows[:6])
    task = tasks.load(config(data_dir=str(tmp_path), **said))
    assert task.answer == answer
    assert {name: len(part) for name, part in task.splits.named().items()} == {
        "train": len(rows),
        "validation": 9,
        "test": 6,
    }
    row = task.splits.train[1]
    assert task.target(row) == {"label": "yes", "text": "text 1", "choice": "two"}[answer]
    assert task.options(row) == {"label": ("no", "yes", "maybe"), "text": (), "choice": ("one", "two")}[answer]
    assert "{" not in task.text(row)


def test_without_a_test_the_validation_rows_are_the_test_and_without_both_it_is_carved(tmp_path: Path) -> None:
    write(tmp_path / "train.jsonl", PAIRS)
    carved = tasks.load(config(data_dir=str(tmp_path), **LABELLED)).splits
    assert [len(rows) for rows in carved.named().values()] == [49, 5, 6]
    other = tasks.load(config(data_dir=str(tmp_path), split_seed=1, **LABELLED)).splits
    assert other.tests == carved.tests
    assert other.validation != carved.validation
    write(tmp_path / "valid.jsonl", PAIRS[:7])
    tasks._read.cache_clear()
    splits = tasks.load(config(data_dir=str(tmp_path), **LABELLED)).splits
    assert [len(rows) for rows in splits.named().values()] == [54, 6, 7]


def test_a_file_of_rows_that_no_split_reads_is_named(tmp_path: Path) -> None:
    given = config(data_dir=str(tmp_path), **LABELLED)
    for name in ("train.jsonl", "dev-00000-of-00001.jsonl", "dataset_info.json"):
        write(tmp_path / name, PAIRS)
    assert user_task.unread(given) == ""
    write(tmp_path / "testing.jsonl", PAIRS[:9])
    (tmp_path / "notes.txt").write_text("no rows", encoding="utf-8")
    assert user_task.unread(given).startswith(f"no split reads testing.jsonl in {tmp_path}.")
    assert user_task.unread(given) in tasks.notes(given)
    assert user_task.unread(replace(given, files=("train=train.jsonl", "test=testing.jsonl"))) == ""


def test_quotes_of_a_tsv_are_text_and_are_counted(tmp_path: Path) -> None:
    """A program writes them around a text with quotes; around one with a line break they cannot be read at all."""
    rows = [{"s1": 'he said "hi"' if i % 3 else f"a dog {i}", "s2": "a word", "gold": i % 3} for i in range(60)]
    pd.DataFrame(rows).to_csv(tmp_path / "train.tsv", sep="\t", index=False)
    given = config(data_dir=str(tmp_path), **LABELLED)
    assert "40 of 120 texts stand in quotes" in " ".join(tasks.notes(given))
    pd.DataFrame(rows).to_csv(tmp_path / "train.csv", index=False)
    (tmp_path / "train.tsv").unlink()
    assert "quotes" not in " ".join(tasks.notes(replace(given, split_seed=1)))
    (tmp_path / "train.csv").unlink()
    pd.DataFrame([{**row, "s1": f"two\nlines {i}"} for i, row in enumerate(rows)]).to_csv(
        tmp_path / "train.tsv", sep="\t", index=False
    )
    with pytest.raises(UsageError, match="row 1 has a text in quotes that goes on in the next line"):
        tasks.load(replace(given, split_seed=2))
    pd.DataFrame([{**row, "s1": "a\ttab"} for row in rows]).to_csv(tmp_path / "train.tsv", sep="\t", index=False)
    with pytest.raises(UsageError, match="row 1 has more values than the header, one of them in quotes"):
        tasks.load(replace(given, split_seed=3))
    pd.DataFrame(PAIRS).to_csv(tmp_path / "train.tsv", sep="\t", index=False, quoting=csv.QUOTE_ALL)
    with pytest.raises(UsageError, match=r"names of its columns stand in quotes.*Save the rows as \.csv"):
        tasks.load(replace(given, split_seed=4))


def test_hidden_test_labels_make_the_validation_rows_the_test(tmp_path: Path) -> None:
    write(tmp_path / "train.jsonl", PAIRS)
    write(tmp_path / "test.jsonl", [{**row, "gold": -1} for row in PAIRS])
    with pytest.raises(UsageError, match=r"test labels are all -1, hidden, and it has no validation"):
        tasks.load(config(data_dir=str(tmp_path), **LABELLED))
    write(tmp_path / "validation.jsonl", PAIRS[:9])
    splits = tasks.load(config(data_dir=str(tmp_path), **LABELLED)).splits
    assert [len(rows) for rows in splits.named().values()] == [54, 6, 9]


def test_files_name_the_splits_and_several_tests(tmp_path: Path) -> None:
    for name in ("a", "easy", "hard"):
        write(tmp_path / f"{name}.jsonl", TEXTS)
    files = {"train": "a.jsonl", "easy": "easy.jsonl", "hard": str(tmp_path / "hard.jsonl")}
    splits = tasks.load(config(data_dir=str(tmp_path), files=files, **TOLD)).splits
    assert list(splits.tests) == ["easy", "hard"]


def test_labels_may_be_any_values_in_the_order_of_the_words(tmp_path: Path) -> None:
    write(tmp_path / "train.jsonl", [{"text": f"t {i}", "label": ["1 star", "5 stars"][i % 2]} for i in range(40)])
    said = {"template": "{text}", "label_words": ["bad", "good"], "labels": ["1 star", "5 stars"]}
    task = tasks.load(config(data_dir=str(tmp_path), **said))
    assert {task.target(row) for row in task.splits.train} == {"bad", "good"}


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"template": "{text}"}, r"say where its rows are: task\.data_dir=FOLDER"),
        ({"template": "text", "data_dir": "."}, "names no column"),
        ({"template": "{text", "data_dir": "."}, "Write {{ for a brace"),
        ({"template": "{}", "data_dir": "."}, "empty braces name no column"),
        ({"template": "{text}", "answer": "label", "data_dir": "."}, "give its label words"),
        ({"template": "{text}", "data_dir": "nowhere"}, "no such folder"),
        ({"template": "{text}", "metric": "blue", "data_dir": "{folder}"}, "no metric 'blue'.*bleu"),
        ({"data_dir": "."}, r"there is no task 'mine'\. .* needs task\.template.*as in \{text\}\.$"),
    ],
)
def test_what_is_missing_is_one_sentence(tmp_path: Path, said: dict, message: str) -> None:
    write(tmp_path / "train.jsonl", [{"text": str(i), "target": "b"} for i in range(40)])
    said = {name: str(value).replace("{folder}", str(tmp_path)) for name, value in said.items()}
    with pytest.raises(UsageError, match=message):
        tasks.load(config(**said))


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"label_words": [["a"], "b"]}, "a list of texts"),
        ({"label_words": []}, "a list of texts"),
        ({"columns": "gold"}, "names with names"),
        ({"columns": {"label": ""}}, "names with names"),
        ({"answer": "guess"}, "label, choice, text"),
        ({"template": [3]}, "it must be text"),
    ],
)
def test_a_field_of_another_form_is_refused(said: dict, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        config(**said)


def test_the_configuration_goes_to_json_and_back() -> None:
    from harness.store.identity import _flat

    told = config(files={"train": "a.csv"}, **LABELLED)
    again = build(TaskConfig, json.loads(json.dumps(_flat(told, ("identity", "runtime")))), "task")
    assert again == told
    assert hash(again) == hash(told)
    assert user_task.is_own(told)


def test_two_yamls_may_not_claim_one_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conf_files, "_added", [])
    write(tmp_path / "train.jsonl", PAIRS)
    (tmp_path / "task").mkdir()
    said = json.dumps({"name": "mine", "data_dir": str(tmp_path), **LABELLED})  # JSON is YAML
    for name in ("mine", "other"):
        (tmp_path / "task" / f"{name}.yaml").write_text(f"# Mine.\n{said}\n")
    conf_files.use(str(tmp_path))
    block = {"model": "micro-t5-nano", "method": "lora"}
    assert grid.expand([{**block, "task": "mine"}])[0].task.name == "mine"
    with pytest.raises(UsageError, match="two YAML files claim the task 'mine': mine and other"):
        grid.expand([{**block, "task": ["mine", "other"]}])


@pytest.mark.parametrize(
    ("names", "value", "wanted"),
    [
        (("-1", "1"), -1, 0), (("-1", "1"), -1.0, 0), (("-1", "1"), "1.0", 1), (("-1", "1"), 0, None),
        (("1", "2"), 2.0, 1), (("1", "2"), 0, None), (("1", "2", "many"), 0, None), (("1", "2", "many"), "many", 2),
        (("bad", "good"), 1.0, 1), (("bad", "good"), "1", 1), (("bad", "good"), True, None), (("0", "1"), 1, 1),
        (("false", "true"), True, 1), (("good", "Good"), "Good", 1), (("good", "Good"), "GOOD", None),
        (("bad", "good"), float("nan"), None), (("bad", "good"), 1.5, None), (("bad", "good"), -1, -1),
    ],
)  # fmt: skip
def test_a_label_is_its_name_or_its_index_and_never_both(
    names: tuple[str, ...], value: Any, wanted: int | None
) -> None:
    if wanted is None:
        with pytest.raises(UsageError, match="'label' is"):
            index(value, names, "label", "row 1")
    else:
        assert index(value, names, "label", "row 1") == wanted


@pytest.mark.parametrize(
    "template", ["{doc:d}", "{doc:{width}}", "{doc!x}", "{doc:{doc}}", "{doc:999999999999999999999}"]
)
def test_a_template_is_tried_before_anything_is_planned(tmp_path: Path, template: str) -> None:
    for split in ("train", "test"):
        write(tmp_path / f"{split}.jsonl", TEXTS)
    with pytest.raises(UsageError, match=r"template"):
        tasks.load(config(**{**TOLD, "template": template}, data_dir=str(tmp_path)))


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"columns": {"lable": "gold"}}, r"\{lable: gold\}: lable is no field of task mine, which reads text, label\."),
        ({"columns": {"label": "gold", "target": "gold"}}, "target is no field"),
        ({"columns": {"label": "gold", "choices": ["a", "b"]}, "answer": "label"}, "choices is no field"),
        ({"columns": {"label": "gold", "choises": ["a", "b"]}, "answer": "choice"}, "choises is no.*reads text, label"),
        ({"answer": "text", "columns": {"label": "gold"}, "label_words": None}, "label is no field of.*text, target"),
        ({"columns": {"label": "gold"}, "label_words": None}, "text, target. Labels are read where task.label_words"),
        ({"answer": "text", "columns": {"target": "gold"}}, "task.label_words: the answers of task mine are texts"),
        ({"columns": {"label": "c"}}, r"label 2 is outside the label words \(0=no, 1=yes\).*task\.labels="),
        ({"labels": ["no", "no"]}, "a label stands there twice"),
        ({"labels": ["no"]}, r"there are 2 label words \(no, yes\)"),
        ({"name": "trec", "template": None, "label_words": None, "labels": ["a", "b"]}, "trec knows the order"),
        ({"name": "trec", "template": None, "label_words": None, "columns": {"texts": "a"}}, "texts is no field"),
        ({"name": "micro/sentiment", "columns": {"review": "a"}, "data_dir": None}, "is generated"),
        ({"name": "micro/sentiment", "files": {"train": "a.csv"}, "data_dir": None}, "is generated"),
        ({"name": "trec", "label_words": None, "columns": {"text": "a"}, "data_dir": None}, "add task.data_dir=FOLDER"),
    ],
)
def test_a_name_that_would_not_be_read_is_refused(tmp_path: Path, said: dict, message: str) -> None:
    rows = [{"text": f"t {i}", "gold": ["no", "yes"][i % 2], "a": "x", "b": "y", "c": 2} for i in range(40)]
    write(tmp_path / "train.jsonl", rows)
    usual = {"template": "{text}", "label_words": ["no", "yes"], "data_dir": str(tmp_path)}
    with pytest.raises(UsageError, match=message):
        tasks.load(config(**{**usual, **said}))


@pytest.mark.parametrize(
    "said",
    [
        {"template": "{text} {label}"},
        {"template": "{text} {gold}", "columns": {"label": "gold"}},
        {"template": "{text} {hint}", "columns": {"label": "gold", "hint": "gold"}},
        {"template": "{text} {target}", "answer": "text", "label_words": None},
        {"template": "{text} {gold}", "columns": {"target": "gold"}, "label_words": None},
        {"template": "{text} {right}", "columns": {"choices": ["a", "b"], "label": "right"}, "label_words": None},
        {"name": "trec", "template": None, "label_words": None, "columns": {"text": "coarse_label"}},
        {"name": "trec", "template": "{text}", "label_words": None, "columns": {"text": "l", "coarse_label": "l"}},
    ],
)
def test_no_input_is_read_from_the_column_of_the_answer(tmp_path: Path, said: dict) -> None:
    rows = [
        {**dict.fromkeys(("text", "label", "gold", "target", "right", "l"), "no"), "a": "no", "b": "yes", "place": 0}
    ] * 40
    write(tmp_path / "train.jsonl", rows)
    usual = {"template": "{text}", "label_words": ["no", "yes"], "data_dir": str(tmp_path)}
    with pytest.raises(UsageError, match=r"its input \{\w+\} is the column '\w+', which holds the answer"):
        tasks.load(config(**{**usual, **said}))
    shown = {"template": "{text} {a} {b}", "columns": {"choices": ["a", "b"], "label": "place"}, "label_words": None}
    tasks.load(config(**{**usual, **shown}))


def test_columns_may_have_any_name_and_lie_inside_objects(tmp_path: Path) -> None:
    """Of JSON lines, of JSON in a CSV and of a Parquet file alike; a column of the whole name comes first."""
    import pyarrow as pa
    from pyarrow import parquet

    rows: list[dict[str, Any]] = [
        {
            "Review Text": f"dog {i}",
            "meta": {"title": "a", "by": [{"name": "b"}]},
            "meta.id": "c",
            "gold": {"is": i % 2},
        }
        for i in range(30)
    ]
    said = {
        "template": "{Review Text} {meta.title} {meta.by.0.name} {meta.id}", "label_words": ["no", "yes"],
        "columns": {"label": "gold.is"},
    }  # fmt: skip
    for name in ("jsonl", "csv", "parquet"):
        (tmp_path / name).mkdir()
    write(tmp_path / "jsonl" / "train.jsonl", rows)
    quoted = [
        [json.dumps(value).replace('"', '""') if isinstance(value, dict) else value for value in row.values()]
        for row in rows
    ]
    lines = [",".join(f'"{value}"' for value in row) for row in [list(rows[0]), *quoted]]
    (tmp_path / "csv" / "train.csv").write_text("\n".join(lines) + "\n")
    parquet.write_table(pa.Table.from_pylist(rows), tmp_path / "parquet" / "train.parquet")
    texts = {
        name: [task.text(row) for row in task.splits.train]
        for name in ("jsonl", "csv", "parquet")
        for task in [tasks.load(config(data_dir=str(tmp_path / name), **said))]
    }
    assert texts["jsonl"] == texts["csv"] == texts["parquet"]
    assert set(texts["jsonl"]) < {f"dog {i} a b c" for i in range(30)}
    with pytest.raises(UsageError, match=r"field 'meta.titel' is missing. Did you mean meta.title"):
        tasks.load(config(data_dir=str(tmp_path / "jsonl"), **{**said, "template": "{meta.titel}"}))


def test_a_task_may_be_described_on_a_command_line_alone(tmp_path: Path) -> None:
    write(tmp_path / "train.jsonl", PAIRS)
    words = {
        "task.data_dir": str(tmp_path), "task.template": "{s1} , {s2}", "task.label_words": [["no", "yes", "maybe"]],
        "task.columns": {"label": "gold"},
    }  # fmt: skip
    [cell] = grid.expand([{"task": "own", "method": "lora", "model": "micro-t5-nano", **words}])
    assert tasks.load(cell.task).text(tasks.load(cell.task).splits.train[0]).startswith("a dog ")
    with pytest.raises(UsageError, match=r"^task=own needs task.template: its input text"):
        grid.expand([{"task": "own", "method": "lora", "model": "micro-t5-nano"}])
    assert "own" not in options.match("task", "*")


@pytest.mark.parametrize("suffix", ["jsonl", "csv"])
@pytest.mark.parametrize(("values", "hint"), [(("True", "False"), r"\[false,true\]"), (("neg", "pos"), r"\[…\]")])
def test_labels_of_other_names_are_told_how_to_be_named(
    tmp_path: Path, suffix: str, values: tuple[str, str], hint: str
) -> None:
    rows = [{"text": f"text {i}", "label": values[i % 2]} for i in range(40)]
    for split in ("train", "test"):
        path = tmp_path / f"{split}.{suffix}"
        if suffix == "csv":
            path.write_text("text,label\n" + "".join(f"{row['text']},{row['label']}\n" for row in rows))
        else:
            write(path, rows)
    said = {"template": "{text}", "label_words": ["bad", "good"], "data_dir": str(tmp_path)}
    with pytest.raises(UsageError, match=rf"is '{values[0]}', expected one of bad, good\. .*task\.labels={hint}"):
        tasks.load(config(**said))
    assert tasks.load(config(**said, labels=sorted(values))).splits.train[0].label == sorted(values).index(values[0])


def test_an_option_out_of_range_is_told_of_options(tmp_path: Path) -> None:
    write(tmp_path / "train.jsonl", [*QUIZ, {"q": "last", "a": "one", "b": "two", "right": 10**30}])
    with pytest.raises(UsageError, match=r"label 1000+… is outside the options \(0=one, 1=two\).*order of the options"):
        tasks.load(config(data_dir=str(tmp_path), validation_size=2, **CHOSEN))


@pytest.mark.parametrize("metric", NUMBERS)
@pytest.mark.parametrize("answer", ["good", "inf", ""])
def test_a_correlation_needs_answers_that_are_numbers(tmp_path: Path, metric: str, answer: str) -> None:
    rows = [{"doc": f"text {i}", "summary": str(i / 2)} for i in range(40)]
    said = {**TOLD, "metric": metric, "data_dir": str(tmp_path)}
    write(tmp_path / "train.jsonl", rows)
    assert tasks.load(config(**said)).kind == "number"
    write(tmp_path / "test.jsonl", [*rows, {"doc": "last", "summary": answer}])
    with pytest.raises(UsageError, match=r"mine, test row 41: its? (answer .* is no finite number|has no target text)"):
        tasks.load(config(**said, split_seed=1))


@pytest.mark.parametrize("metric", ["pearson", "spearman"])
@pytest.mark.parametrize("split", ["validation", "test"])
def test_a_correlation_needs_answers_that_differ(tmp_path: Path, metric: str, split: str) -> None:
    """No correlation with a constant is defined, and 0 would not be true. In training a constant is only poor."""
    alike = [{"doc": f"text {i}", "summary": ("2", "2.0")[i % 2]} for i in range(40)]
    for name in ("train", "validation", "test"):
        write(tmp_path / f"{name}.jsonl", alike if name == split else [*alike, {"doc": "last", "summary": "3"}])
    with pytest.raises(UsageError, match=rf"every answer of its {split} split \(40 rows\) is '2', and {metric}"):
        tasks.load(config(**{**TOLD, "metric": metric}, data_dir=str(tmp_path)))


@pytest.mark.parametrize("suffix", ["jsonl", "csv", "parquet"])
@pytest.mark.parametrize("given", [{}, {"metric": "pearson"}, {"answer": "text"}])
def test_rows_without_answers_are_told_both_ways_to_name_them(tmp_path: Path, suffix: str, given: dict) -> None:
    """The likeliest mistake: labels, and no label words."""
    for split in ("train", "test"):
        rows = pd.DataFrame([{"text": f"text {i}", "sentiment": i % 2} for i in range(20)])
        path = tmp_path / f"{split}.{suffix}"
        if suffix == "jsonl":
            rows.to_json(path, orient="records", lines=True)
        else:
            getattr(rows, f"to_{suffix}")(path, index=False)
    wanted = (
        r"row 1: the field 'target' is missing.* \(it has sentiment beside.*task\.label_words=.*task\.columns=\{target"
    )
    with pytest.raises(UsageError, match=wanted):
        tasks.load(config(template="{text}", data_dir=str(tmp_path), **given))
    with pytest.raises(UsageError, match=r"'label' is missing\."):
        tasks.load(config(template="{text}", data_dir=str(tmp_path), label_words=["bad", "good"]))


def saved_with_classes(folder: Path, names: list[str], form: str) -> None:
    """Write 20 rows whose labels are the indices of classes that the file names, as datasets writes them."""
    features = datasets.Features({"text": datasets.Value("string"), "label": datasets.ClassLabel(names=names)})
    rows = {"text": [f"text {i}" for i in range(20)], "label": [i % 2 for i in range(20)]}
    made = datasets.Dataset.from_dict(rows, features=features)
    for split in ("train", "test"):
        made.to_parquet(folder / f"{split}.parquet") if form == "parquet" else made.save_to_disk(folder / split)


@pytest.mark.parametrize("form", ["parquet", "save_to_disk"])
@pytest.mark.parametrize(
    ("names", "first"),
    [(["bad", "good"], "bad"), (["good", "bad"], "good"), (["Good", "Bad"], "good"), (["neg", "pos"], "bad")],
)
def test_classes_that_a_file_names_are_read_by_their_names(tmp_path: Path, form: str, names: list, first: str) -> None:
    """Names of other words leave the indices as they are."""
    saved_with_classes(tmp_path, names, form)
    task = tasks.load(config(template="{text}", data_dir=str(tmp_path), label_words=["bad", "good"]))
    row = next(row for row in task.splits.named()["test"] if row.fields["text"] == "text 0")
    assert task.label_words[int(row.label or 0)] == first


@pytest.mark.parametrize("form", ["parquet", "save_to_disk"])
def test_classes_that_are_named_in_part_and_in_another_order_are_refused(tmp_path: Path, form: str) -> None:
    saved_with_classes(tmp_path, ["good", "other"], form)
    with pytest.raises(UsageError, match="are good, other in the file and bad, good in the task"):
        tasks.load(config(template="{text}", data_dir=str(tmp_path), label_words=["bad", "good"]))
