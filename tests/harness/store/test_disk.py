"""A store that cannot be written: a clear sentence, nothing corrupt, and the same command goes on when it can."""

import errno
import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness.cli import dispatch
from harness.config.launchers import Launcher
from harness.config.schema import Cell, Runtime
from harness.errors import Halted, UsageError
from harness.execution import sweep
from harness.execution.sweep_plan import SweepOptions
from harness.files import atomic_files, plain_files
from harness.store import identity, lease
from harness.store.store import SCHEMA, Store

Make = Callable[..., Cell]
Call = Callable[..., tuple[int, str, str]]


def _options(store: Store) -> SweepOptions:
    return SweepOptions(Runtime(store=str(store.path)), Launcher("basic"), check="stubs:fine")


def _mount(*words: str) -> bool:
    try:
        return subprocess.run(["mount", *words], capture_output=True).returncode == 0
    except FileNotFoundError:
        return False


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A disk of one megabyte."""
    place = tmp_path / "disk"
    place.mkdir()
    if not _mount("-t", "tmpfs", "-o", "size=1m", "tmpfs", str(place)):
        pytest.skip("a small disk needs the right to mount one")
    yield place
    subprocess.run(["umount", str(place)], check=True)


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Call:
    def call(*words: str) -> tuple[int, str, str]:
        capsys.readouterr()
        code = dispatch.main(words)
        return code, *capsys.readouterr()

    return call


def _put(store: Store, cell: Cell, status: str = "done") -> str:
    folder, key = store.begin(cell), identity.key(cell)
    folder.append("curve.jsonl", {"step": 1, "scores": {"validation": 0.5}})
    record = {"schema": SCHEMA, "key": key, "attempt": folder.number, "status": status, "cell": identity.to_json(cell)}
    store.finish(key, folder, {**record, "scores": {}, "time": {}, "provenance": {}})
    return key


def _all(folder: Path) -> dict[str, tuple[int, bytes]]:
    found = sorted(path for path in folder.rglob("*"))
    return {str(path): (path.stat().st_mtime_ns, path.read_bytes() if path.is_file() else b"") for path in found}


def _read_everything(call: Call, key: str, where: Path, *flag: str) -> None:
    store = f"store={where}"
    for words in (
        ["status"], ["status", "--json"], ["status", "delta-ranking", "scale=quick"], ["show", key], ["why", key],
        ["plan", "method=full", "seed=0"], ["store", "gc"], ["reproduce", "delta-ranking", "--dry-run"],
    ):  # fmt: skip
        code, _, err = call(*words, store, *flag)
        assert code == 0, (words, err)


def _refuse_everything(call: Call, where: Path, other: Path, *flag: str) -> None:
    for words in (
        ["sweep", "method=full", "seed=0,1"], ["run", "method=full"], ["reproduce", "delta-ranking"],
        ["store", "gc", "--delete"], ["store", "merge", str(other)],
    ):  # fmt: skip
        code, _, err = call(*words, f"store={where}", *flag)
        assert code == 2, words
        assert err.startswith("deltabench: store=")
        assert err.count("\n") == 1


def test_read_only_is_a_promise(
    store: Store, cell: Make, call: Call, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Nothing is written, not even what is derived, not even where a file is broken or a lease is stale."""
    key, broken, other = _put(store, cell("full")), _put(store, cell("lora")), Store(tmp_path / "other")
    _put(other, cell("lora", 5))
    (store.attempt(broken, 1).path / "record.json").write_text("{")
    (store.folder(key) / "current").unlink()
    lease.acquire(store.leases, broken)
    (store.leases / f"{key}.1").write_text('{"host": "elsewhere"}')
    before = _all(store.path)
    _read_everything(call, key, store.path, "--read-only")
    _refuse_everything(call, store.path, other.path, "--read-only")
    assert call("show", broken, f"store={store.path}", "--read-only")[0] == 0
    assert "it stays there" in caplog.text
    assert _all(store.path) == before


def test_a_read_only_mount(small: Path, cell: Make, call: Call, tmp_path: Path) -> None:
    store = Store(small / "store")
    key, broken, other = _put(store, cell("full")), _put(store, cell("lora")), Store(tmp_path / "other")
    _put(other, cell("lora", 5))
    (store.attempt(broken, 1).path / "record.json").write_text("{")
    assert _mount("-o", "remount,ro", str(small))
    before = _all(small)
    _read_everything(call, key, store.path)
    _refuse_everything(call, store.path, other.path)
    assert store.read(broken) is None
    assert _all(small) == before


def test_a_finished_grid_of_a_read_only_store_is_nothing_left_to_do(
    store: Store, cell: Make, stubbed: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    many = [cell(seed=seed) for seed in range(2)]
    for one in many:
        _put(store, one)
    before = _all(store.path)
    monkeypatch.setattr("harness.store.store._protected", True)
    assert sweep.run_cells(many, SweepOptions(Runtime(store=str(store.path)), name="mine")) == 0
    assert "nothing left to do" in capsys.readouterr().out
    assert _all(store.path) == before


def test_a_full_disk_stops_the_sweep_and_room_lets_it_go_on(
    small: Path, tmp_path: Path, cell: Make, stubbed: None, capsys: pytest.CaptureFixture[str]
) -> None:
    store = Store(small / "store")
    many = [cell("calm"), cell("gorge"), cell("calm", 1)]
    (tmp_path / "full").touch()

    def drain() -> int:
        runtime = Runtime(store=str(store.path), retry=0)
        return sweep.run_cells(many, replace(_options(store), runtime=runtime, entry="disk_stubs:run"))

    with pytest.raises(Halted) as full:
        drain()
    text = str(full.value)
    assert text.startswith(f"store={store.path}: it cannot be written (No space left on device: {store.path}/cells/")
    assert "). Free space, and the same command resumes (3 cells: 1 done, " in text
    assert "unexpectedly" not in "".join(capsys.readouterr())
    assert store.status(identity.key(many[0])) == "done"
    assert {record["status"] for record in store.records()} <= {"done", "failed", "interrupted"}
    assert store.quarantined == []
    (tmp_path / "full").unlink()
    for junk in store.path.rglob("junk.bin"):
        junk.unlink()
    assert drain() == 0
    assert {store.status(identity.key(one)) for one in many} == {"done"}
    assert store.read(identity.key(many[0]))["attempt"] == 1  # type: ignore[index]
    assert store.quarantined == []
    assert not lease.keys(store.leases)
    assert list(store.path.rglob(".*")) == []


def test_a_full_disk_before_anything_is_a_sentence(small: Path, cell: Make, stubbed: None) -> None:
    with (small / "junk").open("wb", buffering=0) as file, suppress(OSError):
        while file.write(b"x" * 4096):
            pass
    with pytest.raises(UsageError, match="No space left"):
        sweep.run_cells([cell()], _options(Store(small / "store")))
    assert Store(small / "store").quarantined == []


@pytest.mark.parametrize("call_name", ["fsync", "replace", "mkdir", "open"])
@pytest.mark.parametrize("nth", range(6))
def test_whatever_write_fails_the_store_is_whole(
    store: Store, cell: Make, monkeypatch: pytest.MonkeyPatch, call_name: str, nth: int
) -> None:
    """The nth call into the system that a write makes fails, once; then the same steps succeed."""
    first = _put(store, cell(seed=9))
    real, left = getattr(os, call_name), [nth]

    def failing(*arguments: Any, **options: Any) -> Any:
        left[0] -= 1
        if left[0] == -1 and (call_name != "open" or arguments[1] & (os.O_WRONLY | os.O_RDWR)):
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(*arguments, **options)

    monkeypatch.setattr(os, call_name, failing)
    with suppress(OSError):
        _put(store, cell())
    monkeypatch.setattr(os, call_name, real)
    fresh = Store(store.path)
    assert fresh.status(identity.key(cell())) in ("missing", "interrupted", "done")
    assert fresh.status(first) == "done"
    _put(fresh, cell())
    assert fresh.status(identity.key(cell())) == "done"
    assert fresh.quarantined == store.quarantined == []
    assert list(store.path.rglob(".tmp*")) == []


def test_a_lease_that_cannot_be_written_is_nobodys(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OSError, match="No space"):
        lease.acquire(store.leases, "a" * 64)
    monkeypatch.undo()
    held = lease.acquire(store.leases, "a" * 64)
    assert held is not None


def test_a_row_that_does_not_fit_is_left_out(tmp_path: Path) -> None:
    """A torn line of a curve hides no later one."""
    path = tmp_path / "curve.jsonl"
    atomic_files.append_json(path, {"step": 0})
    with path.open("a") as file:
        file.write('{"step": 1, "lo')
    atomic_files.append_json(path, {"step": 2})
    assert [row["step"] for row in plain_files.read_lines(path)] == [0, 2]


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EFBIG, errno.EDQUOT])
def test_a_worker_that_cannot_write_is_not_lost_and_nobody_has_interrupted_the_sweep(
    store: Store, cell: Make, stubbed: None, call: Call, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    passes = []

    def full(*_: object) -> None:
        passes.append(1)
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(Store, "begin", full)
    with pytest.raises(
        Halted, match=rf"store=.*: it cannot be written \({os.strerror(code)}\)\. .* \(1 cell: 1 missing"
    ):
        sweep.run_cells([cell()], _options(store))
    assert len(passes) == 1
    monkeypatch.setattr(dispatch, "_dispatch", lambda _: (_ for _ in ()).throw(Halted("store=x: it is full")))
    assert call("sweep") == (1, "", "deltabench: store=x: it is full\n")


def test_passes_that_lose_their_workers_are_no_interruption(
    store: Store, cell: Make, stubbed: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("harness.execution.launch.pause", lambda _: None)

    def broken(mine: Store, begun: Cell) -> None:
        mine.folder(identity.key(begun)).joinpath("attempts", "1").mkdir(parents=True, exist_ok=True)
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(Store, "begin", broken)
    with pytest.raises(Halted, match=r"no cell ended in 3 passes in a row.*same command resumes"):
        sweep.run_cells([cell()], _options(store))
    assert "the disk failed: OSError: [Errno 5] Input/output error" in capsys.readouterr().err


class Library(Exception):
    """An error of a library that raises no OSError."""


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.EFBIG, "File too large"),
        OSError("Error writing bytes to file. Detail: [errno 27] File too large"),
        Library("Error while serializing: I/O error: File too large (os error 27)"),
    ],
)
def test_a_file_that_cannot_be_written_is_named(
    tmp_path: Path, call: Call, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    path = tmp_path / "e.parquet"

    def write(_: object) -> int:
        with atomic_files.atomic(path):
            raise error

    monkeypatch.setattr(dispatch, "_dispatch", write)
    line = f"deltabench: {path}: it cannot be written (File too large). Raise the limit of a file's size (ulimit -f).\n"
    assert call("store", "export") == (1, "", line)
    assert list(tmp_path.iterdir()) == []


def test_every_way_of_writing_names_its_file(small: Path, tmp_path: Path, cell: Make, call: Call) -> None:
    other, store = Store(tmp_path / "other"), Store(small / "store")
    _put(other, cell("lora", 5))
    _put(store, cell("full"))
    with (small / "junk").open("wb", buffering=0) as file, suppress(OSError):
        while file.write(b"x" * 4096):
            pass
    text = "x" * 8192
    writes: list[Callable[[Path], object]] = [
        lambda path: atomic_files.create(path, text.encode()),
        lambda path: atomic_files.append_json(path, {"a": text}),
        lambda path: atomic_files.write_text(path, text),
        lambda path: atomic_files.write_json(path, text),
    ]
    for write in writes:
        with pytest.raises(OSError, match="No space left on device") as caught:
            write(small / "file")
        assert caught.value.filename == str(small / "file")
    for words in (
        ["merge", str(other.path)],
        ["export", str(small / "e.jsonl.gz")],
        ["export", str(small / "e.parquet")],
    ):
        code, _, err = call("store", *words, f"store={store.path}")
        assert (code, err.count("\n")) == (1, 1)
        assert err.startswith(f"deltabench: {small}/")
        assert err.endswith(": it cannot be written (No space left on device). Free space.\n")
