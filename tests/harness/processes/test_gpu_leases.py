"""Leases on devices: nobody gets what somebody else holds, and what a dead process held is free again."""

import subprocess
import sys
import threading
from contextlib import ExitStack
from pathlib import Path

import pytest

from harness.errors import UsageError
from harness.measurement import nvml
from harness.processes import gpu_leases

CARDS = ("GPU-a", "GPU-b")


@pytest.fixture(autouse=True)
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr(gpu_leases, "WAIT_S", 0.02)
    monkeypatch.delenv(gpu_leases.VARIABLE, raising=False)


def _given(held: dict[str, str]) -> list[str]:
    return held[gpu_leases.VARIABLE].split(",")


def test_each_gets_another_one_and_the_third_waits() -> None:
    with ExitStack() as stack:
        own = [_given(dict(stack.enter_context(gpu_leases.leased(CARDS, 1)))) for _ in CARDS]
        assert sorted(own) == [["GPU-a"], ["GPU-b"]]
        got: list[str] = []

        def third() -> None:
            with gpu_leases.leased(CARDS, 1) as held:
                got.extend(_given(dict(held)))

        thread = threading.Thread(target=third)
        thread.start()
        thread.join(0.2)
        assert thread.is_alive()
    thread.join(10)
    assert len(got) == 1
    assert not list(gpu_leases.folder().iterdir())


@pytest.mark.parametrize("share", [0.5, 1 / 3, 0.3333, 0.25, 0.1])
def test_shares_fill_a_device_and_not_more(share: float) -> None:
    most = gpu_leases.at_once(CARDS, share)
    with ExitStack() as stack:
        own = [_given(dict(stack.enter_context(gpu_leases.leased(CARDS, share))))[0] for _ in range(most)]
        assert own.count("GPU-a") == own.count("GPU-b") == most // 2 >= 1
        assert gpu_leases._take(gpu_leases.folder(), CARDS, share) == ([], [])
        assert gpu_leases._take(gpu_leases.folder(), CARDS, 1) == ([], [])


def test_two_devices_for_one_cell() -> None:
    with gpu_leases.leased(CARDS, 2) as held:
        assert sorted(_given(dict(held))) == [*CARDS]
    with gpu_leases.leased(CARDS, 0.5):
        assert gpu_leases._take(gpu_leases.folder(), CARDS, 2) == ([], [])
    assert not list(gpu_leases.folder().iterdir())
    with pytest.raises(UsageError, match="has 2"):
        gpu_leases.check(CARDS, 3.0)
    with pytest.raises(UsageError, match="whole"):
        gpu_leases.check(CARDS, 1.5)


def test_what_a_killed_process_held_is_free(tmp_path: Path) -> None:
    script = (
        "import os, tempfile, sys; tempfile.tempdir = sys.argv[1]\n"
        "from harness.processes import gpu_leases as devices\n"
        "with devices.leased(('GPU-a',), 1): os._exit(9)"
    )
    root = str(Path(__file__).parents[3])
    assert subprocess.run([sys.executable, "-c", script, str(tmp_path)], cwd=root, check=False).returncode == 9
    assert list(gpu_leases.folder().iterdir())
    with gpu_leases.leased(("GPU-a",), 1) as held:
        assert _given(dict(held)) == ["GPU-a"]


def test_without_devices_the_worker_s_own_are_handed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    with gpu_leases.leased((), 1) as held:
        assert held == {}
    monkeypatch.setenv(gpu_leases.VARIABLE, "3")
    with gpu_leases.leased((), 1) as held:
        assert held == {gpu_leases.VARIABLE: "3"}
    with gpu_leases.leased(CARDS, 0) as held:
        assert held == {gpu_leases.VARIABLE: ""}


def test_no_driver_no_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nvml, "library", lambda: (None, "no driver"))
    assert gpu_leases.usable() == ()


def test_somebody_else_s_folder_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = gpu_leases.folder()
    path.rmdir()
    path.symlink_to(tmp_path)
    with pytest.raises(UsageError, match="TMPDIR"):
        gpu_leases.folder()
