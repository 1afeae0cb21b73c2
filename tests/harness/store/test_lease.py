"""Leases: one holder, takeover from the dead, nobody else's lease released."""

import errno
import json
import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from harness.store import lease

KEY = "a" * 64
OTHER = "b" * 64


def _write(folder: Path, generation: int, **holder: object) -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / f"{KEY}.{generation}"
    path.write_text(json.dumps({"token": "theirs", **holder}))
    return path


def _gone() -> dict[str, object]:
    """A holder on this machine whose process has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return {"host": lease._host(), "pid": process.pid, "started": time.time()}


def test_one_holder_at_a_time(tmp_path: Path) -> None:
    held = lease.acquire(tmp_path, KEY)
    assert held is not None
    assert lease.acquire(tmp_path, KEY) is None
    assert lease.running(tmp_path, KEY)
    held.release()
    held.release()
    assert not lease.running(tmp_path, KEY)
    assert list(tmp_path.iterdir()) == []


def test_many_at_once_give_one(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        for _ in range(20):
            found = [held for held in pool.map(lambda _: lease.acquire(tmp_path, KEY), range(8)) if held]
            assert len(found) == 1
            found[0].release()


def test_the_dead_are_taken_over_by_one(tmp_path: Path) -> None:
    holder = _gone()
    with ThreadPoolExecutor(8) as pool:
        for _ in range(10):
            stale = _write(tmp_path, 1, **holder)
            assert not lease.alive(stale)
            found = [held for held in pool.map(lambda _: lease.acquire(tmp_path, KEY), range(8)) if held]
            assert len(found) == 1
            found[0].release()
            assert list(tmp_path.iterdir()) == []


def test_a_used_again_process_number_is_another_holder(tmp_path: Path) -> None:
    path = _write(tmp_path, 1, host=lease._host(), pid=os.getpid(), started=12345.0)
    assert not lease.alive(path)


@pytest.fixture(autouse=True)
def short_watch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "WATCH_S", 0.05)


def _elsewhere(folder: Path, age: float) -> Path:
    """A lease of another machine, whose heartbeat is so many seconds old by the clock of the day."""
    path = _write(folder, 1, host="another machine", pid=1, started=0.0)
    os.utime(path, (time.time() - age,) * 2)
    return path


@pytest.mark.parametrize(("age", "alive"), [(lease.STALE_S / 2, True), (lease.STALE_S * 2, False)])
def test_elsewhere_the_heartbeat_counts(tmp_path: Path, age: float, alive: bool) -> None:
    path = _write(tmp_path, 1, host="another machine", pid=1, started=0.0)
    os.utime(path, (time.time() - age,) * 2)
    assert lease.alive(path) == alive
    assert (lease.acquire(tmp_path, KEY) is None) == alive


def test_a_heartbeat_keeps_it_and_a_takeover_ends_it(tmp_path: Path) -> None:
    held = lease.acquire(tmp_path, KEY)
    assert held is not None
    os.utime(held.path, (1, 1))
    assert held.beat()
    assert time.time() - held.path.stat().st_mtime < 10
    theirs = _write(tmp_path, 2, host="another machine")
    assert not held.held()
    assert not held.beat()
    held.release()
    assert theirs.exists()


def test_a_half_written_lease_is_young_enough_to_live(tmp_path: Path) -> None:
    (tmp_path / f"{KEY}.1").write_text("")
    assert lease.acquire(tmp_path, KEY) is None


@pytest.mark.parametrize("content", ["", "{", '{"host": "anoth', "[]", "\x00\x00"])
def test_a_lease_that_says_nothing_ages_like_any_other(tmp_path: Path, content: str) -> None:
    """An older version's holder may have been killed between making the file and writing it."""
    path = tmp_path / f"{KEY}.1"
    path.write_text(content)
    assert lease.alive(path)
    os.utime(path, (time.time() - 2 * lease.STALE_S,) * 2)
    assert not lease.alive(path)
    assert lease.acquire(tmp_path, KEY) is not None


def test_a_lease_is_never_half_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    link = os.link

    def before(source: Path, target: Path) -> None:
        seen.append(json.loads(Path(source).read_text()))
        assert not Path(target).exists()
        link(source, target)

    monkeypatch.setattr(os, "link", before)
    held = lease.acquire(tmp_path, KEY)
    assert held is not None
    assert seen[0]["token"] == held.token
    assert [path.name for path in tmp_path.iterdir()] == [held.path.name]


def test_a_clock_that_was_ahead_keeps_no_lease_alive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = _elsewhere(tmp_path, -2 * 86400)
    assert lease.alive(path)
    assert abs(path.stat().st_mtime - time.time()) < 60, "it is of now, and ages from here on, for every process"
    os.utime(path, (time.time() - 2 * lease.STALE_S,) * 2)
    assert lease.acquire(tmp_path, KEY) is not None


def test_a_lease_whose_time_cannot_be_set_goes_stale_by_our_own_clock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = _elsewhere(tmp_path, -2 * 86400)
    steady = [1000.0]
    monkeypatch.setattr(lease.time, "monotonic", lambda: steady[0])
    before = path.stat().st_mtime_ns
    assert lease.alive(path, touch=False)
    steady[0] += lease.STALE_S - 1
    assert lease.alive(path, touch=False)
    os.utime(path, (time.time() + 86400,) * 2)  # a heartbeat
    steady[0] += 2
    assert lease.alive(path, touch=False)
    steady[0] += lease.STALE_S + 1
    assert not lease.alive(path, touch=False)
    assert path.stat().st_mtime_ns != before


def test_a_clock_set_forward_takes_no_living_holder_its_lease(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every lease looks old then, until its next heartbeat."""
    monkeypatch.setattr(lease, "WATCH_S", 1.0)
    path = _elsewhere(tmp_path, 86400)
    assert not lease.alive(path)
    beat = threading.Timer(0.3, os.utime, (path,))
    beat.start()
    assert lease.acquire(tmp_path, KEY) is None
    beat.join()
    assert path.exists()


def test_what_is_let_go_of_while_it_is_watched_is_free(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "WATCH_S", 0.5)
    path = _elsewhere(tmp_path, 86400)
    threading.Timer(0.1, path.unlink).start()
    held = lease.acquire(tmp_path, KEY)
    assert held is not None
    assert held.path.name == f"{KEY}.1"


def test_stale_leases_elsewhere_go_to_one_of_many(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        for _ in range(5):
            _elsewhere(tmp_path, 86400)
            found = [held for held in pool.map(lambda _: lease.acquire(tmp_path, KEY), range(8)) if held]
            assert len(found) == 1
            found[0].release()
            assert list(tmp_path.iterdir()) == []


def test_many_leases_of_a_dead_machine_are_watched_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = [f"{number:064x}" for number in range(5)]
    for key in keys:
        _elsewhere(tmp_path, 86400).rename(tmp_path / f"{key}.1")
    slept: list[float] = []
    monkeypatch.setattr(lease.time, "sleep", slept.append)
    assert all(lease.acquire(tmp_path, key) for key in keys)
    assert len(slept) == lease.LOOKS


def test_a_holder_without_a_loop_beats_from_a_thread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "HEARTBEAT_S", 0.01)
    held = lease.acquire(tmp_path, KEY)
    assert held is not None
    os.utime(held.path, (1, 1))
    with lease.beating(held):
        deadline = time.monotonic() + 10
        while held.path.stat().st_mtime < 2 and time.monotonic() < deadline:
            time.sleep(0.01)
    assert held.path.stat().st_mtime > 2


def test_a_file_server_that_does_not_answer_ends_no_attempt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    held = lease.acquire(tmp_path, KEY)
    assert held is not None

    def silent(*_: object) -> None:
        raise OSError(errno.ESTALE, "Stale file handle")

    for name in ("read_json", "listdir"):
        monkeypatch.setattr(lease.plain_files if name == "read_json" else os, name, silent)
        assert held.held()
        assert held.beat()
        monkeypatch.undo()


def test_beside_counts_other_live_cells_of_this_machine(tmp_path: Path) -> None:
    assert lease.beside(tmp_path, KEY) == 0
    mine, other = lease.acquire(tmp_path, KEY), lease.acquire(tmp_path, OTHER)
    assert mine is not None
    assert other is not None
    assert lease.beside(tmp_path, KEY) == 1
    other.release()
    assert lease.beside(tmp_path, KEY) == 0
    mine.release()
    _write(tmp_path, 3, host="another machine")
    assert lease.beside(tmp_path, OTHER) == 0
    assert lease.keys(tmp_path) == {KEY}
