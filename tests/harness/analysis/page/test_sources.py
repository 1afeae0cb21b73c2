"""What the page reads: every kind of store, and never a byte written."""

import os
import random
import re
from itertools import product
from pathlib import Path
from urllib.parse import unquote_plus

import pytest

from harness.analysis import grid_table, report
from harness.analysis.output import table
from harness.analysis.page import attempt_rows, html_file, normal_scores, sources
from harness.analysis.page.attempt_rows import Attempt
from harness.analysis.study import estimates, study
from harness.cli import dispatch
from harness.cli.commands import report as report_command
from harness.errors import UsageError
from harness.store import archive, lease, requested_grids
from harness.store.attempt_folder import FILE
from harness.store.requested_grids import Grid, Place
from harness.store.store import Store
from tasks.metrics import row_figures
from tests.harness import made_runs
from tests.harness.analysis.page.made_pages import fill, put


def read(store: Store) -> sources.Content:
    return sources.from_store(Store(store.path, read_only=True))


def tree(path: Path) -> dict[str, tuple[int, int]]:
    """Return every file of a folder with its size and the time of its last change."""
    files = [Path(folder) / name for folder, _, names in os.walk(path) for name in names]
    return {str(file): (file.stat().st_size, file.stat().st_mtime_ns) for file in files}


def test_an_empty_store_says_so(store: Store) -> None:
    content = read(store)
    assert list(content.notes) == ["This store has no record yet."]
    assert "This store has no record yet." in html_file.render(content)


def test_failures_alone_say_so(store: Store) -> None:
    for seed in (0, 1):
        put(store, made_runs.run("lora", "micro/qa", seed, status="failed").record)
    content = read(store)
    assert "No cell of this store has a result yet." in content.notes
    assert [attempt.record["status"] for attempt in content.attempts] == ["failed", "failed"]
    assert "2 failed" in html_file.render(content)


def test_one_cell_has_a_table(store: Store) -> None:
    made = made_runs.run("lora", "micro/qa", 0)
    put(store, made.record, made.curve)
    content = read(store)
    assert [shown.name for shown in content.exhibits] == ["all-cells"]
    assert content.exhibits[0].tables[0].rows[0][0].text.startswith("lora")


def test_stored_bytes_are_those_of_the_file_where_there_is_one(store: Store) -> None:
    keys = [put(store, made_runs.run("lora", "micro/qa", seed).record) for seed in (0, 1)]
    store.attempt(keys[0], 1).path.joinpath(FILE).write_bytes(b"x" * 1234)
    attempts = {attempt.record["key"]: attempt for attempt in read(store).attempts}
    made = attempt_rows.rows(list(attempts.values()), {})
    stored = made["values"][[column["name"] for column in made["columns"]].index("stored")]
    counted = attempts[keys[1]].record["parameters"]
    assert dict(zip(attempts, stored, strict=True)) == {
        keys[0]: 1234,
        keys[1]: 4 * (counted["delta"] + (counted.get("head") or 0)),
    }


def test_a_cell_of_a_store_and_of_a_reference_run_keep_their_origins_and_numbers(store: Store) -> None:
    runs = made_runs.grid(methods=("none", "full", "lora"), tasks=("micro/qa",), noise=0.001)
    own = [Attempt(run.record, run.curve, "own") for run in runs]
    ours = [Attempt(run.record, run.curve, "ours") for run in runs if run.record["cell"]["method"]["name"] != "lora"]
    both = sources.joined(sources.Content("a store", [], own), sources.Content("our reference runs", [], ours))
    assert [attempt.origin for attempt in both.attempts] == [""] * len(own) + ["reference"] * len(ours)
    made = attempt_rows.rows(both.attempts, {("own", both.attempts[0].record["key"]): 0.25})
    columns = dict(zip((column["name"] for column in made["columns"]), made["values"], strict=True))
    assert columns["normalised"][0] == 0.25
    assert columns["normalised"][len(own)] is None
    assert "origin" not in [column["name"] for column in attempt_rows.rows(own, {})["columns"]]


def test_an_exhibit_with_a_method_of_ones_own_has_an_address_that_a_browser_reads_back(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A plus in an address is a space to a browser."""
    monkeypatch.setattr(report, "_draw", lambda *_: ([], {}))
    keys = [put(store, made.record, made.curve) for made in made_runs.grid()]
    places = tuple(Place(key, "lora", "micro-t5-nano", "micro/qa", 200) for key in keys)
    requested_grids.note(store, Grid("delta-ranking scale=quick +method=mine", places))
    page = html_file.render(read(store))
    name = "delta-ranking@quick,+method=mine"
    assert f'data-exhibit="{name}"' in page
    linked = {unquote_plus(text) for text in re.findall(r'href="#exhibit=([^"]+)"', page)}
    assert linked == {name, "all-cells"}
    claims = {unquote_plus(text) for text in re.findall(r'href="#claim=([^"]+)"', page)}
    assert claims
    assert claims == set(re.findall(r'id="claim=([^"]+)"', page))


def test_nothing_is_written_into_the_store(store: Store) -> None:
    fill(store)
    before = tree(store.path)
    html_file.render(read(store))
    assert tree(store.path) == before


def test_a_store_that_is_being_written_says_so(store: Store) -> None:
    key = fill(store)[0]
    held = lease.acquire(store.leases, key)
    assert held is not None
    assert any("being written" in note for note in read(store).notes)
    held.release()


def test_a_file_that_does_not_parse_is_named_and_the_rest_is_shown(store: Store) -> None:
    keys = fill(store)
    store.attempt(keys[0], 1).path.joinpath("record.json").write_text("{")
    content = read(store)
    assert len(content.attempts) == 6
    assert keys[0] not in {attempt.record["key"] for attempt in content.attempts}


def test_what_a_store_says_on_a_terminal_is_text(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    content = sources.Content("a store", [], [], ["a grid named \x1b[2J"])
    monkeypatch.setattr(report_command, "chosen", lambda *_: content)
    assert dispatch.main(["report", f"store={store.path}", "--out", str(tmp_path / "page.html")]) == 0
    assert capsys.readouterr().out.startswith("a grid named \\x1b[2J\n")


def test_an_unknown_exhibit_is_a_sentence(store: Store) -> None:
    with pytest.raises(UsageError, match=r"there is no reference run named 'delta-rankin'.*delta-ranking"):
        sources.from_reference(["delta-rankin"])
    with pytest.raises(UsageError, match="there is no exhibit in the store"):
        sources.from_store(store, ["delta-ranking"])


def test_a_reference_run_has_its_figures_tables_and_attempts() -> None:
    content = sources.from_reference(["dora-table15"])
    [shown] = content.exhibits
    assert set(shown.figures) == {"field-figure"}
    assert len(content.attempts) == len(archive.from_archive(archive.reference("dora-table15")))
    page = html_file.render(content)
    assert page.count("<img ") == 1
    assert 'alt="Figure (field) of Robustness towards the rank' in page
    assert "@inproceedings{liu2024dora" in "".join(html_file.exhibit_parts.files(content.exhibits).values())


def test_normalised_scores_lie_between_floor_and_ceiling() -> None:
    runs = made_runs.grid(methods=("none", "full", "lora"), tasks=("micro/qa",), noise=0.001)
    attempts = [Attempt(run.record, run.curve, "made") for run in runs]
    scores = normal_scores.of(attempts, {"made": ("none", "full")})
    by_method = {
        method: [scores["made", a.record["key"]] for a in attempts if a.record["cell"]["method"]["name"] == method]
        for method in ("none", "full", "lora")
    }
    assert by_method["none"] == pytest.approx([0, 0, 0], abs=0.03)
    assert by_method["full"] == pytest.approx([1, 1, 1], abs=0.03)
    assert by_method["lora"] == pytest.approx([0.92] * 3, abs=0.05)
    assert normal_scores.of(attempts, {"made": ("full", "none")}) == {}


def test_an_exhibit_that_ran_in_a_store_is_drawn_and_its_numbers_lead_to_its_cells(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(report, "_draw", lambda *_: ([], {}))
    keys = [put(store, made.record, made.curve) for made in made_runs.grid()]
    places = tuple(Place(key, "lora", "micro-t5-nano", "micro/qa", 200) for key in keys)
    requested_grids.note(store, Grid("delta-ranking scale=quick", places))
    requested_grids.note(store, Grid("dora-table15 scale=quick", ()))
    content = read(store)
    assert [shown.name for shown in content.exhibits] == ["delta-ranking@quick", "all-cells"]
    assert "dora-table15 scale=quick: no cell has finished yet." in content.notes
    assert {attempt.group for attempt in content.attempts} == {"delta-ranking scale=quick"}
    page = html_file.render(content)
    assert 'id="exhibit=delta-ranking@quick"' in page
    linked = {key for names in re.findall(r"#cells&amp;keys=([0-9a-f,]+)", page) for key in names.split(",")}
    assert len(linked) > 30
    assert linked <= {key[:7] for key in keys}
    assert "deltabench reproduce delta-ranking scale=quick" in page
    assert [shown.name for shown in sources.from_store(store, ["delta-ranking"]).exhibits] == ["delta-ranking@quick"]


def test_the_page_and_the_table_have_the_interval_of_an_exhibit(store: Store) -> None:
    """All of them know what each test row scored, and one number has one interval."""
    draw = random.Random(0)
    easy = [draw.random() for _ in range(200)]
    keys = []
    for method, seed in product(("lora", "full"), range(3)):
        made = made_runs.run(method, "micro/qa", seed)
        figures = [float(draw.random() < chance) for chance in easy]
        [scored] = [made.record["scores"]["best"]["sets"]["test"]]
        scored |= {"accuracy": sum(figures) / len(figures), "n": len(figures)}
        keys.append(put(store, made.record, made.curve))
        packed = {"best": {"test": row_figures.pack(figures)}}
        store.attempt(keys[-1], 1).write("row_scores.json", packed)
    [of_an_exhibit] = study.studies(grid_table.plain("mine"), archive.from_store(store, keys))
    wanted = {
        arm: (entry.low, entry.high)
        for arm in ("lora", "full")
        for entry in [table.number(estimates.score(of_an_exhibit.clean, arm), 100)]
    }
    everything = grid_table.everything(store, requested_grids.noted(store))
    for [shown] in (read(store).exhibits[0].tables, grid_table.make(store, everything).tables):
        place = shown.columns.index("mean") if "mean" in shown.columns else 1
        assert {row[0].value: (row[place].low, row[place].high) for row in shown.rows[:2]} == wanted
        assert any("the spread of what each row scored" in note for note in shown.notes)


def test_cells_stand_in_the_order_in_which_they_were_wanted(store: Store) -> None:
    keys = {method: put(store, made_runs.run(method, "micro/qa", 0).record) for method in ("prompt", "lora", "bitfit")}
    places = [Place(key, method, "micro-t5-nano", "micro/qa", None) for method, key in keys.items()]
    requested_grids.note(store, Grid("mine", tuple(places)))
    assert list(grid_table.everything(store, requested_grids.noted(store)).cells) == list(keys.values())
