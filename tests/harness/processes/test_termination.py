"""SIGTERM, SIGHUP and Ctrl-C end every verb in the same orderly way, with one line."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable

import pytest

from harness.cli import dispatch
from harness.config.schema import Cell
from harness.processes import termination
from harness.store import identity, lease
from harness.store.store import SCHEMA, Store

SLOW_PROBE = """
import sys, time
from harness.cli import dispatch
from harness.probes import _runner
_runner._measured = lambda *_: time.sleep(600)
sys.exit(dispatch.main(sys.argv[1:]))
"""
ENDS = [
    (signal.SIGINT, 130, "deltabench: interrupted\n"),
    (signal.SIGTERM, 143, "deltabench: ended by SIGTERM\n"),
    (signal.SIGHUP, 129, "deltabench: ended by SIGHUP\n"),
]


@pytest.mark.parametrize(("number", "code", "line"), ENDS)
def test_a_probe_that_is_ended_releases_its_cell(
    store: Store, cell: Callable[..., Cell], environment: dict[str, str], number: int, code: int, line: str
) -> None:
    folder, key = store.begin(cell("full")), identity.key(cell("full"))
    record = {"schema": SCHEMA, "key": key, "attempt": 1, "status": "done", "cell": identity.to_json(cell("full"))}
    store.finish(key, folder, {**record, "scores": {}, "time": {}, "provenance": {}})
    words = ["probe", key, "latency", f"store={store.path}"]
    process = subprocess.Popen(
        [sys.executable, "-c", SLOW_PROBE, *words], env=environment, stderr=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 60
    while not lease.keys(store.leases):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (code, line)
    assert not lease.keys(store.leases)


@pytest.mark.parametrize(("number", "code", "line"), ENDS)
def test_a_library_that_takes_an_interruption_for_its_own_error_is_not_blamed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], number: int, code: int, line: str
) -> None:
    before = list(map(signal.getsignal, termination.CAUGHT))

    def load(_: object) -> int:
        try:
            signal.raise_signal(number)
        except KeyboardInterrupt:
            raise ImportError("half a module") from None
        return 0

    monkeypatch.setattr(dispatch, "_dispatch", load)
    assert dispatch.main(["doctor"]) == code
    assert capsys.readouterr().err == line
    assert list(map(signal.getsignal, termination.CAUGHT)) == before


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_verb_with_its_own_end_says_by_its_code_what_ended_it(
    monkeypatch: pytest.MonkeyPatch, number: signal.Signals, code: int
) -> None:
    def sweep(_: object) -> int:
        try:
            with termination.interrupting():
                signal.raise_signal(number)
        except KeyboardInterrupt:
            assert termination.cause() == number.name
            return termination.INTERRUPTED
        return 0

    monkeypatch.setattr(dispatch, "_dispatch", sweep)
    assert dispatch.main(["sweep"]) == code


@pytest.mark.parametrize("number", termination.CAUGHT)
def test_a_signal_that_is_ignored_stays_ignored(number: int) -> None:
    """As SIGHUP is under nohup. Another signal still ends the block, and its cause is known."""
    before = signal.signal(number, signal.SIG_IGN)
    other = next(signal.Signals(each) for each in termination.ENDING if each != number)
    try:
        with termination.interrupting():
            signal.raise_signal(number)
            with pytest.raises(KeyboardInterrupt):
                signal.raise_signal(other)
            assert termination.cause() == other.name
    finally:
        signal.signal(number, before)


def test_a_terminal_that_hangs_up_twice_leaves_time_to_end_in_order() -> None:
    """The kernel sends SIGHUP to the processes of a terminal, and so does the shell."""
    with termination.interrupting() as interruption:
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGHUP)
        signal.raise_signal(signal.SIGHUP)
        with pytest.raises(KeyboardInterrupt):  # a person who presses Ctrl-C again wants it to end at once
            signal.raise_signal(signal.SIGINT)
    assert (interruption.name, interruption.exit_code(1)) == ("SIGHUP", 129)
