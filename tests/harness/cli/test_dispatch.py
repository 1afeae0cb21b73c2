"""The command line: one sentence and exit 2 for mistakes, nothing heavy before it is needed."""

import importlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.cli import dispatch
from harness.cli.commands.list import WHAT
from harness.config.schema import Cell
from harness.errors import Halted
from harness.execution import worker
from harness.experiments.grids import grid
from harness.store import identity
from harness.store.store import SCHEMA, Store

ROOT = Path(__file__).parents[3]
HEAVY = ("torch", "transformers", "hydra", "omegaconf", "pandas", "datasets", "evaluate", "matplotlib", "scipy")


@pytest.fixture
def filled(store: Store, cell: Callable[..., Cell], setup: Callable[..., worker.Setup]) -> Store:
    """A store with a done and a failed cell."""
    for method in ("good", "error"):
        worker.attempt(store, cell(method), setup())
    return store


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    def call(*words: str) -> tuple[int, str, str]:
        capsys.readouterr()
        code = dispatch.main(words)
        return code, *capsys.readouterr()

    return call


@pytest.mark.parametrize(
    "words",
    [["--help"], ["run", "--help"], ["reproduce", "--help"], ["list", "methods"], ["list", "claims"], ["status"], []],
)
def test_nothing_heavy_is_imported(words: list[str], environment: dict[str, str], tmp_path: Path) -> None:
    script = (
        "import sys, json; from harness.cli import dispatch\n"
        f"sys.argv[1:] = {words!r}\n"
        "try: code = dispatch.main()\n"
        "except SystemExit as end: code = end.code\n"
        f"print(json.dumps([code or 0, sorted(set({HEAVY!r}) & set(sys.modules))]))"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert json.loads(done.stdout.splitlines()[-1]) == [0, []], done.stderr


def test_help_lists_every_verb(call: Callable[..., Any]) -> None:
    code, out, _ = call("--help")
    verbs = [path.stem for path in dispatch.VERBS.glob("*.py") if not path.stem.startswith("_")]
    assert code == 0
    assert set(verbs) == set(dispatch.verbs())
    assert all(f"  {verb} " in out for verb in verbs)
    assert all(map(dispatch._summary, verbs))


@pytest.mark.parametrize("what", WHAT)
def test_listings(call: Callable[..., Any], what: str) -> None:
    code, out, _ = call("list", what)
    assert code == 0
    code, listed, _ = call("list", what, "--json")
    rows = json.loads(listed)
    assert code == 0
    assert rows
    for row in rows:
        assert row["name"] in out or f"{row['name'].partition('/')[0]}/*" in out  # a long suite is one line
        assert row["about"] or what == "fields"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["rnu"], "run"),
        (["run", "method=lroa"], "lora"),
        (["run", "method=lora,full"], "sweep"),
        (["run", "x"], "not key=value"),
        (["run", "--colour"], "--colour"),
        (["sweep", "task=nothing/*"], "no task matches"),
        (["sweep", "--for", "soon"], "duration"),
        (["sweep", "launcher=jobib"], "joblib"),
        (["sweep", "jobs=0"], "jobs=0"),
        (["sweep", "rerun=all"], "rerun=all"),
        (["sweep", "+method=lora"], "reproduce"),
        (["plan", "recipe.steps=-1"], "at least 0"),
        (["plan", "keep=all"], "delta, none"),
        (["status", "method=lroa"], "lora"),
        (["show", "xyz"], "not a key"),
        (["show", "abcd", "store=nope"], "there is no store yet"),
        (["show"], "arguments are required: KEY. See"),
        (["check"], "arguments are required: EXHIBIT. See"),
        (["why", "abcd", "store=nope"], "there is no store yet"),
        (["list", "method"], "methods"),
        (["list"], "required"),
        (["run", "--config-dir", "/no/such"], "no such folder"),
        (["run", "store=/dev/null"], "is a file"),
    ],
)
def test_a_mistake_is_a_sentence(call: Callable[..., Any], tmp_path: Path, words: list[str], said: str) -> None:
    where = [f"store={tmp_path}/store"] if words[0] in ("run", "sweep", "plan", "status") else []
    code, _, err = call(*words, *(where if not any("store=" in word for word in words) else []))
    assert code == 2
    assert said in err
    assert err.startswith("deltabench: ")
    assert "Traceback" not in err
    assert not (tmp_path / "store").exists()


def test_plan(call: Callable[..., Any], tmp_path: Path) -> None:
    words = ["plan", "method=full,lora", "seed=0,1", f"store={tmp_path}/store"]
    code, out, _ = call(*words)
    assert code == 0
    assert "4 cells: 4 missing; 4 to run" in out
    head, *rows = out.split("\n\n")[0].splitlines()
    assert {row.index("missing") for row in rows} == {head.index("status")}
    assert "full 2, lora 2" in out
    code, out, _ = call(*words, "--json")
    content = json.loads(out)
    assert [row["status"] for row in content["cells"]] == ["missing"] * 4
    assert all(identity.key(identity.from_json(row["cell"])) == row["key"] for row in content["cells"])
    assert content["cost"]["seconds"] > 0
    assert content["cost"]["of"].startswith("by our own runs (")
    assert content["cost"]["of"].endswith("a rough guess for this machine")
    assert content["cost"]["bytes"] is None
    assert not (tmp_path / "store").exists()


def test_a_plan_of_what_nobody_ran_is_scaled_from_other_models(call: Callable[..., Any], tmp_path: Path) -> None:
    words = ["plan", "method=full", "model=t5-small", "model.weights=random", "task.max_target_tokens=12"]
    where = f"store={tmp_path}/store"
    assert "its time is that of other models, scaled by the operations" in call(*words, where)[1]
    cost = json.loads(call(*words, where, "--json")[1])["cost"]
    assert cost["seconds"] > 0
    assert cost["rough"] == 1


def test_status(call: Callable[..., Any], filled: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    code, out, _ = call("status", f"store={filled.path}")
    assert code == 0
    assert ["all", "1", "1"] in [line.split() for line in out.splitlines()]
    monkeypatch.setattr("harness.store.fingerprint.fingerprint", lambda *names: "another")
    code, out, _ = call("status", f"store={filled.path}", "--json")
    assert json.loads(out)["rows"] == [{"model": "stub", "task": "stub", "done": 1, "failed": 1}], (
        "its rows are today's"
    )
    monkeypatch.setattr("harness.store.fingerprint.parts", lambda *names: {"torch": "9.9"})
    code, out, _ = call("status", f"store={filled.path}", "--json")
    assert json.loads(out)["rows"] == [{"model": "stub", "task": "stub", "stale": 1, "failed": 1}]


def test_show_and_why(
    call: Callable[..., Any], filled: Store, cell: Callable[..., Cell], monkeypatch: pytest.MonkeyPatch
) -> None:
    good, error = (identity.key(cell(method))[:10] for method in ("good", "error"))
    where = f"store={filled.path}"
    code, out, _ = call("show", good, where)
    assert code == 0
    assert "accuracy 0.5" in out
    assert "command    no YAML and no package here has the method 'good'" in out
    code, out, _ = call("show", error, where)
    assert code == 0
    assert "a fault of the cell" in out
    code, out, _ = call("show", good, where, "--json")
    found = json.loads(out)
    assert found["record"]["status"] == found["status"] == "done"
    assert (found["attempts"], found["command"]) == ([{"attempt": 1, "status": "done"}], None)
    assert "the method 'good'" in found["why_null"]
    code, out, _ = call("why", good, where)
    assert "up to date" in out
    code, out, _ = call("why", good, error, where)
    assert "method.name: good | error" in out
    assert "differ in (- where a cell has no value):" in out
    code, out, _ = call("why", good, error, where, "--json")
    assert json.loads(out)["fields"] == [{"field": "method.name", "one": "good", "other": "error"}]
    assert "a fault of the cell" in call("why", error, where)[1]
    monkeypatch.setattr("harness.store.fingerprint.parts", lambda *names: {"torch": "9.9"})
    code, out, _ = call("why", good, where)
    assert "stale" in out
    assert "torch: " in out
    found = json.loads(call("why", good, where, "--json")[1])
    assert found["stale"]
    assert {row["now"] for row in found["code"] if row["part"] == "torch"} == {"9.9"}


@pytest.mark.parametrize("verb", ["show", "why"])
def test_a_key_may_stand_behind_the_store(
    call: Callable[..., Any], filled: Store, cell: Callable[..., Cell], verb: str
) -> None:
    key, where = identity.key(cell("good"))[:10], f"store={filled.path}"
    assert call(verb, where, key)[:2] == call(verb, key, where)[:2]


def test_an_exhibit_may_stand_behind_its_scale(call: Callable[..., Any], tmp_path: Path) -> None:
    where = f"store={tmp_path / 'store'}"
    words = ["scale=quick", where, "delta-gap", "--dry-run"]
    code, out, _ = call("reproduce", *words)
    assert code == 0
    assert out == call("reproduce", "delta-gap", "scale=quick", where, "--dry-run")[1]


def test_why_leaves_out_fields_without_a_value_on_either_side(
    call: Callable[..., Any], filled: Store, cell: Callable[..., Cell], monkeypatch: pytest.MonkeyPatch
) -> None:
    good, error = (identity.key(cell(method))[:10] for method in ("good", "error"))
    values = iter([{"method": {"rank": 8, "budget": None}}, {"method": {"name": "full"}}])
    monkeypatch.setattr("harness.store.identity.to_json", lambda *_, **__: next(values))
    lines = call("why", good, error, f"store={filled.path}")[1].splitlines()
    assert lines[1:3] == ["  method.name: - | full", "  method.rank: 8 | -"]
    assert not any("budget" in line for line in lines)


def test_a_finished_sweep_says_so_without_torch(environment: dict[str, str], tmp_path: Path, store: Store) -> None:
    for one in grid.expand([{"method": ["full", "none"], "seed": [0, 1]}]):
        folder = store.begin(one)
        record = {
            "schema": SCHEMA,
            "key": identity.key(one),
            "attempt": 1,
            "status": "done",
            "cell": identity.to_json(one),
        }
        store.finish(record["key"], folder, {**record, "provenance": {}, "time": {}})
    script = (
        "import sys; from harness.cli import dispatch\n"
        f"code = dispatch.main(['sweep', 'method=full,none', 'seed=0,1', {f'store={store.path}'!r}])\n"
        "print(code, 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, env=environment, capture_output=True, text=True)
    first, *_, last = done.stdout.splitlines()
    assert first.startswith("nothing left to do: 4 cells: 4 done"), done.stderr
    assert last == "0 False"


SHAPES = {
    "status": {"store", "quarantined", "running", "grids", "rows", "cells"},
    "table": {"by", "metric", "unit", "tables", "cells"},
    "show": {"key", "status", "stale", "attempts", "record", "curve", "log", "folder", "command", "why_null"},
    "why": {"key", "status", "stale", "message", "code", "inputs"},
    "store gc": {"store", "deleted", "bytes", "files"},
    "store export": {"store", "file", "records"},
    "store merge": {"store", "other", "taken", "kept", "skipped"},
    "plan": {"cells", "impossible", "cost", "search", "script", "notes"},
}


def test_json_has_the_shape_that_help_tells(
    call: Callable[..., Any], filled: Store, cell: Callable[..., Cell], tmp_path: Path
) -> None:
    key, where = identity.key(cell("good")), f"store={filled.path}"
    (tmp_path / "new").mkdir()
    lines = {
        "status": ["status", where], "table": ["table", where],
        "show": ["show", key, where], "why": ["why", key, where],
        "store gc": ["store", "gc", where], "store export": ["store", "export", str(tmp_path / "a.parquet"), where],
        "store merge": ["store", "merge", str(filled.path), f"store={tmp_path}/new"],
        "plan": ["plan", "method=full", "seed=0", where],
    }  # fmt: skip
    assert set(lines) == set(SHAPES)
    for name, line in lines.items():
        code, out, _ = call(*line, "--json")
        found = json.loads(out)
        assert (code, set(found)) == (0, SHAPES[name]), name
        about = importlib.import_module(f"harness.cli.commands.{line[0]}").__doc__
        assert all(f'"{one}"' in about for one in found), name


def test_what_came_of_it_as_json(call: Callable[..., Any], store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """On cells that are finished, so that nothing runs: the one line on the output stream is the JSON."""
    many = grid.expand([{"method": ["full", "none"], "seed": [0]}])
    for one in many:
        folder = store.begin(one)
        record = {
            "schema": SCHEMA,
            "key": identity.key(one),
            "attempt": 1,
            "status": "done",
            "cell": identity.to_json(one),
        }
        store.finish(record["key"], folder, {**record, "provenance": {}, "time": {}})
    monkeypatch.setattr("harness.store.fingerprint.fingerprint", lambda *names: "another")
    code, out, err = call("sweep", "method=full,none", "seed=0", f"store={store.path}", "--json")
    found = json.loads(out)
    assert (code, found["exit_code"], found["counts"]) == (0, 0, {"done": 2})
    assert {row["key"] for row in found["cells"]} == {identity.key(one) for one in many}
    assert all(row["stale"] for row in found["cells"])
    assert "nothing left to do" in err
    code, out, _ = call("run", "method=full", "seed=0", f"store={store.path}", "--json")
    assert json.loads(out)["record"]["status"] == "done"


def test_a_halted_sweep_has_its_outcome_as_json(
    call: Callable[..., Any], store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A script reads of a full disk what ran before it; the sentence on the disk is on the error stream."""

    def full(*_: Any, **__: Any) -> Any:
        raise Halted(f"store={store.path}: it cannot be written. Free space")

    monkeypatch.setattr("harness.execution.rounds.run", full)
    words = "sweep", "method=full,none", "seed=0", f"store={store.path}"
    code, out, err = call(*words, "--json")
    outcome = json.loads(out)
    assert (code, outcome["exit_code"], outcome["counts"]) == (1, 1, {"missing": 2})
    assert "Free space" in err
    code, out, err = call(*words)
    assert (code, out) == (1, "")
    assert "Free space" in err


@pytest.mark.parametrize("verb", ["run", "sweep", "plan", "status", "show", "why", "store", "list", "doctor"])
def test_verbs_that_tell_have_json(capsys: pytest.CaptureFixture[str], verb: str) -> None:
    with pytest.raises(SystemExit):
        dispatch.main([verb, "--help"])
    assert "--json" in capsys.readouterr().out


def test_doctor(call: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    code, out, err = call("doctor", "--json")
    rows = {row["what"]: row["state"] for row in json.loads(out)}
    assert code == ("bad" in rows.values()), err
    assert (rows["torch"], rows["isolation"], rows["store"]) == ("ok", "ok", "ok")
    assert list(tmp_path.iterdir()) == []


def test_a_fault_of_ours_is_one_line_and_a_file(call: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(words: list[str]) -> int:
        raise ZeroDivisionError("oops")

    monkeypatch.setattr(dispatch, "_dispatch", broken)
    code, _, err = call("run")
    assert code == 1
    assert "Traceback" not in err
    path = Path(err.rpartition("details in ")[2].strip().rstrip(")"))
    assert "ZeroDivisionError" in path.read_text()
    path.unlink()


def test_ctrl_c_is_130(call: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(words: list[str]) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(dispatch, "_dispatch", interrupted)
    assert call("run")[0] == 130


def test_a_store_with_a_broken_record_still_answers(
    call: Callable[..., Any], filled: Store, cell: Callable[..., Cell]
) -> None:
    key = identity.key(cell("good"))
    (filled.attempt(key, 1).path / "record.json").write_text("{")
    (filled.folder(key) / "current").unlink()
    code, out, _ = call("status", f"store={filled.path}")
    assert code == 0
    assert "interrupted" in out
    code, out, _ = call("show", key, f"store={filled.path}")
    assert code == 0
    assert "interrupted" in out
    assert "a word before the end" in out


def test_closed_streams_lead_nowhere(tmp_path: Path) -> None:
    """Else a file of the store would get the number of one of them, and what is printed would go into it."""
    script = (
        "import os, sys\nfrom harness.cli import dispatch\nassert sys.stdout is None and sys.stderr is None\n"
        "code = dispatch.main(['nosuchverb'])\nfile = open(sys.argv[1], 'w')\nprint('a')\nprint('b', file=sys.stderr)\n"
        "file.write(f'{code} {file.fileno() > 2} {all(map(os.get_inheritable, range(3)))} {sys.stderr.isatty()}')\n"
    )
    path = tmp_path / "told.txt"
    command = ["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh", sys.executable, "-c", script, str(path)]
    assert subprocess.run(command, env={**os.environ, "PYTHONPATH": str(ROOT)}, timeout=60).returncode == 0
    assert path.read_text() == "2 True True False"


@pytest.mark.parametrize("verb", dispatch.verbs())
def test_no_verb_requires_words_of_which_there_may_be_none(verb: str) -> None:
    """Otherwise its error would name them among those that are missing."""
    page, parser = importlib.import_module(f"harness.cli.commands.{verb}"), dispatch._Parser()
    page.add_arguments(parser)
    assert [action.dest for action in parser._actions if action.nargs == "*" and action.required] == []
