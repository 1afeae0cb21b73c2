"""The store loses nothing: whole files or none, broken ones aside, a failure never hides a result."""

import errno
import gzip
import json
import os
import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from harness.cli.commands.show import look
from harness.config.schema import Cell
from harness.errors import UsageError
from harness.files import atomic_files, plain_files, strict_json
from harness.store import archive, fingerprint, identity
from harness.store.store import SCHEMA, Store
from tests.harness.conftest import OtherRows


@pytest.fixture
def add(store: Store, cell: Callable[..., Cell]) -> Callable[..., str]:
    def add(status: str = "done", seed: int = 0, **fields: Any) -> str:
        one = cell(seed=seed)
        folder, key = store.begin(one), identity.key(one)
        folder.append("curve.jsonl", {"step": folder.number, "train_loss": float("inf")})
        record = {"schema": SCHEMA, "key": key, "attempt": folder.number, "status": status}
        parts: dict[str, Any] = {"scores": {}, "time": {"wall_s": 1.5}, "provenance": {"fingerprint": "f"}}
        store.finish(key, folder, {**record, "cell": identity.to_json(one), **parts, **fields})
        return key

    return add


def test_opening_and_asking_writes_nothing(tmp_path: Path) -> None:
    store = Store(tmp_path / "none")
    assert store.status("a" * 64) == "missing"
    assert store.read("a" * 64) is None
    assert list(store.records()) == []
    assert not store.path.exists()


def test_the_record_that_counts(store: Store, add: Callable[..., str]) -> None:
    key = add("failed")
    assert store.status(key) == "failed"
    add("interrupted")
    assert store.status(key) == "interrupted"
    add("done")
    add("timeout")
    record = store.read(key)
    assert record is not None
    assert (record["status"], record["attempt"]) == ("done", 3)
    add("done")
    assert [record["attempt"] for record in store.records()] == [5]
    assert [row["step"] for row in store.curve(key)] == [5]
    assert [status for _, status in store.attempts(key)] == ["failed", "interrupted", "done", "timeout", "done"]


def test_current_is_derived(store: Store, add: Callable[..., str]) -> None:
    key = add("done")
    add("failed")
    expected = store.summary(key)
    for spoil in (lambda path: path.unlink(), lambda path: path.write_text("{"), lambda path: path.write_text("[]")):
        spoil(store.folder(key) / "current")
        assert store.summary(key) == expected
    (store.folder(key) / "current").write_text('{"attempt": 9, "status": "done"}')
    record = store.read(key)
    assert record is not None
    assert record["attempt"] == 1


def test_no_number_that_json_does_not_know(store: Store, add: Callable[..., str]) -> None:
    key = add(scores={"best": {"loss": float("nan"), "all": (float("-inf"), 1.0)}})
    text = (store.attempt(key, 1).path / "record.json").read_text()
    assert "NaN" not in text
    assert "Infinity" not in text
    record = store.read(key)
    assert record is not None
    assert record["scores"] == {"best": {"loss": None, "all": [None, 1.0]}}
    assert store.curve(key) == [{"step": 1, "train_loss": None}]


def test_a_torn_last_line_of_a_curve_is_left_out(store: Store, add: Callable[..., str]) -> None:
    key = add()
    with (store.attempt(key, 1).path / "curve.jsonl").open("a") as file:
        file.write('{"step": 2, "tra')
    assert [row["step"] for row in store.curve(key)] == [1]


@pytest.mark.parametrize("ended", [True, False])
def test_a_damaged_curve_of_an_ended_attempt_is_named(
    store: Store, add: Callable[..., str], caplog: pytest.LogCaptureFixture, ended: bool
) -> None:
    """While an attempt runs, its last line may be half written, and that is no news."""
    key = add()
    folder = store.attempt(key, 1).path
    (folder / "curve.jsonl").write_text('{"step": 10, "scores": null, "seconds": 1}\n{"step": 2')
    if not ended:
        (folder / "record.json").unlink()
    assert [row["step"] for row in store.evaluations(key, 1)] == [10]
    assert ("curve.jsonl: 1 unreadable line;" in caplog.text) == ended


@pytest.mark.parametrize("content", ["{", "[]", '{"best": {"test": 3}}', None])
def test_damaged_row_scores_are_named(
    store: Store, add: Callable[..., str], caplog: pytest.LogCaptureFixture, content: str | None
) -> None:
    folder = store.attempt(add(), 1)
    if content is not None:
        (folder.path / "row_scores.json").write_text(content)
    assert folder.row_scores("accuracy", ["test"]) == {}
    assert ("row_scores.json: unreadable; intervals" in caplog.text) == (content is not None)


def test_atomic_leaves_the_old_file_or_the_new_one(tmp_path: Path) -> None:
    path = tmp_path / "file.json"
    atomic_files.write_json(path, {"a": 1})

    def fail() -> None:
        with atomic_files.atomic(path) as temporary:
            temporary.write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    with pytest.raises(TypeError):
        atomic_files.write_json(path, {"a": object()})
    assert plain_files.read_json(path) == {"a": 1}
    assert os.listdir(tmp_path) == ["file.json"]


@pytest.mark.parametrize("seed", range(30))
def test_broken_records_go_to_quarantine(store: Store, add: Callable[..., str], seed: int) -> None:
    """Bit flips and truncations: the record is whole, or aside; the others are untouched; nothing is deleted."""
    key, other = add(), add(seed=1)
    path = store.attempt(key, 1).path / "record.json"
    content = bytearray(path.read_bytes())
    draw = random.Random(seed)
    if seed % 2:
        content = content[: draw.randrange(len(content))]
    else:
        for _ in range(20):
            content[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
    path.write_bytes(content)
    record = store.read(key)
    if record is None:
        [aside] = [one for one in (store.path / "quarantine").iterdir() if "record.json" in one.name]
        assert aside.read_bytes() == bytes(content)
        assert store.status(key) == "interrupted"
    else:
        assert record["key"] == key
    assert store.status(other) == "done"
    assert other in {record["key"] for record in store.records()}


@pytest.mark.parametrize(
    "change",
    [
        {"key": "b" * 64},
        {"attempt": 7},
        {"status": "fine"},
        {"schema": 0},
        {"scores": 3},
        {"cell": {}},
        {"cell": "../../x"},
        {"time": [1]},
    ],
)
def test_a_record_that_is_not_this_attempts_goes_to_quarantine(
    store: Store, add: Callable[..., str], change: dict[str, Any]
) -> None:
    key = add()
    path = store.attempt(key, 1).path / "record.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    assert store.read(key) is None
    assert store.quarantined == [path]
    assert len(list((store.path / "quarantine").iterdir())) == 1


@pytest.mark.parametrize("key", ["../../etc", "a" * 63, "A" * 64, "a" * 64 + "/..", ""])
def test_no_name_becomes_a_path(store: Store, key: str) -> None:
    with pytest.raises(ValueError, match="not a key"):
        store.folder(key)


@pytest.mark.parametrize("name", ["../x", "a/b", ".hidden", ""])
def test_attempts_write_plain_names_only(store: Store, cell: Callable[..., Cell], name: str) -> None:
    folder = store.begin(cell())
    with pytest.raises(ValueError, match="plain file name"):
        folder.append(name, {})


def test_a_sweep_waits_for_no_disk_while_it_registers(
    store: Store, cell: Callable[..., Cell], monkeypatch: pytest.MonkeyPatch
) -> None:
    store.register(cell())
    synced: list[Path] = []
    monkeypatch.setattr(atomic_files, "_sync", synced.append)
    key = store.register(cell(seed=1), durable=False)
    assert not synced
    assert store.cell(key) == cell(seed=1)
    store.register(cell(seed=2))
    assert len(synced) == 2


def test_a_cell_is_written_once_and_healed(store: Store, cell: Callable[..., Cell]) -> None:
    key = store.register(cell())
    path = store.folder(key) / "cell.json"
    before = path.stat().st_ino
    assert store.register(cell()) == key
    assert path.stat().st_ino == before
    for broken in (b"{", b""):
        path.write_bytes(broken)
        store.register(cell())
        assert store.cell(key) == cell()


def test_a_cell_whose_file_is_lost_is_that_of_its_record(store: Store, add: Callable[..., str]) -> None:
    key, other = add(), add(seed=1)
    expected = store.cell(key)
    path = store.folder(key) / "cell.json"
    path.write_text("{")
    assert store.cell(key) == expected
    assert store.quarantined == [path]
    (store.folder(other) / "cell.json").unlink()
    (store.attempt(other, 1).path / "record.json").unlink()
    with pytest.raises(UsageError, match="no readable cell"):
        store.cell(other)


def test_a_killed_worker_between_two_writes_costs_nothing(store: Store, add: Callable[..., str]) -> None:
    """The record is there, `current` still names the attempt before it."""
    key = add("failed")
    before = (store.folder(key) / "current").read_bytes()
    add("done")
    (store.folder(key) / "current").write_bytes(before)
    fresh = Store(store.path)
    assert fresh.status(key) == "done"
    assert [(one, status) for one, status, _ in fresh.statuses()] == [(key, "done")]
    assert fresh.read(key)["attempt"] == 2  # type: ignore[index]


def test_find_by_prefix(store: Store, add: Callable[..., str]) -> None:
    key = add()
    assert store.find(key[:6]) == key
    for prefix in ("abc", key[:4][::-1] + "00000000", "../..", "*"):
        with pytest.raises(UsageError):
            store.find(prefix)


def test_another_folder_is_no_store(tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("dear")
    with pytest.raises(UsageError, match="no store"):
        Store(tmp_path)
    for path in (tmp_path / "letter.txt", tmp_path / "letter.txt" / "below"):
        with pytest.raises(UsageError, match="is a file"):
            Store(path)


def test_a_newer_store_is_not_touched(tmp_path: Path) -> None:
    (tmp_path / "store.json").write_text('{"schema": 99}')
    with pytest.raises(UsageError, match="99"):
        Store(tmp_path)


def test_export_is_reproducible_and_names_no_path(store: Store, add: Callable[..., str], tmp_path: Path) -> None:
    keys = [add(seed=seed) for seed in (1, 0)]
    first, second = tmp_path / "out" / "a.gz", tmp_path / "out" / "b.gz"
    assert archive.archive(store, keys, first) == 2
    assert archive.archive(store, reversed(keys), second) == 2
    assert first.read_bytes() == second.read_bytes()
    rows = [json.loads(line) for line in gzip.decompress(first.read_bytes()).splitlines()]
    assert [row["record"]["key"] for row in rows] == sorted(keys)
    assert all(identity.key(identity.from_json(row["record"]["cell"])) == row["record"]["key"] for row in rows)
    assert all(row["curve"] for row in rows)
    assert str(tmp_path) not in json.dumps(rows)


def test_a_record_is_written_once(store: Store, add: Callable[..., str]) -> None:
    """Whoever comes second is told, and what is there stands."""
    key = add("done")
    folder = store.attempt(key, 1)
    before = (folder.path / "record.json").read_bytes()
    record = plain_files.read_json(folder.path / "record.json")
    assert not store.finish(key, folder, {**record, "status": "failed"})
    assert (folder.path / "record.json").read_bytes() == before
    assert store.status(key) == "done"
    assert sorted(path.name for path in folder.path.iterdir()) == ["curve.jsonl", "record.json"]


def test_of_many_writers_one_succeeds(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        for place in range(20):
            path = tmp_path / f"{place}.json"
            made = list(pool.map(lambda number, path=path: atomic_files.create(path, b"%d" % number), range(8)))
            assert made.count(True) == 1
            assert path.read_bytes() == b"%d" % made.index(True)


def test_a_file_system_without_hard_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def none(*_: object) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", none)
    assert atomic_files.create(tmp_path / "one", b"first")
    assert not atomic_files.create(tmp_path / "one", b"second")
    assert (tmp_path / "one").read_bytes() == b"first"
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("text", ['{"a": 1, "a": 2}', '{"b": {"a": 1, "a": 1}}', '[{"a": [], "a": {}}]'])
def test_json_with_a_field_twice_is_none(text: str) -> None:
    """Every card, record, configuration and header from elsewhere is read so: which of the two counts is not told."""
    with pytest.raises(ValueError, match="the field 'a' is given twice"):
        strict_json.parse(text)


@pytest.mark.parametrize("make", [os.mkfifo, Path.touch])
def test_what_is_no_folder_is_no_attempt(store: Store, cell: Callable[..., Cell], make: Callable[[Path], None]) -> None:
    folder = store.begin(cell("lora"))
    folder.path.rmdir()
    make(folder.path)
    assert store.numbers(identity.key(cell("lora"))) == []
    assert store.begin(cell("lora")).number == 2


@pytest.mark.parametrize("place", [".", "attempts", "attempts/1"])
def test_a_cell_folder_that_cannot_be_read_hides_no_other(store: Store, add: Callable[..., str], place: str) -> None:
    """In a shared store another user's folder may be closed; a link that leads round in circles is as unreadable."""
    good, closed = add(seed=0), add(seed=1)
    path = Path(os.path.normpath(store.folder(closed) / place))
    path.rename(store.path / "aside")
    path.symlink_to(path.name)
    fresh = Store(store.path)
    assert [record["key"] for record in fresh.records()] == [good]
    assert {key: status for key, status, _ in fresh.statuses()}[good] == "done"
    assert fresh.read(closed) is None
    assert fresh.summary(good) is not None


def test_a_linked_log_is_not_shown(store: Store, add: Callable[..., str], tmp_path: Path) -> None:
    key = add()
    secret = tmp_path / "secret"
    secret.write_text("mine\n")
    log = store.counting_file(key, "log.txt")
    log.write_text("own line\n")
    assert look(store, key)["log"] == ["own line"]
    log.unlink()
    log.symlink_to(secret)
    assert look(store, key)["log"] == []


def test_a_record_of_each_fingerprint_says_whether_its_rows_are_todays(
    store: Store, add: Callable[..., str], cell: Callable[..., Cell], other_rows: OtherRows,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    parts = dict(fingerprint.parts(fingerprint.Subject.of_cell(cell())))
    code = {"provenance": {"fingerprint": fingerprint.joined(parts), "fingerprint_parts": parts}}
    keys = [add(seed=seed, **code) for seed in range(5)]
    unknown, failed = add(seed=5), add("failed", seed=6)
    read: list[str] = []
    counting = Store._counting
    monkeypatch.setattr(
        Store, "_counting", lambda store, key, summary: read.append(key) or counting(store, key, summary)
    )

    def stale() -> set[str]:
        read.clear()
        fresh = Store(store.path)
        return {key for key, summary in fresh.summaries() if summary and fresh.is_stale(key, summary)}

    assert stale() == {unknown}
    assert read == [unknown]
    other_rows({"training/added": ["1"]})
    assert stale() == {unknown}
    assert len(read) == 2
    other_rows({"training/seeds": ["1"]})
    assert stale() == {unknown, *keys}
    assert len(read) == 2
    assert failed not in read
