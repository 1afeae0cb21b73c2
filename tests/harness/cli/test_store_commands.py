"""Merge, export and gc: what is better is taken over, everything is in one file, no record is ever lost."""

import gzip
import json
import os
import shutil
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from harness.cli import dispatch, until_decided
from harness.config.schema import Cell
from harness.errors import UsageError
from harness.files import plain_files
from harness.store import garbage_collection, identity, lease, merge, requested_grids
from harness.store.store import SCHEMA, Store
from tasks.metrics import row_figures

Put = Callable[..., str]
Call = Callable[..., tuple[int, str, str]]


@pytest.fixture
def put(cell: Callable[..., Cell], monkeypatch: pytest.MonkeyPatch) -> Put:
    """A finished attempt in a store, made by the code of today."""
    monkeypatch.setattr("harness.store.fingerprint.fingerprint", lambda *names: "today")

    def put(store: Store, method: str = "lora", seed: int = 0, status: str = "done", mark: str = "today") -> str:
        one = cell(method, seed)
        folder, key = store.begin(one), identity.key(one)
        folder.append("curve.jsonl", {"step": folder.number, "scores": {"validation": 0.5}})
        (folder.path / "log.txt").write_text(f"{store.path.name} {folder.number}")
        (folder.path / "delta-best.safetensors").write_bytes(b"w" * 1000)
        point = {"step": 3, "sets": {"test": {"accuracy": 0.5, "n": 4}, "validation": {"accuracy": 0.25}}}
        parts = {"scores": {"best": point, "last": point}, "task_facts": {"metric": "accuracy", "tests": ["test"]}}
        about = {
            "time": {"wall_s": 1.5, "train_s": 1.0},
            "parameters": {"delta": 7},
            "provenance": {"fingerprint": mark},
        }
        record = {
            "schema": SCHEMA,
            "key": key,
            "attempt": folder.number,
            "status": status,
            "cell": identity.to_json(one),
        }
        store.finish(key, folder, {**record, **parts, **about})
        return key

    return put


@pytest.fixture
def other(tmp_path: Path) -> Store:
    return Store(tmp_path / "other")


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Call:
    def call(*words: str) -> tuple[int, str, str]:
        capsys.readouterr()
        code = dispatch.main(words)
        return code, *capsys.readouterr()

    return call


@pytest.mark.parametrize("name", ["leases", "grids", "quarantine", "shard", "cell", "attempts"])
def test_nothing_is_written_or_freed_through_a_link_out_of_the_store(
    name: str, store: Store, put: Put, cell: Callable[..., Cell], call: Call, tmp_path: Path
) -> None:
    """What leads out of a store that others write, too, is theirs to follow, not ours."""
    folder, outside = store.folder(put(store)), tmp_path / "outside"
    own = {"shard": folder.parent, "cell": folder, "attempts": folder / "attempts"}.get(name, store.path / name)
    own.rename(outside) if own.exists() else outside.mkdir()
    (outside / ".tmp-old").touch()
    os.utime(outside / ".tmp-old", (1, 1))
    own.symlink_to(outside)
    before = _files(outside)
    assert call("store", "gc", "--delete", f"store={store.path}")[0] == (2 if name == "leases" else 0)
    if name in ("shard", "cell", "attempts"):
        with pytest.raises(NotADirectoryError, match=own.name):
            store.begin(cell("lora"))
    elif name == "leases":
        with pytest.raises(UsageError, match=r"leases is a link.*remove it"):
            store.check_writable()
    else:
        requested_grids.note(store, requested_grids.of("mine", [cell("lora")]))
        store.quarantine("grid", folder / "cell.json", "as a test says")
        assert (folder / "cell.json").exists() == (name == "quarantine")
    assert _files(outside) == before


def _files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_what_is_better_is_taken_over(store: Store, other: Store, put: Put, call: Call) -> None:
    same, mine_better = put(store, seed=0), put(store, seed=1)
    theirs_better, fresher, failed = put(store, seed=2, status="failed"), put(store, seed=3, mark="old"), "failed"
    put(other, seed=0)
    put(other, seed=1, status=failed)
    put(other, seed=2)
    put(other, seed=3)
    put(other, seed=4, status=failed)
    only_theirs = put(other, seed=4)
    requested_grids.note(other, requested_grids.of("theirs", []))
    before = _files(other.path)
    code, out, _ = call("store", "merge", str(other.path), f"store={store.path}", "--dry-run", "--json")
    told = json.loads(out)
    assert (code, sorted(told["taken"])) == (0, sorted([theirs_better, fresher, only_theirs]))
    assert list(store.attempts(only_theirs)) == []
    code, out, _ = call("store", "merge", str(other.path), f"store={store.path}", "--json")
    assert json.loads(out) == told
    assert sorted(told["kept"]) == sorted([same, mine_better])
    assert list(store.attempts(only_theirs)) == [(1, "failed"), (2, "done")]
    assert list(store.attempts(theirs_better)) == [(1, "failed"), (2, "done")]
    assert store.read(theirs_better)["provenance"]["merged_from_attempt"] == 1  # type: ignore[index]
    assert store.counting_file(fresher, "log.txt").read_text() == "other 1"
    assert [summary["fingerprint"] for _, summary in store.summaries() if summary] == ["today"] * 5
    assert [grid.name for grid in requested_grids.noted(store)] == ["theirs"]
    assert store.cell(only_theirs).seed == 4
    assert store.curve(only_theirs) == other.curve(only_theirs)
    assert _files(other.path) == before
    merged = merge.merge(store, other)
    assert (merged.taken, merged.skipped) == ([], {})
    assert not lease.keys(store.leases)


def test_a_merge_into_a_new_store_is_a_copy(other: Store, put: Put, call: Call, tmp_path: Path) -> None:
    keys = [put(other, seed=seed) for seed in range(3)]
    assert call("store", "merge", str(other.path), f"store={tmp_path}/new")[0] == 0
    new = Store(tmp_path / "new")
    assert sorted(new.keys()) == sorted(keys)
    assert [new.read(key) for key in keys] == [other.read(key) for key in keys]


def test_an_archive_is_merged_like_the_store_that_it_was_exported_from(
    store: Store, other: Store, put: Put, call: Call, tmp_path: Path
) -> None:
    kept, taken, failed = put(other, seed=0), put(other, seed=1), put(other, seed=2, status="failed")
    put(store, seed=0)
    put(other, seed=2, status="failed")
    packed = {"best": {"test": row_figures.pack([1.0, 0.0, 1.0, 0.5])}}
    other.attempt(taken, 1).write("row_scores.json", packed)
    path = tmp_path / "records.jsonl.gz"
    assert call("store", "export", str(path), f"store={other.path}")[0] == 0
    code, out, err = call("store", "merge", str(path), f"store={store.path}", "--dry-run", "--json")
    assert (code, err) == (0, "")
    told = json.loads(out)
    assert (told["taken"], told["kept"], told["skipped"]) == (sorted([taken, failed]), [kept], {})
    assert sorted(store.keys()) == [kept]
    assert json.loads(call("store", "merge", str(path), f"store={store.path}", "--json")[1]) == told
    assert store.curve(taken) == other.curve(taken)
    assert store.row_scores(store.read(taken) or {}) == packed
    assert list(store.attempts(failed)) == [(other.numbers(failed)[-1], "failed")]
    assert call("store", "export", str(tmp_path / "again.jsonl.gz"), f"store={store.path}")[0] == 0
    assert (tmp_path / "again.jsonl.gz").read_bytes() == path.read_bytes()
    assert not lease.keys(store.leases)


def test_an_exported_exhibit_brings_its_grids(store: Store, other: Store, put: Put, call: Call, tmp_path: Path) -> None:
    """Without the second one, seeds that were added until it was decided would be judged as if they were planned."""
    key = put(other)
    call("store", "export", str(tmp_path / "made" / "records.jsonl.gz"), f"store={other.path}")
    index = tmp_path / "made" / "exhibit.json"
    index.write_text(json.dumps({"exhibit": "delta-soup", "scale": "quick", "words": "seed=0", "looks": {}}))
    assert call("store", "merge", str(tmp_path / "made"), f"store={store.path}")[0] == 0
    noted = requested_grids.noted(store)
    assert [grid.name for grid in noted] == [
        "delta-soup scale=quick seed=0",
        "delta-soup scale=quick seed=0 until decided",
    ]
    assert [place.key for grid in noted for place in grid.places] == [key, key]
    assert until_decided.before(store, "delta-soup scale=quick seed=0")
    for content in ("{", "[]", "{}", '{"exhibit": 1, "scale": "quick"}'):
        index.write_text(content)
        code, _, err = call("store", "merge", str(tmp_path / "made"), f"store={store.path}")
        assert (code, len(err.splitlines())) == (2, 1)


@pytest.mark.parametrize("text", ["", "{}", "[1]"])
@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_what_is_no_archive_is_refused(call: Call, tmp_path: Path, text: str, pack: Callable[[bytes], bytes]) -> None:
    path = tmp_path / "records.jsonl.gz"
    path.write_bytes(pack(text.encode()))
    code, _, err = call("store", "merge", str(path), f"store={tmp_path}/new")
    assert (code, len(err.splitlines())) == (2, 1)
    assert "again" in err
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda row: row.pop("record"), "'record'"),
        (lambda row: row["record"].update(key="../../x"), "no key"),
        (lambda row: row["record"].pop("cell"), "the form of `cell`"),
        (lambda row: row["record"].update(attempt=-1), "no attempt"),
        (lambda row: row["record"].update(attempt=True), "no attempt"),
        (lambda row: row["record"].update(status="fine"), "not the record of this attempt"),
        (lambda row: row["record"].update(schema=99), "newer version"),
        (lambda row: row.update(curve=[1]), "line 1"),
        (lambda row: row.update(row_scores={"best": 3}), "line 1"),
    ],
)
def test_an_archive_with_a_broken_line_is_refused_whole(
    store: Store, other: Store, put: Put, call: Call, tmp_path: Path, change: Callable[..., object], said: str
) -> None:
    put(other)
    path = tmp_path / "records.jsonl.gz"
    call("store", "export", str(path), f"store={other.path}")
    (row,) = plain_files.read_packed(path)
    change(row)
    path.write_bytes(gzip.compress(json.dumps(row).encode() + b"\n"))
    code, _, err = call("store", "merge", str(path), f"store={store.path}")
    assert code == 2
    assert said in err
    assert len(err.splitlines()) == 1
    assert not list(store.keys())


def test_an_archive_that_names_an_attempt_twice_is_refused(
    store: Store, other: Store, put: Put, call: Call, tmp_path: Path
) -> None:
    put(other)
    path = tmp_path / "records.jsonl.gz"
    call("store", "export", str(path), f"store={other.path}")
    path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes()) * 2))
    code, _, err = call("store", "merge", str(path), f"store={store.path}")
    assert (code, "line 2: an earlier line is the same attempt" in err) == (2, True)


def test_a_store_from_elsewhere_is_data(store: Store, other: Store, put: Put, tmp_path: Path) -> None:
    """Records under a wrong key, links out of the store and pipes are left out."""
    secret = tmp_path / "secret"
    secret.write_text("mine")
    good, wrong, broken = put(other, seed=0), put(other, "full", seed=1), put(other, seed=2)
    folder = other.attempt(good, 1).path
    (folder / "log.txt").unlink()
    (folder / "log.txt").symlink_to(secret)
    os.mkfifo(folder / "pipe")
    (folder / "below").mkdir()
    path = other.attempt(wrong, 1).path / "record.json"
    record = json.loads(path.read_text())
    record["cell"]["seed"] = 99
    path.write_text(json.dumps(record))
    (other.attempt(broken, 1).path / "record.json").write_text("{")
    merged = merge.merge(store, Store(other.path, read_only=True))
    assert merged.taken == [good]
    assert set(merged.skipped) == {wrong, broken}
    assert "another cell" in merged.skipped[wrong]
    assert sorted(os.listdir(store.attempt(good, 1).path)) == ["curve.jsonl", "delta-best.safetensors", "record.json"]
    assert not (other.path / "quarantine").exists()


def test_a_cell_that_runs_here_is_left_out(store: Store, other: Store, put: Put) -> None:
    key = put(other)
    held = lease.acquire(store.leases, key)
    assert held is not None
    assert "is running it here" in merge.merge(store, other).skipped[key]
    held.release()
    assert merge.merge(store, other).taken == [key]


def test_export_is_one_table_with_everything(store: Store, put: Put, call: Call, tmp_path: Path) -> None:
    import pandas as pd

    keys = sorted([put(store, seed=0), put(store, "full", seed=1, mark="old"), put(store, seed=2, status="failed")])
    path = tmp_path / "out" / "store.parquet"
    code, out, _ = call("store", "export", str(path), f"store={store.path}", "--json")
    assert code == 0
    assert json.loads(out)["records"] == 3
    table = pd.read_parquet(path)
    assert list(table.key) == keys
    row = table[table.seed == 1].iloc[0]
    assert (row.method, row.status, bool(row.stale)) == ("full", "done", True)
    assert (row.test_best, row.validation_last, row.wall_s, row.delta_parameters) == (0.5, 0.25, 1.5, 7)
    assert row["scores.best.test.accuracy"] == 0.5
    assert (row["method.rank"], row["method.targets"], row["recipe.batch_size"]) == (4, "[q,v]", 32)
    assert table["time.train_s"].dtype == float
    assert list(table.columns[-2:]) == ["record", "curve"]
    for row in table.itertuples():
        record = json.loads(row.record)
        assert record["key"] == row.key
        assert identity.key(identity.from_json(record["cell"])) == row.key
        assert json.loads(row.curve) == store.curve(row.key)
    assert str(tmp_path) not in "".join(table.record)
    assert os.listdir(path.parent) == [path.name]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "required"),
        (["burn"], "merge"),
        (["merge"], "the folder"),
        (["merge", "/no/such"], "no such file"),
        (["merge", "/"], "no store of deltabench and no archive"),
        (["export"], "one FILE"),
        (["export", "a.csv"], "must end"),
        (["gc", "x"], "no more"),
        (["gc", "--color"], "--color"),
    ],
)
def test_mistakes(call: Call, store: Store, put: Put, words: list[str], said: str) -> None:
    put(store)
    code, _, err = call("store", *words, f"store={store.path}")
    assert code == 2
    assert said in err


def test_a_store_is_not_merged_into_itself(call: Call, store: Store, put: Put) -> None:
    put(store)
    assert "itself" in call("store", "merge", str(store.path), f"store={store.path}")[2]


def test_gc_frees_only_what_nobody_needs(store: Store, put: Put, call: Call, cell: Callable[..., Cell]) -> None:
    twice, once, cut = put(store, seed=0, status="failed"), put(store, seed=1), identity.key(cell("lora", 2))
    put(store, seed=0)
    (store.attempt(once, 1).path / "checkpoint.safetensors").write_bytes(b"c" * 500)
    unfinished = store.begin(cell("lora", 2)).path / "checkpoint.safetensors"
    unfinished.write_bytes(b"c")
    old, young = store.folder(once) / ".tmp-1-current", store.folder(once) / ".tmp-2-current"
    store.leases.mkdir(exist_ok=True)
    gone, clock = store.leases / f"{once}.1", store.leases / ".clock-1"
    for path in (old, young, gone, clock):
        path.write_text('{"host": "elsewhere"}')
    for path in (old, gone, clock):
        os.utime(path, (time.time() - 10_000,) * 2)
    before = _files(store.path)
    code, out, _ = call("store", "gc", f"store={store.path}", "--json")
    found = json.loads(out)
    assert (code, found["deleted"]) == (0, False)
    assert _files(store.path) == before
    going = {
        f"cells/{twice[:2]}/{twice}/attempts/1/delta-best.safetensors",
        f"cells/{once[:2]}/{once}/attempts/1/checkpoint.safetensors",
        f"cells/{once[:2]}/{once}/.tmp-1-current",
        f"leases/{once}.1",
        "leases/.clock-1",
    }
    assert {row["path"] for row in found["files"]} == going
    assert found["bytes"] == sum(len(before[path]) for path in going)
    assert "--delete frees it" in call("store", "gc", f"store={store.path}")[1]
    code, out, _ = call("store", "gc", "--delete", f"store={store.path}")
    assert "freed" in out
    assert _files(store.path) == {path: content for path, content in before.items() if path not in going}
    assert store.status(twice) == store.status(once) == "done"
    assert store.status(cut) == "interrupted"
    assert garbage_collection.find(store) == []


def test_gc_leaves_a_running_cell_alone(store: Store, put: Put) -> None:
    put(store, status="failed")
    key = put(store)
    waste = garbage_collection.find(store)
    assert waste
    held = lease.acquire(store.leases, key)
    assert held is not None
    assert garbage_collection.find(store) == []
    assert garbage_collection.free(store, waste) == []
    held.release()
    assert garbage_collection.free(store, waste) == waste


def test_rm_asks_on_a_terminal_and_needs_yes_without_one(
    store: Store, put: Put, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    key, other = put(store, seed=0), put(store, seed=1)
    code, _, error = call("store", "rm", key[:8], f"store={store.path}")
    assert (code, "add --yes" in error, store.status(key)) == (2, True, "done")

    monkeypatch.setattr("harness.cli.commands.store.sys", Terminal())
    monkeypatch.setattr("builtins.input", lambda question: questions.append(question) or answers.pop(0))
    questions: list[str] = []
    answers = ["n", "", "y"]
    assert [call("store", "rm", key, f"store={store.path}")[0] for _ in range(3)] == [2, 2, 0]
    assert "remove 1 cell with all records, 0.0 MB" in questions[0]
    assert [*store.keys()] == [other]
    assert not (store.path / "cells" / key[:2]).exists() or key[:2] == other[:2]


class Terminal:
    """A stand-in for `sys` whose streams are terminals."""

    def __init__(self) -> None:
        self.stdin = self.stdout = self

    def isatty(self) -> bool:
        return True


def test_rm_of_a_grid_removes_its_cells_and_its_note(
    store: Store, put: Put, cell: Callable[..., Cell], call: Call
) -> None:
    keys, rest = [put(store, seed=seed) for seed in (0, 1)], put(store, "bitfit", seed=5)
    requested_grids.note(store, requested_grids.of("mine seed=0,1", [cell("lora", seed) for seed in (0, 1)]))
    code, out, _ = call("store", "rm", "mine", "seed=0,1", f"store={store.path}", "--dry-run", "--json")
    assert (code, json.loads(out)["removed"], sorted(store.keys())) == (0, [], sorted([*keys, rest]))
    assert json.loads(out)["bytes"] >= 2000  # the weights of two cells
    error = call("store", "rm", "zz", f"store={store.path}")[2]
    assert error.count("mine seed=0,1") == 1  # what is known is listed once
    code, out, _ = call("store", "rm", "mine", "seed=0,1", f"store={store.path}", "--yes", "--json")
    assert (code, sorted(json.loads(out)["removed"])) == (0, sorted(keys))
    assert ([*store.keys()], requested_grids.noted(store)) == ([rest], [])
    code, _, error = call("store", "rm", "mine", f"store={store.path}", "--yes")
    assert (code, "neither a key nor a grid of this store. It has no grids.\n" in error) == (2, True)


def test_rm_leaves_a_running_cell_and_names_the_cells_that_build_on_a_removed_one(
    store: Store, put: Put, cell: Callable[..., Cell], call: Call
) -> None:
    running, parent = put(store, seed=0), put(store, seed=1)
    child = store.register(replace(cell("bitfit", 1), parents=(("a", parent),)))
    held = lease.acquire(store.leases, running)
    assert held is not None
    leases = _files(store.leases)
    code, out, _ = call("store", "rm", running, parent, f"store={store.path}", "--yes", "--json")
    told = json.loads(out)
    assert (code, told["removed"], told["running"], told["needed_by"]) == (0, [parent], [running], {parent: [child]})
    assert (store.status(running), _files(store.leases)) == ("running", leases)
    held.release()
    assert store.status(running) == "done"


def test_rm_writes_nothing_under_read_only_or_through_a_link(
    store: Store, put: Put, call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = put(store)
    assert call("store", "rm", key, f"store={store.path}", "--yes", "--read-only")[0] == 2
    monkeypatch.setattr("harness.store.store._protected", False)
    assert store.status(key) == "done"
    store.folder(key).rename(tmp_path / "outside")
    store.folder(key).symlink_to(tmp_path / "outside")
    before = _files(tmp_path / "outside")
    assert call("store", "rm", key, f"store={store.path}", "--yes")[0] in (0, 1, 2)
    assert _files(tmp_path / "outside") == before


def test_a_file_with_two_names_has_them_in_a_merged_store_and_counts_once(
    store: Store, other: Store, put: Put, call: Call, tmp_path: Path
) -> None:
    key = put(other)
    folder = other.attempt(key, 1)
    folder.link("delta-last.safetensors", "delta-best.safetensors")
    assert call("store", "merge", str(other.path), f"store={store.path}")[0] == 0
    best, last = (store.attempt(key, 1).path / f"delta-{point}.safetensors" for point in ("best", "last"))
    assert best.samefile(last)
    assert best.read_bytes() == b"w" * 1000
    size = garbage_collection.removal(store, [key]).bytes[key]
    shutil.copytree(store.path, tmp_path / "copy")  # two files there, with the same content
    copied = Store(tmp_path / "copy").attempt(key, 1).path
    assert (copied / "delta-last.safetensors").read_bytes() == best.read_bytes()
    assert garbage_collection.removal(Store(tmp_path / "copy"), [key]).bytes[key] == size + 1000
    put(store, mark="later")
    waste = [one.bytes for one in garbage_collection.find(store) if "no longer counts" in one.why]
    assert sorted(waste) == [0, 1000]
