"""Local files: every format gives the same rows; an error names the file, the row and the field."""

import csv
import gzip
import json
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet

from harness.errors import UsageError
from tasks import local

SCHEMA = {"text": str, "label": int}
ROWS = [{"text": 'a "good", film', "label": 1, "idx": 0}, {"text": "caffè\nnero", "label": 0, "idx": 1}]
WANTED = [{"text": row["text"], "label": row["label"]} for row in ROWS]


def write(path: Path, rows: list[dict] = ROWS) -> Path:
    if path.suffix == ".parquet":
        parquet.write_table(pa.Table.from_pylist(rows), path)
        return path
    opened = gzip.open if path.suffix == ".gz" else open
    with opened(path, "wt", encoding="utf-8", newline="") as file:
        if ".jsonl" in path.name:
            file.write("\n".join(json.dumps(row) for row in rows) + "\n")
        elif ".json" in path.name:
            json.dump(rows, file)
        else:
            writer = csv.DictWriter(file, rows[0])
            writer.writeheader()
            writer.writerows(rows)
    return path


@pytest.mark.parametrize("suffix", local.SUFFIXES)
def test_every_format_gives_the_same_rows(tmp_path: Path, suffix: str) -> None:
    path = write(tmp_path / f"train{suffix}")
    assert local.find(tmp_path, "train") == path
    assert local.read(path, SCHEMA) == WANTED


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
        local.read(path, SCHEMA)


def test_a_field_with_another_name_is_suggested(tmp_path: Path) -> None:
    path = write(tmp_path / "train.jsonl", [{"texts": "x", "label": 1}])
    with pytest.raises(UsageError, match=r"'text' is missing\. Did you mean texts"):
        local.read(path, SCHEMA)


@pytest.mark.parametrize("suffix", local.SUFFIXES)
def test_a_file_that_is_not_what_it_says_is_refused(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"train{suffix}"
    path.write_bytes(b'\xff\xfe{"text": not json,\n"')
    with pytest.raises(UsageError, match=r"train\..*not a readable"):
        local.read(path, SCHEMA)


def test_the_mark_of_a_spreadsheet_is_no_part_of_the_header(tmp_path: Path) -> None:
    for suffix in (".csv", ".jsonl"):
        path = write(tmp_path / f"train{suffix}")
        path.write_text(path.read_text(encoding="utf-8"), encoding="utf-8-sig")
        assert [row["label"] for row in local.read(path, SCHEMA)] == [1, 0]


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
        local.read(tmp_path / name, SCHEMA)


def test_missing_folder_missing_file_and_two_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such folder"):
        local.find(tmp_path / "nowhere", "train")
    with pytest.raises(UsageError, match="no file for the train split"):
        local.find(tmp_path, "train")
    write(tmp_path / "train.csv")
    write(tmp_path / "train.jsonl")
    with pytest.raises(UsageError, match="both claim"):
        local.find(tmp_path, "train")


def test_a_row_that_is_no_object_is_refused(tmp_path: Path) -> None:
    (tmp_path / "train.json").write_text("[1, 2]")
    with pytest.raises(UsageError, match=r"train\.json row 1: expected an object"):
        local.read(tmp_path / "train.json", SCHEMA)
