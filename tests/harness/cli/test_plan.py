"""`plan` says what `sweep` does: one decision, the same lines, the same refusals."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.cli import dispatch

Call = Callable[..., tuple[int, str, str]]


@pytest.fixture
def call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    """The command line with a preflight in this process, to which only prefix tuning has no place; nothing runs."""

    def preflight(target: str, arguments: tuple[Any, ...], modules: Any) -> list[str | None]:
        names = [getattr(pair[0], "name", "") for pair in arguments[0]]
        return [None, *("prefix has no place here" if name == "prefix" else None for name in names)]

    monkeypatch.setattr("harness.processes.forkserver.call", preflight)
    monkeypatch.setattr("harness.execution.launch.run_pending", lambda *given: None)

    def call(*words: str) -> tuple[int, str, str]:
        capsys.readouterr()
        code = dispatch.main([*words, f"store={tmp_path / 'store'}"])
        return code, *capsys.readouterr()

    return call


@pytest.mark.parametrize("words", [("method=lora,full", "seed=0,1"), ("method=lora,prefix", "--skip-impossible")])
def test_a_dry_run_is_the_plan(call: Call, tmp_path: Path, words: tuple[str, ...]) -> None:
    assert call("sweep", *words, "--dry-run") == call("plan", *words)
    assert call("sweep", *words, "--dry-run", "--json") == call("plan", *words, "--json")
    assert not (tmp_path / "store").exists()


@pytest.mark.parametrize(
    "words",
    [
        ("method=lora,prefix",),
        ("method=prefix", "--skip-impossible"),
        ("method=soup,lora", "task=micro/sentiment,micro/qa", "objective=seq2seq,classifier"),
        ("launcher=nosuch",), ("launcher=joblib", "launcher.partition=gpu"), ("launcher=joblib", "jobs=0"),
        ("launcher.gpus=2",), ("launcher=joblib", "jobs=2", "launcher.jobs=3"),
        ("rerun=everything",), ("device=abacus", "method=prefix"), ("threads=0",), ("colour=red",),
        ("tracker=nosuch",), ("probe=nosuch",), ("keep=none", "method=soup", "parents.a={method: full}"),
    ],
)  # fmt: skip
def test_a_plan_refuses_what_a_sweep_refuses(call: Call, tmp_path: Path, words: tuple[str, ...]) -> None:
    code, _, err = call("sweep", *words)
    assert code == 2
    assert (code, err) == (call("plan", *words)[0], call("plan", *words)[2])
    assert not (tmp_path / "store").exists()


def test_what_a_reader_should_know_of_the_rows_is_in_the_plan_and_at_the_start_of_a_sweep(
    call: Call, tmp_path: Path
) -> None:
    """Generated rows are not made for it by a sweep, which would take time."""
    for split in ("train", "test"):
        rows = [{"text": f"{split} {i}", "label": 1} for i in range(20)]
        (tmp_path / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    words = ["task=own", f"task.data_dir={tmp_path}", "task.template={text}", "task.label_words=[bad,good]"]
    words += ["method=lora", "model=micro-t5-nano", "task.max_unknown_share=1"]
    line = "task own: all 18 rows of its train split have the label 'good'; all 2 rows of its validation split have"
    plan, sweep = call("plan", *words)[1], call("sweep", *words)[1]
    assert (plan.count(line), sweep.count(line)) == (1, 1)
    assert [note.startswith(line) for note in json.loads(call("plan", *words, "--json")[1])["notes"]].count(True) == 1


def test_what_cannot_run_is_in_the_plan_and_in_the_status(call: Call) -> None:
    words = ("method=lora,prefix", "seed=0,1")
    code, _, err = call("plan", *words)
    assert code == 2
    assert err.splitlines() == [
        "deltabench: 2 of 4 cells cannot run; --skip-impossible goes on with the other 2.",
        "  prefix × micro-t5-nano × micro/sentiment (2 cells): prefix has no place here",
    ]
    found = json.loads(call("plan", *words, "--skip-impossible", "--json")[1])
    assert [(gap["method"], gap["cells"]) for gap in found["impossible"]] == [("prefix", 2)]
    assert [row["cell"]["method"]["name"] for row in found["cells"]] == ["lora", "lora"]
    call("sweep", *words, "--skip-impossible")
    [grid] = json.loads(call("status", *words, "--json")[1])["grids"]
    assert (grid["cells"], grid["counts"], grid["left"]) == (4, {"missing": 4}, 2)
    assert "cannot run: prefix × micro-t5-nano" in call("status", *words)[1]


def test_the_launcher_of_a_plan_is_that_of_the_sweep(call: Call) -> None:
    words = ("method=lora", "seed=0,1,2", "launcher=joblib", "launcher.jobs=3")
    assert "3 to run, 3 at once with launcher=joblib" in call("plan", *words)[1]
    assert json.loads(call("plan", *words, "--json")[1])["cost"]["launcher"] == "joblib"
    assert "3 to run, 3 at once; about" in call("plan", *words[:2], "launcher.jobs=3")[1]


def test_without_rows_a_plan_is_a_forecast_and_refuses_what_a_sweep_refuses(
    call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DELTABENCH_DATA", raising=False)
    monkeypatch.setattr("harness.forecast.gpu_hours.lines", lambda many, on: [])
    words = ("method=lora", "task=commonsense_170k")
    code, out, error = call("plan", *words)
    assert code == 2
    assert "rows are absent, so no cell can be looked up" in out
    assert "task.data_dir=FOLDER" in error
    assert call("plan", *words, "--json") == (2, "", error)
    assert call("sweep", *words) == (2, "", error)


def test_a_size_that_a_budget_chooses_is_not_shown(call: Call) -> None:
    """It is solved when the backbone is there, and the default is not used."""
    _, out, _ = call("plan", "method=lora,full", "method.budget=10%")
    [line] = [line for line in out.splitlines() if "budget=0.1" in line and "missing" in line]
    assert " rank=" not in line
    assert "method.budget=10% is a field of lora; full runs without it" in out
