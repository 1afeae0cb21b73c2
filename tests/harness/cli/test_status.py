"""`status`: what the store holds, what is missing of what was asked for, and how long the rest takes."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.cli import dispatch
from harness.config.schema import Cell
from harness.store import identity, lease, requested_grids
from harness.store.attempt_folder import RECORD
from harness.store.requested_grids import Gap
from harness.store.store import SCHEMA, Store

Call = Callable[..., tuple[int, str, str]]


@pytest.fixture
def put(store: Store, cell: Callable[..., Cell], monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """A finished attempt in the store, made by the code of today."""
    monkeypatch.setattr("harness.store.fingerprint.fingerprint", lambda *names: "today")

    def put(method: str, seed: int = 0, status: str = "done", wall_s: float = 10.0, mark: str = "today") -> str:
        one = cell(method, seed)
        folder, key = store.begin(one), identity.key(one)
        record = {"schema": SCHEMA, "key": key, "attempt": folder.number, "status": status, "scores": {}}
        about = {"cell": identity.to_json(one), "time": {"wall_s": wall_s}, "provenance": {"fingerprint": mark}}
        store.finish(key, folder, {**record, **about})
        return key

    return put


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str], store: Store) -> Iterator[Call]:
    def call(*words: str) -> tuple[int, str, str]:
        capsys.readouterr()
        code = dispatch.main([*words, f"store={store.path}"])
        return code, *capsys.readouterr()

    return call


def test_a_grid_knows_what_is_missing_and_how_long_it_takes(
    store: Store, put: Callable[..., str], cell: Callable[..., Cell], call: Call
) -> None:
    put("lora", 0, wall_s=10.0)
    put("lora", 1, wall_s=30.0)
    put("lora", 2, status="oom")
    put("lora", 3, status="failed")
    put("lora", 4, mark="yesterday")
    requested_grids.note(store, requested_grids.of("mine", [cell("lora", seed) for seed in range(7)]))
    code, out, _ = call("status", "--json")
    assert code == 0
    [found] = json.loads(out)["grids"]
    assert found.pop("at_once") >= 1
    assert found.pop("seconds_left") <= 3 * 20
    expected = {"done": 2, "stale": 1, "oom": 1, "failed": 1, "missing": 2}
    assert found == {
        "grid": "mine",
        "cells": 7,
        "counts": expected,
        "left": 3,
        "why_null": None,
        "note": None,
        "impossible": [],
        "without_rows": [],
    }
    _, out, _ = call("status")
    assert "3 cells, about 0:" in out
    assert "stale cells count as done" in out


def test_without_a_finished_cell_the_time_is_unknown(
    store: Store, put: Callable[..., str], call: Call, cell: Any
) -> None:
    put("lora", 0, status="failed")
    requested_grids.note(store, requested_grids.of("mine", [cell("lora", seed) for seed in range(2)]))
    [found] = json.loads(call("status", "--json")[1])["grids"]
    assert found["seconds_left"] is None
    assert found["why_null"]
    assert "time unknown" in call("status")[1]


def test_what_runs_is_shown_with_its_step(store: Store, call: Call, cell: Callable[..., Cell]) -> None:
    folder = store.begin(cell("lora"))
    folder.append("curve.jsonl", {"step": 25})
    held = lease.acquire(store.leases, identity.key(cell("lora")))
    assert held is not None
    found = json.loads(call("status", "--json")[1])
    assert found["running"] == [{"key": identity.key(cell("lora")), "step": 25, "steps": 200}]
    assert "step 25 of 200" in call("status")[1]
    held.release()
    assert json.loads(call("status", "--json")[1])["rows"] == [{"model": "stub", "task": "stub", "interrupted": 1}]


def test_an_exhibit_that_was_never_asked_for_is_all_missing(call: Call, store: Store) -> None:
    (store.path / "cells").mkdir(parents=True)
    code, out, _ = call("status", "delta-rank*", "scale=quick", "--json")
    assert code == 0
    [found] = json.loads(out)["grids"]
    assert found["grid"] == "delta-ranking scale=quick"
    assert found["counts"] == {"missing": found["cells"]}
    assert found["cells"] == found["left"] > 0
    assert [path.name for path in store.path.rglob("*")] == ["cells"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nothing"], "no exhibit"),
        (["delta-ranking", "seed=0"], "not both"),
        (["scale=quick"], "needs an exhibit"),
        (["delta-ranking", "scale=huge"], "no scale"),
    ],
)
def test_what_is_not_understood_is_said(call: Call, store: Store, words: list[str], said: str) -> None:
    code, _, err = call("status", *words)
    assert code == 2
    assert said in err
    assert not store.path.exists()


@pytest.mark.parametrize("content", ["{", "[]", '{"grid": 1}', '{"grid": "a", "cells": [["../x", "a", "b", "c", 1]]}'])
def test_a_broken_note_goes_to_quarantine(store: Store, put: Callable[..., str], call: Call, content: str) -> None:
    put("lora")
    path = store.path / "grids" / "a.json"
    path.parent.mkdir()
    path.write_text(content)
    code, out, _ = call("status")
    assert code == 0
    assert "quarantine: 1 damaged file in" in out
    assert not path.exists()


def test_a_grid_asked_for_again_is_one_grid(store: Store, cell: Callable[..., Cell]) -> None:
    store.register(cell("lora"))
    for count in (1, 3):
        requested_grids.note(store, requested_grids.of("mine", [cell("lora", seed) for seed in range(count)]))
    requested_grids.note(store, requested_grids.of("", [cell("lora")]))
    [found] = requested_grids.noted(store)
    assert found == requested_grids.of("mine", [cell("lora", seed) for seed in range(3)])


def test_words_name_a_grid() -> None:
    block = {"method": ["full", "lora"], "method.targets": [["q", "v"]], "seed": [0], "method.merge": [True, None]}
    assert requested_grids.name_of(block) == "method=full,lora method.targets=[q,v] seed=0 method.merge=true,null"


def test_what_cannot_run_is_missing_with_its_reason(
    store: Store, put: Callable[..., str], cell: Callable[..., Cell], call: Call
) -> None:
    put("lora", 0)
    unmade = Gap("full", "m", "b", 2, "a task without rows")
    refused = Gap("lora", "m", "a", 1, "a bad rank", (identity.key(cell("lora", 1)),))
    requested_grids.note(
        store, requested_grids.of("mine", [cell("lora", seed) for seed in range(3)], [unmade, refused])
    )
    [found] = json.loads(call("status", "--json")[1])["grids"]
    assert (found["cells"], found["counts"], found["left"]) == (5, {"done": 1, "missing": 4}, 1)
    assert [gap["reason"] for gap in found["impossible"]] == ["a task without rows", "a bad rank"]
    out = call("status")[1]
    assert "mine: cannot run: full × m × b (2 cells): a task without rows" in out
    assert "mine: cannot run: lora × m × a (1 cell): a bad rank" in out


def test_a_grid_in_words_has_the_gaps_that_its_sweep_noted(store: Store, cell: Callable[..., Cell]) -> None:
    store.path.mkdir()
    many = [cell("lora", seed) for seed in range(2)]
    gap = Gap("lora", "m", "a", 1, "a bad rank", (identity.key(many[1]),))
    requested_grids.note(store, requested_grids.of("mine", many, [gap]))
    noted = requested_grids.noted(store)
    assert requested_grids.with_noted_gaps(requested_grids.of("mine", many), noted).gaps == (gap,)
    assert requested_grids.with_noted_gaps(requested_grids.of("mine", many[:1]), noted).gaps == ()
    assert requested_grids.with_noted_gaps(requested_grids.of("other", many), noted).gaps == ()


def test_watch_shows_it_again_until_it_is_interrupted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from harness.cli.commands import status

    waited: list[float] = []

    def sleep(seconds: float) -> None:
        waited.append(seconds)
        if len(waited) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(status.time, "sleep", sleep)
    monkeypatch.chdir(tmp_path)
    assert dispatch.main(["status", "--watch"]) == 0
    assert waited == [status.WATCH_S] * 2
    assert capsys.readouterr().out.count("no cells yet") == 2


@pytest.fixture
def good_and_bad(store: Store, put: Callable[..., str]) -> tuple[str, str]:
    """Two finished cells, of which the second has a damaged record."""
    good, bad = (put("good", seed) for seed in (0, 1))
    store.counting_file(bad, RECORD).write_text("{")
    return good, bad


def test_a_damaged_record_is_not_counted_in_the_call_that_finds_it(good_and_bad: tuple[str, str], call: Call) -> None:
    first, second = (json.loads(call("status", "--json")[1]) for _ in range(2))
    assert first["rows"] == second["rows"]
    assert first["cells"] == second["cells"]
    assert [cell["key"] for cell in first["cells"] if cell["status"] == "done"] == [good_and_bad[0]]
    assert first["quarantined"] == 1


def test_a_damaged_record_is_not_counted_in_a_store_that_is_only_read(
    store: Store, good_and_bad: tuple[str, str], call: Call
) -> None:
    good, bad = good_and_bad
    _, out, _ = call("status", "--json", "--read-only")
    states = {cell["key"]: cell["status"] for cell in json.loads(out)["cells"]}
    assert states == {good: "done", bad: "interrupted"}
    assert store.counting_file(bad, RECORD).read_text() == "{"


@pytest.mark.parametrize("options", [(), ("--read-only",)])
def test_a_cell_whose_record_was_damaged_has_ended_once(
    store: Store, good_and_bad: tuple[str, str], call: Call, options: tuple[str, ...]
) -> None:
    """Every verb that says why it has no record names the damage, in the call that finds it and later."""
    _, bad = good_and_bad
    outcome = "moves it to quarantine and runs it again" if options else "in quarantine; the same command runs it again"
    for _ in range(2):
        cells = {cell["key"]: cell for cell in json.loads(call("status", "--json", *options)[1])["cells"]}
        assert cells[bad]["why_null"].endswith(outcome)
        assert f"{bad[:12]} is interrupted: {cells[bad]['why_null']}" in call("why", bad, *options)[1]
        assert f"({bad[:8]}): {cells[bad]['why_null']}\n" in call("table", *options)[1]
        assert json.loads(call("show", bad, "--json", *options)[1])["attempts"] == [{"attempt": 1, "status": "damaged"}]
    store.next_attempt(bad)
    assert [each["status"] for each in json.loads(call("show", bad, "--json", *options)[1])["attempts"]] == [
        "damaged",
        "cut off",
    ]


def test_a_record_that_leads_nowhere_is_not_counted(store: Store, put: Callable[..., str], call: Call) -> None:
    path = store.counting_file(put("good"), RECORD)
    path.unlink()
    path.symlink_to("nowhere")
    _, out, _ = call("status", "--json")
    assert [cell["status"] for cell in json.loads(out)["cells"]] == ["interrupted"]
