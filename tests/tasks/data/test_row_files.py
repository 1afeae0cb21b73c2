"""Local files: every format gives the same rows; an error names the file, the row and the field."""

import csv
import gzip
import json
import re
import warnings
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet

from harness.config import yaml_values
from harness.errors import UsageError
from tasks.data import row_files, split_files
from tasks.metrics import label_metrics

SCHEMA = {"text": str, "label": int}
ROWS = [{"text": 'a "good", film', "label": 1, "idx": 0}, {"text": "caffè\nnero", "label": 0, "idx": 1}]
WANTED = [{"text": row["text"], "label": row["label"]} for row in ROWS]


def write(path: Path, rows: list[dict] = ROWS) -> Path:
    if path.suffix == ".parquet":
        parquet.write_table(pa.Table.from_pylist(rows), path)
        return path
    if path.suffix == ".arrow":
        table = pa.Table.from_pylist(rows)
        with pa.OSFile(str(path), "wb") as file, pa.ipc.new_stream(file, table.schema) as stream:
            stream.write_table(table)
        return path
    opened = gzip.open if path.suffix == ".gz" else open
    with opened(path, "wt", encoding="utf-8", newline="") as file:
        if ".jsonl" in path.name:
            file.write("\n".join(json.dumps(row) for row in rows) + "\n")
        elif ".json" in path.name:
            json.dump(rows, file)
        elif ".tsv" in path.name:
            lines = [rows[0], *rows]
            file.write(
                "".join("\t".join(map(str, row if i == 0 else row.values())) + "\n" for i, row in enumerate(lines))
            )
        else:
            writer = csv.DictWriter(file, rows[0])
            writer.writeheader()
            writer.writerows(rows)
    return path


@pytest.mark.parametrize("suffix", split_files.SUFFIXES)
def test_every_format_gives_the_same_rows(tmp_path: Path, suffix: str) -> None:
    rows, wanted = (ROWS, WANTED) if ".tsv" not in suffix else (ROWS[:1], WANTED[:1])  # a TSV holds no line breaks
    path = write(tmp_path / f"train{suffix}", rows)
    assert split_files.find(tmp_path, "train") == (path,)
    assert row_files.read(path, SCHEMA) == wanted


@pytest.mark.parametrize(
    ("row", "field"),
    [
        ({"text": "x"}, "label"),
        ({"text": "x", "label": None}, "label"),
        ({"text": "x", "label": "good"}, "label"),
        ({"text": "x", "label": 1.5}, "label"),
        ({"text": "x", "label": True}, "label"),
        ({"text": 3, "label": 1}, "text"),
        ({"text": "half of \ud800", "label": 1}, "text"),
    ],
)
def test_a_row_outside_the_schema_is_named(tmp_path: Path, row: dict, field: str) -> None:
    path = write(tmp_path / "train.jsonl", [*ROWS, row])
    with pytest.raises(UsageError, match=rf"train\.jsonl row 3.*'{field}'"):
        row_files.read(path, SCHEMA)


@pytest.mark.parametrize("field", ["text", "meta.text"])
@pytest.mark.parametrize("form", ["jsonl", "parquet"])
def test_a_field_that_is_null_is_not_missing(tmp_path: Path, field: str, form: str) -> None:
    rows = [{"text": text, "meta": {"text": text}, "label": 1} for text in ("one", None)]
    path = tmp_path / f"train.{form}"
    if form == "jsonl":
        write(path, rows)
    else:
        parquet.write_table(pa.Table.from_pylist(rows), path)
    with pytest.raises(UsageError) as caught:
        row_files.read(path, {field: str, "label": int})
    line = f"train.{form} row 2: the field '{field}' is null. Give it a value, or leave the row out."
    assert str(caught.value) == line


def test_a_field_with_another_name_is_suggested(tmp_path: Path) -> None:
    path = write(tmp_path / "train.jsonl", [{"texts": "x", "label": 1}])
    with pytest.raises(UsageError, match=r"'text' is missing\. Did you mean texts"):
        row_files.read(path, SCHEMA)


def test_a_space_around_a_suggested_name_is_seen(tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_text("text, label\na,1\n")
    with pytest.raises(UsageError, match=r"'label' is missing\. Did you mean ' label'\?"):
        row_files.read(tmp_path / "train.csv", SCHEMA)


def test_a_csv_with_other_separators_is_told_what_it_lacks(tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_text('"text";"label"\n"a";1\n')
    with pytest.raises(UsageError, match="has commas between its columns"):
        row_files.read(tmp_path / "train.csv", SCHEMA)


@pytest.mark.parametrize(("suffix", "sign"), [(".csv", ";"), (".csv", "\t"), (".tsv", ","), (".csv.gz", "|")])
def test_a_header_with_another_separator_is_named(tmp_path: Path, suffix: str, sign: str) -> None:
    path, content = tmp_path / f"train{suffix}", f"text{sign}label\nw1{sign}0\n".encode()
    path.write_bytes(gzip.compress(content) if suffix.endswith(".gz") else content)
    with pytest.raises(UsageError, match=r"its header 'text.*label' is one column with .* between its columns\.$"):
        row_files.read(path, SCHEMA)


@pytest.mark.parametrize("name", ["text:b", "text!", "{text}"])
def test_a_column_whose_name_no_template_can_hold_is_renamed(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / "train.jsonl", [{name: "x", "label": 1}])
    with pytest.raises(UsageError, match=r"Did you mean .*task\.columns=\{text: \".*\"\} gives that column") as refused:
        row_files.read(path, SCHEMA)
    written = re.search(r"task\.columns=(.*) gives", str(refused.value))[1]
    assert row_files.read(path, SCHEMA, yaml_values.load(written)) == [{"text": "x", "label": 1}]


@pytest.mark.parametrize("score", ["1_000", "١٢", "１", "0x10", "1e", "true"])
def test_a_number_in_a_text_is_decimal(tmp_path: Path, score: str) -> None:
    """Python reads the first three as numbers."""
    path = write(tmp_path / "train.jsonl", [{"text": "x", "score": score}])
    for kind in (int, float):
        with pytest.raises(UsageError, match=r"expected a (whole|finite) number"):
            row_files.read(path, {"text": str, "score": kind})
    assert label_metrics.METRICS["pearson"]([1.0, 2.0], [score, "2"])["parse_failures"] == 0.5


def test_a_large_whole_number_in_a_text_is_exact(tmp_path: Path) -> None:
    path = write(tmp_path / "train.jsonl", [{"text": "x", "label": str(2**53 + 1)}])
    assert row_files.read(path, SCHEMA)[0]["label"] == 2**53 + 1


@pytest.mark.parametrize("score", ["Infinity", "-Infinity", "NaN", "1e999"])
def test_a_score_is_a_finite_number(tmp_path: Path, score: str) -> None:
    path = tmp_path / "train.jsonl"
    path.write_text(f'{{"text": "x", "score": 1.5}}\n{{"text": "x", "score": {score}}}\n')
    with pytest.raises(UsageError, match=r"row 2: the field 'score' is (-?inf|nan), expected a finite number"):
        row_files.read(path, {"text": str, "score": float})


@pytest.mark.parametrize(
    ("content", "said"),
    [("[" * 100_000, "nested too deeply"), ('{"text": ' + "1" * 5000 + "}", "a number of 5000 digits")],
)
@pytest.mark.parametrize("suffix", [".jsonl", ".json"])
def test_what_python_cannot_read_is_said_in_our_words(tmp_path: Path, suffix: str, content: str, said: str) -> None:
    (tmp_path / f"train{suffix}").write_text(content)
    with pytest.raises(UsageError, match=said):
        row_files.read(tmp_path / f"train{suffix}", SCHEMA)


@pytest.mark.parametrize("suffix", [".jsonl", ".json", ".csv", ".tsv", ".parquet"])
def test_an_answer_may_be_a_number(tmp_path: Path, suffix: str) -> None:
    """A score to predict, or the answer of a sum; an input text may not, because it would be another column."""
    path = write(tmp_path / f"train{suffix}", [{"text": "x", "answer": 0.5}, {"text": "y", "answer": 3.25}])
    rows = row_files.read(path, {"text": str, "answer": row_files.ANSWER})
    assert [row["answer"] for row in rows] == ["0.5", "3.25"]
    if suffix == ".jsonl":
        for other in (True, [1], None):
            write(path, [{"text": "x", "answer": other}])
            with pytest.raises(UsageError, match="answer"):
                row_files.read(path, {"text": str, "answer": row_files.ANSWER})


@pytest.mark.parametrize("suffix", split_files.SUFFIXES)
def test_a_file_that_is_not_what_it_says_is_refused(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"train{suffix}"
    path.write_bytes(b'\xff\xfe{"text": not json,\n"')  # no UTF-8, no gzip, no JSON, no table
    with pytest.raises(UsageError, match=r"train\..*not a readable"):
        row_files.read(path, SCHEMA)


def test_the_mark_of_a_spreadsheet_is_no_part_of_the_header(tmp_path: Path) -> None:
    for suffix in (".csv", ".jsonl"):
        path = write(tmp_path / f"train{suffix}")
        path.write_text(path.read_text(encoding="utf-8"), encoding="utf-8-sig")
        assert [row["label"] for row in row_files.read(path, SCHEMA)] == [1, 0]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("train.json", "[" * 100_000, "not a readable"),
        ("train.csv", "text,label\na,1\nb,0,0\n", "row 2 has more values than the header"),
        ("train.csv", json.dumps(ROWS), "no rows"),
        ("train.jsonl", "", "no rows"),
    ],
)
def test_content_that_cannot_be_rows_is_refused(tmp_path: Path, name: str, content: str, said: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(UsageError, match=rf"{name}: .*{said}"):
        row_files.read(tmp_path / name, SCHEMA)


def test_missing_folder_missing_file_and_two_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such folder"):
        split_files.find(tmp_path / "nowhere", "train")
    with pytest.raises(UsageError, match="no file for the train split"):
        split_files.find(tmp_path, "train")
    write(tmp_path / "train.csv")
    write(tmp_path / "train.jsonl")
    with pytest.raises(UsageError, match="both claim"):
        split_files.find(tmp_path, "train")


def test_a_row_that_is_no_object_is_refused(tmp_path: Path) -> None:
    (tmp_path / "train.json").write_text("[1, 2]")
    with pytest.raises(UsageError, match=r"train\.json row 1: expected an object"):
        row_files.read(tmp_path / "train.json", SCHEMA)


def test_line_ends_empty_lines_and_extra_columns_change_nothing(tmp_path: Path) -> None:
    lines = [json.dumps({**row, "extra": [1]}) for row in ROWS]
    (tmp_path / "a.jsonl").write_bytes(("\ufeff" + "\r\n\r\n".join(["", *lines, "", ""])).encode())
    (tmp_path / "b.csv").write_bytes(
        b'\xef\xbb\xbftext,label,more\r\n"a ""good"", film",1,x\r\n\r\n"caff\xc3\xa8\nnero",0,\r\n'
    )
    (tmp_path / "c.json").write_text("\n".join(lines), encoding="utf-8")  # JSON lines under the wrong name
    for name in ("a.jsonl", "b.csv", "c.json"):
        assert row_files.read(tmp_path / name, SCHEMA) == WANTED


def test_a_header_that_names_a_column_twice_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("text,label,label\na,1,0\n")
    with pytest.raises(UsageError, match="'label' twice"):
        row_files.read(tmp_path / "a.csv", SCHEMA)


def test_lists_and_objects_come_from_json_and_from_the_cells_of_a_table(tmp_path: Path) -> None:
    row = {"endings": ["a", "b"], "choices": {"text": ["x"]}}
    told = {"endings": list, "choices": dict}
    write(tmp_path / "a.parquet", [row])
    write(tmp_path / "b.csv", [{name: json.dumps(value) for name, value in row.items()}])
    for name in ("a.parquet", "b.csv"):
        assert row_files.read(tmp_path / name, told) == [row]
    write(tmp_path / "c.jsonl", [{**row, "endings": "a"}])
    with pytest.raises(UsageError, match="'endings' is 'a', expected a list"):
        row_files.read(tmp_path / "c.jsonl", told)


@pytest.mark.parametrize("places", [("data",), ("sst2",), ()])
def test_the_shards_of_a_hub_repository_are_read_in_order(tmp_path: Path, places: tuple[str, ...]) -> None:
    folder = tmp_path.joinpath(*places)
    folder.mkdir(exist_ok=True)
    for i, row in enumerate(ROWS):
        write(folder / f"train-0000{i}-of-00002.parquet", [row])
    assert row_files.read_all(split_files.find(tmp_path, "train", within=("sst2", "data")), SCHEMA) == WANTED


def test_a_folder_of_save_to_disk_is_read(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        datasets = pytest.importorskip("datasets")
        saved = datasets.DatasetDict({"train": datasets.Dataset.from_list(ROWS)})
        saved.save_to_disk(str(tmp_path))
    assert row_files.read_all(split_files.find(tmp_path, "train"), SCHEMA) == WANTED


@pytest.mark.parametrize("name", ["dev.csv", "valid.jsonl", "val.tsv"])
def test_validation_goes_by_several_names(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / name, ROWS[:1])
    assert split_files.find(tmp_path, "validation") == (path,)


def _shards(folder: Path, *names: str) -> Path:
    for name in names:
        write(folder / name)
    return folder


@pytest.mark.parametrize("suffix", [".parquet", ".jsonl"])
def test_shards_are_read_in_order_and_copies_beside_them_are_not(tmp_path: Path, suffix: str) -> None:
    first, second = f"train-00000-of-00002{suffix}", f"train-00001-of-00002{suffix}"
    _shards(tmp_path, second, first, f"train-00000-of-00002 (1){suffix}", f"._{first}", "test.jsonl")
    for noise in (f"{first}.lock", "train.jsonl~", "train (1).jsonl", "dataset_info.json", ".DS_Store", "README.md"):
        (tmp_path / noise).write_text("{}")
    assert split_files.find(tmp_path, "train") == (tmp_path / first, tmp_path / second)
    assert len(row_files.read_all(split_files.find(tmp_path, "train"), SCHEMA)) == 2 * len(ROWS)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["train-00000-of-00003", "train-00002-of-00003"], "train-00001-of-00003 is missing"),
        (["train-00001-of-00002"], "train-00000-of-00002 is missing"),
        (["train-00000-of-00001", "train-00000-of-00002", "train-00001-of-00002"], "2 sets of train shards"),
        (
            ["train-00000-of-00001-0123456789abcdef", "train-00000-of-00001-fedcba9876543210"],
            "same shard of two pushes",
        ),
        (["train-00000-of-00001", "train"], "both claim the train split"),
        (["train-00000-of-00001", "train-00001-of-00001"], "is no shard of 1"),
        (["train/0000", "train/0002"], r"0001\.parquet is missing"),
    ],
)
def test_missing_and_doubled_shards_are_refused(tmp_path: Path, names: list[str], message: str) -> None:
    (tmp_path / "train").mkdir()
    _shards(tmp_path, *(f"{name}.parquet" for name in names))
    with pytest.raises(UsageError, match=message):
        split_files.find(tmp_path, "train")
    with pytest.raises(UsageError, match=message):
        split_files.has(tmp_path, "train")


def test_two_names_of_one_split_are_refused(tmp_path: Path) -> None:
    _shards(tmp_path, "dev.jsonl", "validation.jsonl")
    with pytest.raises(UsageError, match="both claim the validation split"):
        split_files.find(tmp_path, "validation")


def test_a_saved_folder_is_what_its_state_lists(tmp_path: Path) -> None:
    """Caches of datasets.map lie beside the rows and are other rows."""
    folder = tmp_path / "train"
    folder.mkdir()
    _shards(folder, "data-00000-of-00001.arrow", "cache-0123.arrow", "._data-00000-of-00001.arrow")
    (folder / "state.json").write_text(json.dumps({"_data_files": [{"filename": "data-00000-of-00001.arrow"}]}))
    assert split_files.find(tmp_path, "train") == (folder / "data-00000-of-00001.arrow",)
    (folder / "data-00000-of-00001.arrow").unlink()
    with pytest.raises(UsageError, match=r"data-00000-of-00001\.arrow is missing, which state\.json lists"):
        split_files.find(tmp_path, "train")
    (folder / "state.json").write_text("[]")
    with pytest.raises(UsageError, match="_data_files"):
        split_files.find(tmp_path, "train")


@pytest.mark.parametrize("kind", ["parquet", "arrow"])
def test_only_the_columns_of_the_task_are_read(tmp_path: Path, kind: str) -> None:
    """A date beyond Python's in another column harms nobody; a column that is missing names those that are there."""
    rows = pa.table({"text": ["a", "b"], "label": [0, 1], "seen": pa.array([2**48] * 2, pa.timestamp("s"))})
    path = tmp_path / f"train.{kind}"
    if kind == "parquet":
        parquet.write_table(rows, path)
    else:
        with pa.OSFile(str(path), "wb") as file, pa.ipc.new_stream(file, rows.schema) as stream:
            stream.write_table(rows)
    assert row_files.read(path, SCHEMA) == [{"text": "a", "label": 0}, {"text": "b", "label": 1}]
    with pytest.raises(UsageError, match=r"row 1: the field 'labels' is missing\. Did you mean label"):
        row_files.read(path, {"text": str, "labels": int})
    with pytest.raises(UsageError, match="not a readable"):
        row_files.read(path, {"seen": str})


@pytest.mark.parametrize("suffix", [".jsonl.gz", ".csv.gz", ".json.gz", ".parquet", ".arrow"])
def test_a_flipped_bit_is_a_sentence_or_harmless(tmp_path: Path, suffix: str) -> None:
    rows = [{"text": f"text {i * i}", "label": i % 2} for i in range(60)]
    whole = write(tmp_path / f"train{suffix}", rows).read_bytes()
    refused = 0
    for place in range(0, len(whole), max(1, len(whole) // 150)):
        torn = bytearray(whole)
        torn[place] ^= 0x10
        (tmp_path / f"train{suffix}").write_bytes(torn)
        try:
            row_files.read(tmp_path / f"train{suffix}", SCHEMA)
        except UsageError:
            refused += 1
    assert refused > 20


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (
            "train.jsonl",
            b'{"text": "a", "label": 0}\n{"text": "\xe4", "label": 1}\n',
            r"line 2 is not UTF-8 \(byte 0xe4\)",
        ),
        ("train.csv", b'text,label\n"a\nb",0\n\xfc,1\n', "line 4 is not UTF-8"),
        ("train.csv", "text,label\na,0\n".encode("utf-16"), "it is UTF-16"),
        ("train.csv", b"text,label\na\0b,0\n", "row 1 has a NUL byte"),
        ("train.jsonl", b'{"text": "a", "label": 0}\n' + b"[" * 100_000 + b"\n", "line 2: "),
        ("train.jsonl", b'{"text": "a", "label": 1e999}\n', "'label' is inf"),
        ("train.jsonl", b'{"text": "a", "label": ' + b"9" * 5000 + b"}\n", "line 1: "),
    ],
)
def test_what_is_wrong_in_a_text_file_is_named_by_its_line(
    tmp_path: Path, name: str, content: bytes, message: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UsageError, match=message):
        row_files.read(tmp_path / name, SCHEMA)


def test_a_split_that_leads_nowhere_is_not_taken_for_absent(tmp_path: Path) -> None:
    (tmp_path / "validation.jsonl").symlink_to(tmp_path / "gone.jsonl")
    with pytest.raises(UsageError, match="leads nowhere"):
        split_files._named(tmp_path, "validation")
    (tmp_path / "test.jsonl").mkdir()
    with pytest.raises(UsageError, match="no plain file"):
        split_files._named(tmp_path, "test")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.jsonl", '{"text": "a", "label": 0}\n{"text": "b", "label": 0, "label": 1}\n'),
        ("a.json", '[{"text": "a", "label": 0, "label": 1}]'),
        ("a.json", '{"data": [{"text": "a", "label": 0, "label": 1}]}'),
        ("a.json", '{"text": "a", "label": 0, "label": 1}\n{"text": "b", "label": 0}\n'),
    ],
)
def test_a_field_that_is_given_twice_is_refused(tmp_path: Path, name: str, text: str) -> None:
    """Readers differ in which of the two counts, and the label would be another."""
    (tmp_path / name).write_text(text)
    with pytest.raises(UsageError, match="the field 'label' is given twice"):
        row_files.read(tmp_path / name, {"text": str, "label": int})


def test_a_field_that_is_given_twice_inside_a_value_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text('text,answers\na,"{""x"": 1, ""x"": 2}"\n')
    with pytest.raises(UsageError, match=r"row 1: the field 'answers': the field 'x' is given twice\."):
        row_files.read(tmp_path / "a.csv", {"text": str, "answers": dict})
