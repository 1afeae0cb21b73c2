"""`table`: the scores of any cells in five forms, with what is failed, missing or stale, on any terminal."""

import csv
import io
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from harness.cli import dispatch
from harness.store import requested_grids
from harness.store.archive import Run
from harness.store.requested_grids import Grid, Place
from harness.store.store import Store
from methods import registry as methods
from tests.harness import made_runs

Call = Callable[..., tuple[int, str, str]]
QA = "micro/qa"


def put(store: Store, run: Run, old: bool = False) -> str:
    """Store a synthetic record under its own key, of today's code or of another."""
    key = str(run.record["key"])
    store.register_as(key, run.record["cell"])
    folder = store.next_attempt(key)
    mark = {"provenance": {"fingerprint": "another"}} if old else {}
    store.finish(key, folder, {**run.record, "attempt": folder.number, **mark})
    return key


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str], store: Store, monkeypatch: pytest.MonkeyPatch) -> Iterator[Call]:
    monkeypatch.delenv("COLUMNS", raising=False)

    def call(*words: str) -> tuple[int, str, str]:
        capsys.readouterr()
        code = dispatch.main([*words, f"store={store.path}"])
        return code, *capsys.readouterr()

    return call


@pytest.fixture
def keys(store: Store, make_grid: Callable[..., list[Run]]) -> list[str]:
    """A grid of two methods and two seeds with one cell that failed, an old one and one that never ran."""
    runs = make_grid(methods=("full", "lora"), tasks=(QA,), seeds=(0, 1, 2))
    failed = make_grid(methods=("lora",), tasks=(QA,), seeds=(3,), status="failed")
    found = [put(store, run, old=place == 4) for place, run in enumerate(runs)]
    found += [put(store, run) for run in failed]
    missing = "0" * 64
    places = [Place(key, "lora", "micro-t5-nano", QA, 200) for key in [*found, missing]]
    requested_grids.note(store, Grid("method=full,lora seed=0,1,2,3", tuple(places)))
    return [*found, missing]


def test_a_grid_is_named_as_it_ran(call: Call, keys: list[str]) -> None:
    for words in (["method=full,lora", "seed=0,1,2,3"], ["method=full,lora seed=0,1,2,3"]):
        code, out, _ = call("table", *words, "--format", "json")
        assert code == 0
        assert [cell["key"] for cell in json.loads(out)["cells"]] == keys


def test_json_has_the_keys_behind_numbers_and_every_cell(call: Call, keys: list[str], store: Store) -> None:
    _, out, _ = call("table", "method=full,lora", "seed=0,1,2,3", "--json")
    told = json.loads(out)
    [table] = told["tables"]
    full = next(row for row in table["rows"] if row[0]["value"] == "full")
    assert full[1]["keys"] == keys[:3]
    scores = [store.read(key)["scores"]["best"]["sets"]["test"]["accuracy"] for key in keys[:3]]  # type: ignore[index]
    assert full[1]["value"] == pytest.approx(100 * sum(scores) / 3)
    assert [cell["test"] for cell in told["cells"][:3]] == scores
    assert [cell["stale"] for cell in told["cells"]] == [place == 4 for place in range(8)]
    lora = next(row for row in table["rows"] if row[0]["value"] == "lora")
    assert (table["columns"][-1], lora[-1]["keys"]) == ("stale", [keys[4]])
    assert [cell["status"] for cell in told["cells"][6:]] == ["failed", "missing"]
    assert [cell["why_null"] for cell in told["cells"][5:]] == [None, "loss is not finite", "it has no record yet"]
    assert (told["by"], told["metric"], told["unit"]) == (["method", "task"], "test score", "points of 100")


def test_what_has_no_score_or_an_old_one_is_named_below(call: Call, keys: list[str]) -> None:
    _, out, _ = call("table", "method=full,lora", "seed=0,1,2,3")
    assert "method=full,lora seed=0,1,2,3: 8 cells: 6 done, 1 failed, 1 missing" in out
    assert f"1 failed: lora micro-t5-nano micro/qa seed 3 ({keys[6][:8]}): loss is not finite" in out
    assert f"1 stale: lora micro-t5-nano micro/qa seed 1 ({keys[4][:8]})" in out
    assert "1 missing: 00000000" in out
    _, out, err = call("table", "method=full,lora", "seed=0,1,2,3", "--format", "csv")
    assert "1 failed: " in err
    assert "failed" not in out


def test_a_cell_that_cannot_run_is_not_called_missing(call: Call, keys: list[str], store: Store) -> None:
    [grid] = [one for one in requested_grids.noted(store) if keys[7] in {place.key for place in one.places}]
    gap = requested_grids.Gap("lora", "micro-t5-nano", "micro/qa", 1, "the rank is too high", (keys[7],))
    requested_grids.note(store, replace(grid, gaps=(gap,)))
    _, out, _ = call("table", "method=full,lora", "seed=0,1,2,3")
    assert "8 cells: 6 done, 1 failed, 1 cannot run" in out
    assert f"1 cannot run: {keys[7][:8]}: the rank is too high" in out
    assert "missing" not in out
    _, out, _ = call("table", "method=full,lora", "seed=0,1,2,3", "--json")
    last = json.loads(out)["cells"][7]
    assert (last["status"], last["cannot_run"], last["why_null"]) == ("missing", True, "the rank is too high")


def test_the_forms_hold_the_same_numbers(call: Call, keys: list[str]) -> None:
    _, out, _ = call("table", "--format", "json")
    head, number = json.loads(out)["tables"][0]["rows"][0][:2]
    _, out, _ = call("table", "--format", "csv")
    [row] = [row for row in csv.DictReader(io.StringIO(out)) if row["method"] == head["value"]]
    assert float(row[QA]) == pytest.approx(number["value"], rel=1e-5)
    assert float(row[f"{QA}_low"]) == pytest.approx(number["low"], rel=1e-5)
    _, out, _ = call("table", "--format", "md")
    assert f"| {head['text']} | {number['text']} |" in out
    _, out, _ = call("table", "--format", "latex")
    assert r"\begin{tabular}{lrrrr}" in out
    assert number["text"].replace("±", r"$\pm$") in out


def test_seeds_that_chose_rates_for_an_exhibit_are_reported_nowhere(
    call: Call, store: Store, make_grid: Callable[..., list[Run]]
) -> None:
    runs = make_grid(methods=("lora",), tasks=(QA,), seeds=(200,), rates=(1e-3, 1e-2))
    runs += make_grid(methods=("lora",), tasks=(QA,), seeds=(0, 1))
    keys = [put(store, run) for run in runs]
    places = tuple(Place(key, "lora", "micro-t5-nano", QA, 200) for key in keys)
    requested_grids.note(store, Grid("dora-table15 scale=embedded", places))
    for words in ([], ["dora-table15", "scale=embedded"]):
        [table] = json.loads(call("table", *words, "--json")[1])["tables"]
        assert set(table["rows"][0][1]["keys"]) == set(keys[2:])


def test_several_figures_stand_side_by_side(call: Call, keys: list[str]) -> None:
    words = ["--metric", "test,parameters", "--sort", "parameters.delta"]
    told = json.loads(call("table", *words, "--json")[1])
    [table] = told["tables"]
    assert table["columns"] == ["method", "test score (points of 100)", "parameters.delta", "n", "rate", "stale"]
    assert [row[0]["value"] for row in table["rows"]] == ["lora", "full"]
    assert [row[2]["value"] for row in table["rows"]] == [12288, 183936]
    alone = json.loads(call("table", "--by", "method", "--json")[1])["tables"][0]
    assert {row[0]["value"]: row[1] for row in table["rows"]} == {row[0]["value"]: row[1] for row in alone["rows"]}
    assert told["cells"][0]["parameters.delta"] == 183936
    assert "takes one axis" in call("table", *words, "--by", "method,task")[2]


def test_cells_are_named_by_the_first_digits_of_their_keys(call: Call, keys: list[str]) -> None:
    _, out, _ = call("table", keys[0][:10], keys[3][:10], "--by", "method,seed", "--json")
    told = json.loads(out)
    assert [cell["key"] for cell in told["cells"]] == [keys[0], keys[3]]
    assert told["tables"][0]["columns"][:2] == ["method", "0"]


def test_a_narrow_terminal_gets_parts_of_some_columns(
    call: Call, store: Store, make_grid: Callable[..., list[Run]], monkeypatch: pytest.MonkeyPatch
) -> None:
    for run in make_grid(methods=("full", "lora")):
        put(store, run)
    _, wide, _ = call("table")
    monkeypatch.setenv("COLUMNS", "40")
    _, narrow, _ = call("table")
    drawn = [line for line in narrow.splitlines()[2:] if line]
    assert max(map(len, drawn)) <= 40
    assert narrow.count("(continued)") >= 1
    for number in ("full", "guessing", *[word for word in wide.split() if word.startswith("±")]):
        assert number in narrow
    assert "\x1b" not in wide + narrow


def test_a_terminal_without_the_signs_gets_others(call: Call, keys: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    screen = io.TextIOWrapper(io.BytesIO(), encoding="ascii", errors="backslashreplace", write_through=True)
    monkeypatch.setattr("sys.stdout", screen)
    assert call("table")[0] == 0
    told = screen.buffer.getvalue().decode()  # type: ignore[attr-defined]
    assert " +-" in told
    assert "\\xb1" not in told


def test_colours_are_left_out_where_nobody_wants_them(monkeypatch: pytest.MonkeyPatch) -> None:
    from harness import terminal

    class Screen(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setenv("TERM", "xterm")
    for wanted in ("", "1"):
        monkeypatch.setenv("NO_COLOR", wanted)
        screen = Screen()
        monkeypatch.setattr("sys.stdout", screen)
        terminal.console().print("a", style="bold red")
        assert ("\x1b" in screen.getvalue()) == (not wanted)


def test_without_a_finished_cell_the_failed_ones_are_the_table(
    call: Call, store: Store, make_run: Callable[..., Run]
) -> None:
    key = put(store, make_run("lora", QA, 0, status="failed"))
    code, out, _ = call("table")
    assert code == 0
    assert "no cell has finished yet" in out
    assert f"1 failed: lora micro-t5-nano micro/qa seed 0 ({key[:8]})" in out
    assert json.loads(call("table", "--json")[1])["tables"] == []


def test_a_figure_that_is_null_has_its_reason(call: Call, store: Store, make_run: Callable[..., Run]) -> None:
    run = make_run("lora", QA, 0)
    memory: dict[str, Any] = {"train": {"torch_allocated_bytes": None}, "why_null": {"torch": "this ran on cpu"}}
    put(store, Run({**run.record, "memory": memory}, run.curve))
    _, out, _ = call("table", "--metric", "torch_allocated_bytes")
    assert "no finished cell has a memory.train.torch_allocated_bytes: this ran on cpu" in out


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--format", "xml"], "must be one of text, csv, md, latex, json"),
        (["nothing"], "no exhibit, grid or key 'nothing'"),
        (["delta-rankin"], "Did you mean delta-ranking"),
        (["delta-ranking", "abcd"], "one exhibit with choices, choices alone, or keys"),
        (["delta-ranking", "scale=huge"], "no scale 'huge'"),
        (["0000000000ab"], "no cell starts with"),
        (["scale=quick"], "needs an exhibit"),
        (["jobs=2"], "no setting 'jobs'"),
        (["threads=2"], "no such setting"),
        (["+method=lora"], "only `deltabench reproduce`"),
        (["method=bitfit", "seed=7"], "has no cell of method=bitfit seed=7"),
        (["dora-table15"], "has no cell of dora-table15 scale=quick"),
    ],
)
def test_what_is_no_cell_here_is_refused(call: Call, keys: list[str], words: list[str], told: str) -> None:
    code, out, err = call("table", *words)
    assert (code, out) == (2, "")
    assert told in err


def test_a_store_without_cells_has_no_table(call: Call, store: Store) -> None:
    code, _, err = call("table")
    assert (code, "there is no store yet" in err) == (2, True)
    os.makedirs(store.path / "cells")
    code, _, err = call("table")
    assert (code, "has no cells yet" in err) == (2, True)


def test_help_and_errors_come_without_pandas() -> None:
    heavy = "{'torch', 'pandas', 'numpy', 'scipy', 'transformers'} & set(sys.modules)"
    script = f"import sys\nfrom harness.cli.commands import status, sweep, table\nprint(sorted({heavy}))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_status_as_json_has_the_scores(call: Call, keys: list[str], store: Store) -> None:
    rows = {row["key"]: row for row in json.loads(call("status", "--json")[1])["cells"]}
    assert set(rows) == set(keys[:-1])
    record = store.read(keys[0])
    assert record is not None
    assert rows[keys[0]]["test"] == record["scores"]["best"]["sets"]["test"]["accuracy"]
    assert rows[keys[0]]["validation"] == record["scores"]["best"]["sets"]["validation"]["accuracy"]
    assert (rows[keys[6]]["status"], rows[keys[6]]["test"], rows[keys[6]]["seed"]) == ("failed", None, 3)


def test_what_cannot_run_is_named_beside_the_table(call: Call, store: Store) -> None:
    key = made_runs.finish(store, "micro/sentiment", 0)
    words = ("model=micro-t5-nano", "task=micro/sentiment,micro/qa", "method=lora", "objective=seq2seq,classifier")
    code, out, err = call("table", *words, "--json")
    shown = {cell["key"] for cell in json.loads(out)["cells"]}
    assert (code, len(shown)) == (0, 3)
    assert key in shown
    assert err.splitlines()[0] == "left out, because they cannot run: 1 cell"
    assert "classifier" in err
    code, out, _ = call("store", "rm", *words, "--dry-run", "--json")
    assert code == 0
    assert json.loads(out)["bytes"] > 0


def test_a_size_that_a_budget_chooses_is_the_one_that_was_solved(call: Call, store: Store) -> None:
    for fields, notes in (
        ({"rank": 4}, {}),
        ({"budget": 0.1}, {"solved_rank": 15}),
        ({"budget": 0.05}, {"solved_rank": 7}),
    ):
        run = made_runs.run("lora", QA, 0, fields=methods.resolve("lora", fields))
        put(store, Run({**run.record, "notes": notes}, run.curve))
    _, by_rank, _ = call("table", "--by", "method.rank,task", "--format", "csv")
    rows = list(csv.DictReader(io.StringIO(by_rank)))
    assert [row["method.rank"] for row in rows] == ["4", "7", "15", "guessing"]
    assert {row["model"] for row in rows} == {"micro-t5-nano, lora"}, "one table"
    _, by_method, _ = call("table", "--by", "method,task")
    assert all(f"lora {field}" in by_method for field in ("rank=4", "budget=0.05", "budget=0.1"))
    assert "rank=8" not in by_method
