"""Cores that other work kept busy, by stand-ins for the system's counters."""

from collections.abc import Callable
from types import SimpleNamespace

import pytest

from harness.measurement import busy_cores
from harness.measurement.busy_cores import BusyCores

Clock = Callable[..., None]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """A clock of this process's work, of the whole machine's, and of the wall, which a test moves on."""
    now = {"wall": 0.0, "own": 0.0, "machine": 50.0}

    def move(**by: float) -> None:
        for name, seconds in by.items():
            now[name] += seconds

    monkeypatch.setattr(busy_cores.time, "perf_counter", lambda: now["wall"])
    monkeypatch.setattr(busy_cores.time, "process_time", lambda: now["own"])
    monkeypatch.setattr(busy_cores.psutil, "cpu_times", lambda: SimpleNamespace(user=now["machine"], system=0.0))
    return move


def test_the_work_of_others_is_the_machine_s_without_our_own(clock: Clock) -> None:
    beside = BusyCores()
    assert beside.cores is None
    with beside.during():
        clock(wall=10.0, own=9.0, machine=24.0)
    clock(wall=100.0, machine=500.0)  # between the blocks
    with beside.during():
        clock(wall=10.0, own=10.0, machine=10.0)
    assert beside.cores == pytest.approx(15.0 / 20.0)


def test_coarse_counters_never_make_less_than_nothing(clock: Clock) -> None:
    beside = BusyCores()
    with beside.during():
        clock(wall=1.0, own=1.0, machine=0.9)
    assert beside.cores == 0.0


def test_without_counters_nothing_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(busy_cores.psutil, "cpu_times", lambda: SimpleNamespace(user=0.0, system=0.0))
    beside = BusyCores()
    with beside.during():
        pass
    assert beside.cores is None
