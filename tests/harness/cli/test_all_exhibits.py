"""Every exhibit of a scale in one command: order, time, failures, and what is refused."""

import argparse
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.cli import all_exhibits, dispatch
from harness.errors import UsageError
from harness.execution.rounds import STOPPED
from harness.experiments import exhibits

NAMES = ("delta-gap", "delta-ranking", "dora-table15")


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(exhibits, "names", lambda folders=(): NAMES)
    monkeypatch.chdir(tmp_path)


def given(*words: str, **options: object) -> argparse.Namespace:
    usual = {"exhibit": None, "all": True, "words": list(words), "dry_run": False, "duration": None, "out": None}
    return argparse.Namespace(**{**usual, "until_decided": False, "open": False, **options})


def recorded(codes: dict[str, int | UsageError], seen: list[argparse.Namespace]) -> Callable[..., int]:
    def one(arguments: argparse.Namespace) -> int:
        seen.append(arguments)
        code = codes.get(arguments.exhibit, 0)
        if isinstance(code, UsageError):
            raise code
        return code

    return one


def test_the_exhibit_that_shows_anothers_cells_comes_after_it() -> None:
    seen: list[argparse.Namespace] = []
    assert all_exhibits.run(given("scale=quick"), recorded({}, seen)) == 0
    assert [one.exhibit for one in seen] == ["delta-ranking", "dora-table15", "delta-gap"]
    assert all(not one.all for one in seen)


def test_what_is_left_is_counted_in_the_store_that_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    counted: list[Path] = []
    monkeypatch.setattr(all_exhibits, "_shares", lambda chosen, scale, store: counted.append(store.path) or ())
    for words in (["store=mine"], []):
        assert all_exhibits.run(given("scale=quick", *words, dry_run=True), recorded({}, [])) == 0
    assert counted == [Path("mine"), Path("results/store")]


def test_an_exhibit_that_cannot_run_stops_no_other_and_the_worst_code_is_returned(
    capsys: pytest.CaptureFixture[str],
) -> None:
    seen: list[argparse.Namespace] = []
    codes: dict[str, int | UsageError] = {"delta-ranking": UsageError("no rows here."), "dora-table15": 1}
    assert all_exhibits.run(given("scale=quick"), recorded(codes, seen)) == 2
    assert len(seen) == 3
    told = capsys.readouterr()
    assert "deltabench: delta-ranking: no rows here." in told.err
    assert told.out.splitlines()[-3:] == [
        "delta-ranking: could not run here",
        "dora-table15: some cells failed",
        "delta-gap: done",
    ]


def test_each_gets_the_time_that_is_left_and_its_own_folder() -> None:
    seen: list[argparse.Namespace] = []
    all_exhibits.run(given("scale=quick", duration="10m", out="made"), recorded({}, seen))
    assert all(590 <= int(one.duration.removesuffix("s")) <= 600 for one in seen)
    assert seen[0].out == "made/delta-ranking"


def test_when_the_time_is_over_the_others_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert all_exhibits.run(given("scale=quick", duration="0.5s"), recorded({}, [])) == STOPPED
    assert "not begun: delta-ranking, dora-table15, delta-gap" in capsys.readouterr().out


def test_a_person_who_stops_one_stops_all() -> None:
    seen: list[argparse.Namespace] = []
    assert all_exhibits.run(given("scale=quick"), recorded({"delta-ranking": STOPPED}, seen)) == STOPPED
    assert len(seen) == 1


def test_a_dry_run_counts_a_shared_cell_once(capsys: pytest.CaptureFixture[str]) -> None:
    all_exhibits.run(given("scale=quick", dry_run=True), recorded({}, []))
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("delta-ranking: 36 cells, 36 to run, 0 shared")
    assert lines[2].startswith("delta-gap: 36 cells, 0 to run, 36 shared with exhibits above")
    assert lines[-1].startswith("3 exhibits at scale=quick: ")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["reproduce", "--all", "delta-gap"], "--all runs every exhibit, and this names delta-gap"),
        (["reproduce", "--all", "task=micro/qa"], "it takes no choice of cells (task)"),
        (["reproduce", "--all", "scale=qick"], "no exhibit has the scale 'qick'. Did you mean quick?"),
        (["reproduce", "--all", "--until-decided"], "give --until-decided with one exhibit"),
        (["reproduce"], "name an exhibit of `deltabench list exhibits`, or give --all"),
    ],
)
def test_what_it_cannot_do_is_said_in_one_sentence(
    words: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert dispatch.main(words) == 2
    printed = capsys.readouterr().err.strip()
    assert told in printed
    assert "\n" not in printed
