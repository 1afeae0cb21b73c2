"""Best in bold, second underlined, ties by overlapping intervals; and texts that stay texts in CSV and LaTeX."""

import csv
import io

import pytest

from harness.analysis.output import best_marks, table
from harness.analysis.output.table import MISSING, Entry, Table, word

HOSTILE = ("=1+1", "+cmd", "-2+3", "@SUM(A1)", "\t=1", "\r=1")


def made(*rows: tuple[Entry, ...], columns: tuple[str, ...] = ("method", "score")) -> Table:
    return Table("t", "Title", "model", columns, rows)


def score(value: float, half: float | None = None, keys: tuple[str, ...] = ("k",)) -> Entry:
    ends = (None, None) if half is None else (value - half, value + half)
    return Entry(f"{value:.1f}", value, *ends, keys)


def marks(made: Table, column: int = 1) -> list[str]:
    return [row[column].mark for row in made.rows]


def test_the_best_the_second_and_what_overlaps_the_best() -> None:
    rows = [(word(name), score(value, 1.0)) for name, value in (("a", 90.0), ("b", 88.5), ("c", 80.0), ("d", 60.0))]
    assert marks(best_marks.marked(made(*rows), {"score": best_marks.HIGHER})) == ["best", "second tie", "", ""]
    assert marks(best_marks.marked(made(*rows), {"score": best_marks.LOWER})) == ["", "", "second", "best"]


def test_equal_numbers_are_all_best_and_guessing_missing_and_untuned_rows_are_none() -> None:
    rows = [
        (word("a"), score(90.0)),
        (word("b"), score(90.0)),
        (word("untuned"), score(99.0)),
        (word("guessing"), score(95.0, keys=())),
        (word("missing"), Entry(MISSING, keys=("k",))),
    ]
    assert marks(best_marks.marked(made(*rows), {"score": best_marks.HIGHER}, {2})) == ["best", "best", "", "", ""]
    assert marks(best_marks.marked(made(rows[0]), {"score": best_marks.HIGHER})) == [""]


def test_latex_shows_the_marks_with_their_meaning_and_json_keeps_them() -> None:
    rows = [(word("a"), score(90.0, 1)), (word("b"), score(89.5, 1)), (word("c"), score(10.0))]
    shown = best_marks.marked(made(*rows), {"score": best_marks.HIGHER})
    text = table.to_latex(shown)
    assert r"a & \textbf{90.0} \\" in text
    assert r"b & \underline{89.5}$^{\approx}$ \\" in text
    assert r"c & 10.0 \\" in text
    assert "Bold: best of its column" in text
    assert "Bold" not in table.to_latex(made(*rows))
    assert table.from_json(table.to_json(shown)) == shown
    assert "mark" not in str(table.to_json(made(*rows)))


@pytest.mark.parametrize("text", HOSTILE)
def test_no_text_of_a_csv_is_a_formula(text: str) -> None:
    hostile = Table("t", "t", text, (text, "score"), ((word(text), score(-1.5)),))
    [head, row] = csv.reader(io.StringIO(table.to_csv([hostile])))
    assert {cell[0] for cell in (head[1], row[0], row[1])} == {" " if text.startswith("\r") else "'"}
    assert row[2] == "-1.5"


@pytest.mark.parametrize("text", ["-", "-1.5", "+3 %", "1e-3", "-1e-3", "a=b"])
def test_numbers_and_dashes_of_a_csv_stay_as_they_are(text: str) -> None:
    assert list(csv.reader(io.StringIO(table.to_csv([made((word(text), score(1.0)))]))))[1][1] == text


def test_no_text_of_a_latex_table_is_a_command() -> None:
    text = r"\input{x} $x_1$ 100% #1 & ~^ {"
    written = table.to_latex(Table("t", text, text, (text,), ((word(text),),), (text,)))
    for line in written.splitlines():
        bare = line.replace(r"\textbackslash{}", "").replace(r"\&", "").replace(r"\%", "").replace(r"\#", "")
        assert r"\input" not in line
        assert "%" not in bare
        assert "#" not in bare
    [label] = [line for line in written.splitlines() if line.startswith(r"\label")]
    assert set(label.removeprefix(r"\label{tab:").removesuffix("}")) <= set("tinpux-_.:100")


def test_a_missing_number_says_how_its_cells_ended(make_run, make_grid) -> None:  # type: ignore[no-untyped-def]
    from harness.analysis.study import study
    from harness.analysis.views import ranking
    from harness.experiments import exhibits

    ended = {"prompt": "oom", "prefix": "diverged"}
    failed = [make_run(name, "micro/qa", seed, status=word) for name, word in ended.items() for seed in (0, 1, 2)]
    keys = {run.record["key"] for run in failed}
    runs = [*(run for run in make_grid() if run.record["key"] not in keys), *failed]
    [one] = study.studies(exhibits.load("delta-ranking"), runs)
    made = ranking.tasks(one)
    shown = {row[0].value: row[made.columns.index("micro/qa")].text for row in made.rows}
    assert (shown["prompt"], shown["prefix"]) == (f"{MISSING} oom", f"{MISSING} diverged")
    assert shown["full"][0].isdigit()
    assert any(f"such as {MISSING} oom" in note for note in made.notes)
