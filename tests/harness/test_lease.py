"""Leases: one holder, takeover from the dead, nobody else's lease released."""

import json
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from harness import lease

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
