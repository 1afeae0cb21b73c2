"""What a killed process left in the temporary folder and in shared memory is removed by the next one, and no more."""

import multiprocessing.process as processes
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.errors import UsageError
from harness.processes import temporary_folders
from harness.store import lease


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A short temporary folder of this test (pytest has made its own by then), and a shared memory in it."""
    place = Path(tempfile.mkdtemp(dir="/tmp", prefix="t"))
    monkeypatch.setattr(tempfile, "tempdir", str(place))
    monkeypatch.setattr(temporary_folders, "_places", lambda: [place])
    monkeypatch.setattr(temporary_folders, "SHARED_MEMORY", place / "shm")
    (place / "shm").mkdir()
    monkeypatch.setattr(processes.current_process(), "_config", {})
    yield place
    shutil.rmtree(place)


def _gone() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_a_folder_lasts_as_long_as_its_block(place: Path) -> None:
    with temporary_folders.folder() as path:
        assert path.parent == place
        (path / "a").write_text("b")
        temporary_folders.prepare()
        assert path.is_dir(), "its process lives"
    assert not path.exists()


def test_what_a_killed_process_left_is_removed_and_nothing_else(place: Path) -> None:
    here, pid = temporary_folders._digest(lease.me()["host"]), _gone()
    left = place / f"deltabench-{here}-{pid}-12345-abc_def1"
    others = [
        place / f"deltabench-{here}-{os.getpid()}-{int(lease.me()['started'] * 100)}-abcdefgh",
        place / f"deltabench-{'0' * 8}-{pid}-12345-abcdefgh",  # of a container with numbers of its own
        place / "deltabench-report.log",
        place / "shm" / "sem.loky-1-abc",
        place / "shm" / f"sem.loky-{pid}1-abc",
    ]
    left.mkdir()
    (left / "listener").write_text("")
    shared = [place / "shm" / f"sem.loky-{pid}-abc", place / "shm" / f"joblib_memmapping_folder_{pid}_abc"]
    shared[0].write_text("")
    shared[1].mkdir()
    for path in others:
        path.write_text("")
    temporary_folders.prepare()
    assert not left.exists()
    assert not any(path.exists() for path in shared)
    assert all(path.exists() for path in others)


def test_a_folder_whose_name_has_no_room_for_a_socket_is_cleared_too(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A cell's own folder lies in TMPDIR, however long its name is; the sockets lie elsewhere then."""
    long = tmp_path / ("t" * temporary_folders.LONGEST)
    left = long / f"deltabench-{temporary_folders._digest(lease.me()['host'])}-{_gone()}-12345-abcdefgh"
    left.mkdir(parents=True)
    monkeypatch.setattr(tempfile, "tempdir", str(long))
    temporary_folders.prepare()
    assert not left.exists()


def test_a_link_is_not_followed(place: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    link = place / f"deltabench-{temporary_folders._digest(lease.me()['host'])}-{_gone()}-12345-abcdefgh"
    link.symlink_to(tmp_path / "mine")
    temporary_folders.prepare()
    assert (tmp_path / "mine").is_dir()


def test_a_process_has_one_folder(place: Path) -> None:
    temporary_folders.prepare()
    temporary_folders.prepare()
    assert len(list(place.glob("deltabench-*"))) == 1
    [path] = place.glob("deltabench-*")
    assert processes.current_process()._config["tempdir"] == str(path)  # type: ignore[attr-defined]


def test_a_long_name_gives_way_to_a_short_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Job systems make long ones; a socket's address has 107 characters."""
    long = tmp_path / ("x" * 70)
    long.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(long))
    assert long not in temporary_folders._places()
    assert all(
        len(str(place / f"{temporary_folders._prefix()}12345678" / "listener-12345678")) < 108
        for place in temporary_folders._places()
    )
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(UsageError, match=r"TMPDIR=.*too long for a socket"):
        temporary_folders._places()
