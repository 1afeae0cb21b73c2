"""The forms of a table: nothing is lost on the way, nothing breaks the format."""

import csv
import io
import json
from dataclasses import replace

import numpy as np
import pytest
from rich.console import Console

from harness import formatting
from harness.analysis.output import table
from harness.analysis.output.table import Entry, Table
from harness.analysis.study import estimates, statistics

ROWS = (
    (Entry("a_b & 100% #1 {x}", "a_b", keys=("k1",)), Entry("83.1 ±2.0", 83.1234567, 81.1, 85.1, ("k1", "k2"))),
    (Entry("pipe | tilde ~ ^ \\ $"), Entry(table.MISSING)),
)
TABLE = Table("t", "A title", "m-1", ("method", "score"), ROWS, ("note one", "50 % & more"))


def test_json_gives_back_the_table_with_every_key():
    assert table.from_json(json.loads(json.dumps(table.to_json(TABLE)))) == TABLE


def test_csv_has_numbers_with_their_bounds_and_the_model():
    other = Table("t", "A title", "m-2", ("method", "more"), ((Entry("x", "x"), Entry("1", 1.0)),))
    rows = list(csv.DictReader(io.StringIO(table.to_csv([TABLE, other]))))
    assert rows[0]["model"] == "m-1"
    assert (rows[0]["score"], rows[0]["score_low"], rows[0]["score_high"]) == ("83.1235", "81.1", "85.1")
    assert (rows[1]["score"], rows[2]["score"], rows[2]["more"]) == ("", "", "1")


def test_a_csv_of_several_tables_keeps_the_order_of_their_columns():
    head = [
        replace(TABLE, columns=columns, rows=())
        for columns in (("method", "a", "n", "mean"), ("method", "b", "n", "rate", "mean"), ("c", "mean", "last"))
    ]
    assert table.to_csv(head).strip() == "model,method,a,b,n,rate,c,mean,last"


def test_markdown_keeps_its_columns():
    lines = [line for line in table.to_markdown(TABLE).splitlines() if line.startswith("|")]
    assert len(lines) == 4
    assert {line.replace("\\|", "").count("|") for line in lines} == {3}


def test_latex_escapes_what_is_special():
    text = table.to_latex(TABLE)
    body = text[text.index(r"\midrule") : text.index(r"\bottomrule")]
    assert r"a\_b \& 100\% \#1 \{x\}" in body
    assert r"83.1 $\pm$2.0" in body
    assert body.count(r" \\") == 2
    assert text.count("{") - text.count(r"\{") == text.count("}") - text.count(r"\}")


def test_the_terminal_shows_every_entry():
    stream = io.StringIO()
    Console(file=stream, width=100).print(table.to_rich(TABLE))
    assert all(entry.text in stream.getvalue() for row in ROWS for entry in row)


def test_numbers_are_printed_with_their_interval():
    found = estimates.Estimate(*statistics.interval(np.array([[0.8, 0.82, 0.84]])), keys=("k",))
    assert table.number(found, 100).text == "82.0 ±5.0"
    assert table.number(found, 1, 2, bounds=True).text == "0.82 [0.77, 0.87]"
    assert table.number(found, 100).keys == ("k",)
    assert table.number(estimates.absent("why")).text == table.MISSING
    assert table.number(estimates.fixed(1.0, ())).text == "1.0"


@pytest.mark.parametrize(
    ("value", "text"),
    [(3e-4, "3e-4"), (0.03, "3e-2"), (0.0125, "1.25e-2"), (0.1, "1e-1"), (2.5e-5, "2.5e-5"), (30, "30")],
)
def test_rates_are_written_as_people_write_them(value, text):
    assert formatting.rate(value) == text
    assert float(text) == value
