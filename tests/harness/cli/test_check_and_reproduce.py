"""reproduce and check on stores filled with synthetic records."""

import argparse
import dataclasses
import json
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from harness.analysis import report
from harness.analysis.output import proofs
from harness.analysis.study import open_rates
from harness.cli.commands import check, reproduce
from harness.config.schema import Cell, MethodConfig, ModelConfig, RecipeConfig, TaskConfig
from harness.errors import UsageError
from harness.experiments import exhibits
from harness.files import atomic_files
from harness.store import archive, identity
from harness.store.store import Store

SMALL = {"tasks": ("micro/qa", "micro/sentiment"), "seeds": (1, 2), "noise": 0.004}


def cell_of(run):
    """The cell of a synthetic record, with a key the store accepts."""
    said = run.record["cell"]
    return Cell(
        MethodConfig(said["method"]["name"], {}),
        ModelConfig(said["model"]["name"], "t5", revision="r"),
        TaskConfig(said["task"]["name"], digest="d"),
        "seq2seq",
        RecipeConfig(name="micro", learning_rate=said["recipe"]["learning_rate"]),
        said["seed"],
    )


def keyed(run):
    cell = cell_of(run)
    provenance = {"fingerprint": "f"}
    record = {**run.record, "key": identity.key(cell), "cell": identity.to_json(cell), "provenance": provenance}
    record["time"] = {**record["time"], "wall_s": 8.0}
    return dataclasses.replace(run, record=record)


def filled(path, runs):
    store = Store(path)
    for run in runs:
        made, folder = keyed(run), store.begin(cell_of(run))
        for row in made.curve:
            folder.append("curve.jsonl", row)
        store.finish(made.record["key"], folder, {**made.record, "attempt": 1})
    return store


@pytest.fixture
def bench(tmp_path, monkeypatch, make_grid):
    """A store with the quick grid done, a grid that expands to it, and a drain that runs nothing."""
    runs = make_grid(**SMALL)
    store = filled(tmp_path / "store", runs)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(
        "harness.experiments.grids.grid.expand", lambda blocks, holes=None: [cell_of(run) for run in runs]
    )
    monkeypatch.setattr("harness.execution.sweep.run_cells", lambda *given, **named: 0)
    return SimpleNamespace(path=tmp_path, runs=runs, store=store)


def call(verb, *words, **options):
    """The verb as the command line calls it; options stand for its flags."""
    parser = argparse.ArgumentParser()
    verb.add_arguments(parser)
    parsed = parser.parse_args(["delta-ranking", *words])
    return verb.main(argparse.Namespace(**{**vars(parsed), **options}))


def test_reproduce_ends_in_the_table_the_figure_and_the_claims(bench, capsys):
    assert call(reproduce, f"store={bench.store.path}") == 0
    out = capsys.readouterr().out
    folder = bench.path / "results" / "exhibits" / "delta-ranking" / "quick"
    assert (folder / "ranking-figure.png").is_file()
    assert out.index("mean rank") < out.index("Kendall's tau-b") < out.index("ranking-figure.png")


def test_an_unchanged_exhibit_is_not_drawn_again(bench, monkeypatch, capsys):
    call(reproduce, f"store={bench.store.path}")
    first = capsys.readouterr().out
    monkeypatch.setattr(report, "render", lambda *given: pytest.fail("drawn again"))
    call(reproduce, f"store={bench.store.path}")
    assert capsys.readouterr().out == first


def test_a_new_attempt_is_drawn(bench, capsys):
    call(reproduce, f"store={bench.store.path}")
    changed = keyed(bench.runs[0])
    folder = bench.store.begin(cell_of(bench.runs[0]))
    bench.store.finish(changed.record["key"], folder, {**changed.record, "attempt": 2})
    before = (bench.path / "results/exhibits/delta-ranking/quick/exhibit.json").stat().st_mtime_ns
    call(reproduce, f"store={bench.store.path}")
    assert (bench.path / "results/exhibits/delta-ranking/quick/exhibit.json").stat().st_mtime_ns > before


def test_dry_run_runs_and_writes_nothing(bench, monkeypatch, capsys):
    monkeypatch.setattr("harness.execution.sweep_plan._preflight", lambda *given: {})
    monkeypatch.setattr("harness.execution.sweep.run_cells", lambda *given, **named: pytest.fail("ran"))
    assert call(reproduce, "store=elsewhere", dry_run=True) == 0
    out = capsys.readouterr().out
    assert "24 cells: 24 missing" in out
    assert "24 to run" in out
    assert "by our run of delta-ranking" in out
    assert str(reproduce.Path("results/exhibits/delta-ranking/quick")) in out
    assert not (bench.path / "results").exists()
    assert not (bench.path / "elsewhere").exists()


def test_dry_run_judges_the_time_by_what_has_finished(tmp_path, monkeypatch, make_grid, capsys):
    monkeypatch.setattr("harness.execution.sweep_plan._preflight", lambda *given: {})
    runs = make_grid(**SMALL)
    store = filled(tmp_path / "store", runs[:12])
    monkeypatch.setattr(
        "harness.experiments.grids.grid.expand", lambda blocks, holes=None: [cell_of(run) for run in runs]
    )
    call(reproduce, f"store={store.path}", "jobs=2", dry_run=True)
    # 12 cells of 8 s, two at once; those of `none` have no training to wait for
    assert re.search(r"12 to run, 2 at once; about 0:(4[6-9]|5[0-2])\b", capsys.readouterr().out)


def test_filters_reach_the_grid_and_the_folder(bench, monkeypatch, capsys):
    seen = []
    monkeypatch.setattr(
        "harness.experiments.grids.grid.expand",
        lambda blocks, holes=None: seen.extend(blocks) or [cell_of(r) for r in bench.runs],
    )
    call(reproduce, "method=lora,full", "seed=1", f"store={bench.store.path}")
    assert seen[0]["method"] == ["full", "lora"]
    assert seen[0]["seed"] == [1]
    folders = [path.name for path in (bench.path / "results/exhibits/delta-ranking").iterdir()]
    assert [name.rpartition("--")[0] for name in folders] == ["quick--method=lora,full--seed=1"]


def test_a_reference_run_brings_its_records(bench, capsys):
    call(reproduce, f"store={bench.store.path}", out=str(bench.path / "reference"), export=True)
    assert "24 records" in capsys.readouterr().out
    runs = archive.from_archive(bench.path / "reference" / archive.ARCHIVE)
    assert {run.record["key"] for run in runs} == set(bench.store.keys())
    assert all(run.curve for run in runs)


def test_no_finished_cell_shows_nothing(bench, capsys):
    assert call(reproduce, "store=fresh") == 0
    assert "nothing to show yet" in capsys.readouterr().out


@pytest.mark.parametrize("words", [["scale=quik"], ["method=mine"], ["methd=lora"], ["nonsense"]])
def test_bad_words_are_usage_errors(bench, words):
    with pytest.raises(UsageError):
        call(reproduce, *words)


@pytest.fixture
def reference(bench, monkeypatch):
    """Commit what the store holds as the reference."""
    path = bench.path / "reference" / "records.jsonl.gz"
    archive.archive(bench.store, bench.store.keys(), path)
    monkeypatch.setattr(archive, "reference", lambda name: path)
    return path


def test_check_agrees_with_itself(bench, reference, capsys):
    assert call(check, f"store={bench.store.path}") == 0
    assert "12 groups in both: 12 same" in capsys.readouterr().out


def test_check_agrees_with_another_draw_and_finds_a_difference(bench, reference, make_grid, capsys):
    other = make_grid(**{**SMALL, "noise": 0.005})
    assert call(check, f"store={filled(bench.path / 'other', other).path}") == 0
    worse = make_grid(**SMALL, quality={"lora": 0.5})
    assert call(check, f"store={filled(bench.path / 'worse', worse).path}") == 1
    assert "differs" in capsys.readouterr().out


def test_check_without_a_reference_asks_the_paper(bench, monkeypatch, make_grid, capsys):
    monkeypatch.setattr(archive, "reference", lambda name: bench.path / "none.gz")
    monkeypatch.setattr(open_rates, "tuned", lambda content: True)
    upside = {"full": 0.3, "lora": 0.5, "adapter": 0.7, "prefix": 0.85, "prompt": 1.0}
    wrong = filled(bench.path / "wrong", make_grid(**SMALL, quality=upside))
    assert call(check, f"store={wrong.path}") == 1
    assert "no reference run" in capsys.readouterr().out


def test_check_says_how_much_it_compared_and_which_difference_would_not_show(bench, reference, make_grid, capsys):
    part = filled(
        bench.path / "part", [run for run in make_grid(**{**SMALL, "noise": 0.005}) if run.record["key"]][:12]
    )
    assert call(check, f"store={part.path}") == 0
    out = capsys.readouterr().out
    assert re.search(r"compared \d+ of 12 groups and \d+ of 24 cells of reference", out)
    assert re.search(r"a difference below \d+\.\d to \d+\.\d points .*95% interval\) would not be seen", out)
    assert f"reference: stale; 24 of 24 cells by an unknown commit: {proofs.NO_PROOF} (24 cells)" in out


def test_check_as_json_has_intervals_tolerance_coverage_and_the_state_of_both_sides(
    bench, reference, make_grid, capsys
):
    worse = filled(bench.path / "worse", make_grid(**SMALL, quality={"lora": 0.5}))
    assert call(check, f"store={worse.path}", json=True) == 1
    found = json.loads(capsys.readouterr().out)
    assert found["exit_code"] == 1
    assert found["compared"] == {"groups": [12, 12], "cells": [24, 24]}
    assert found["other"]["state"] == "stale"
    assert found["other"]["stale"] == {proofs.NO_PROOF: 24}
    groups = {(one["arm"], one["verdict"]): one for one in found["groups"]}
    lora = groups["lora", "differs"]
    assert lora["high"] < 0
    assert lora["tolerance"] == pytest.approx((lora["high"] - lora["low"]) / 2)
    assert groups["full", "same"]["tolerance"] == 0


def test_check_against_a_store_compares_two_code_versions(bench, make_grid, monkeypatch, capsys):
    monkeypatch.setattr(archive, "reference", lambda name: pytest.fail("the reference is not asked"))
    same = filled(bench.path / "same", bench.runs)
    assert call(check, f"store={bench.store.path}", against=str(same.path)) == 0
    out = capsys.readouterr().out
    assert "12 groups in both: 12 same" in out
    assert "compared 12 of 12 groups and 24 of 24 cells of other" in out
    assert "other: stale" in out
    worse = filled(bench.path / "worse", make_grid(**SMALL, quality={"lora": 0.5}))
    assert call(check, f"store={bench.store.path}", against=str(worse.path)) == 1
    assert "differs" in capsys.readouterr().out
    with pytest.raises(UsageError, match="store=nowhere: there is no store yet"):
        call(check, f"store={bench.store.path}", against="nowhere")


def test_stale_cells_are_marked_in_the_table_the_page_the_index_and_the_figure(bench, make_grid, tmp_path):
    exhibit = exhibits.load("delta-ranking")
    runs = make_grid(**SMALL)
    other = {**runs[2].record, "provenance": {"fingerprint": "f", "git_changed": True}}
    report.render(exhibit, "quick", runs, tmp_path / "current")
    report.render(
        exhibit, "quick", [*runs[:2], dataclasses.replace(runs[2], record=other), *runs[3:]], tmp_path / "old"
    )
    texts = {name: (tmp_path / name / "README.md").read_text() for name in ("current", "old")}
    assert "stale" not in texts["current"]
    assert "1 of 24 cells are stale" in texts["old"]
    assert "1 of 24 cells were run by code with uncommitted changes" in texts["old"]
    assert "| 1 of 4 |" in texts["old"]
    index = json.loads((tmp_path / "old" / "exhibit.json").read_text())
    assert index["stale"]["stale"] == {other["key"]: proofs.NO_PROOF}
    assert "stale" in (tmp_path / "old" / "ranking.csv").read_text().splitlines()[0]
    pictures = [(tmp_path / name / "ranking-figure.png").read_bytes() for name in ("current", "old")]
    assert pictures[0] != pictures[1]


def test_check_without_records_says_how_to_get_them(bench, reference, tmp_path):
    (tmp_path / "fresh" / "cells").mkdir(parents=True)
    for words in ([], [f"store={tmp_path / 'fresh'}"]):
        with pytest.raises(UsageError, match="deltabench reproduce delta-ranking scale=quick"):
            call(check, *words)


def test_listing_exhibits_and_claims_imports_nothing_heavy():
    code = (
        "import sys; from harness.experiments import claims, exhibits; from harness.analysis import report;"
        "assert exhibits.catalogue() and claims.names();"
        "heavy = {'torch', 'pandas', 'scipy', 'matplotlib', 'numpy'} & set(sys.modules); assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=exhibits.assets.root())


def test_an_exhibit_without_a_quick_scale_says_so():
    only = [one for one in exhibits.catalogue().values() if one.grids and "quick" not in one.grids]
    assert only
    for one in only:
        scale = one.usual_scale()
        assert f"no scale=quick: this is scale={scale}" in reproduce.scale_notice(one, scale, {})[0]
        assert reproduce.scale_notice(one, scale, {"scale": scale}) == []
    assert reproduce.scale_notice(exhibits.load("delta-ranking"), "quick", {}) == []


def test_a_folder_holds_the_tables_of_one_selection(tmp_path: Path) -> None:
    """Two grids into one output folder are refused, before anything runs."""
    exhibit = exhibits.load("delta-ranking")
    reproduce._check_same(tmp_path, exhibit, "quick", "")
    atomic_files.write_json(tmp_path / report.INDEX, {"exhibit": exhibit.name, "scale": "quick", "words": "seed=0"})
    reproduce._check_same(tmp_path, exhibit, "quick", "seed=0")
    reproduce._check_same(tmp_path, exhibit, "quick", "seed=0 --config-dir mine")
    for other, scale, words in [(exhibit, "quick", ""), (exhibit, "embedded", "seed=0")]:
        with pytest.raises(UsageError, match=r"holds the tables of `delta-ranking scale=quick seed=0`; name another"):
            reproduce._check_same(tmp_path, other, scale, words)
