"""SIGTERM and Ctrl-C end every verb in the same orderly way, with one line."""

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
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)

    def load(_: object) -> int:
        try:
            signal.raise_signal(number)
        except KeyboardInterrupt:
            raise ImportError("half a module") from None
        return 0

    monkeypatch.setattr(dispatch, "_dispatch", load)
    assert dispatch.main(["doctor"]) == code
    assert capsys.readouterr().err == line
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


def test_a_verb_with_its_own_end_says_by_its_code_that_it_was_terminated(monkeypatch: pytest.MonkeyPatch) -> None:
    def sweep(_: object) -> int:
        try:
            with termination.interrupting():
                signal.raise_signal(signal.SIGTERM)
        except KeyboardInterrupt:
            return termination.INTERRUPTED
        return 0

    monkeypatch.setattr(dispatch, "_dispatch", sweep)
    assert dispatch.main(["sweep"]) == 143


def test_a_signal_that_is_ignored_stays_ignored() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with termination.interrupting():
            signal.raise_signal(signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)
