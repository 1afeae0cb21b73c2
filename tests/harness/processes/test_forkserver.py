"""Calls that are spread over several children: each result comes back to its own item. No server outlives a command."""

import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psutil
import pytest

from harness.processes import forkserver


@pytest.mark.parametrize(("items", "cores", "children"), [(0, 2, 1), (5, 2, 1), (8, 2, 2), (11, 2, 2), (13, 64, 3)])
def test_results_are_in_the_order_of_the_items(
    monkeypatch: pytest.MonkeyPatch, items: int, cores: int, children: int
) -> None:
    called: list[int] = []

    def call_each(target: str, each: Sequence[tuple[Any, ...]], modules: Sequence[str]) -> list[list[int]]:
        called.append(len(each))
        return [[10 * item for item in part] for (part,) in each]

    monkeypatch.setattr(forkserver, "call_each", call_each)
    monkeypatch.setattr(forkserver, "_cores", lambda: cores)
    assert forkserver.call_in_parts("any:thing", range(items), ()) == [10 * item for item in range(items)]
    assert called == [children]


@pytest.mark.parametrize(
    "call", ["forkserver.call('os:getpid', (), modules)", "forkserver.begin(modules); time.sleep(60)"]
)
def test_an_interruption_leaves_no_server_that_imports(tmp_path: Path, call: str) -> None:
    (tmp_path / "slow.py").write_text(f"open({str(tmp_path / 'begun')!r}, 'w'); import time; time.sleep(60)")
    script = (
        f"import sys, time; sys.path.insert(0, {str(tmp_path)!r})\n"
        f"from harness.processes import forkserver; modules = ('slow',)\n{call}"
    )
    driver = subprocess.Popen([sys.executable, "-c", script], cwd=Path(__file__).parents[3], stderr=subprocess.PIPE)
    deadline = time.monotonic() + 60
    while not (tmp_path / "begun").exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    below = psutil.Process(driver.pid).children(recursive=True)
    assert below
    driver.send_signal(signal.SIGINT)
    driver.communicate(timeout=20)  # ends when nobody holds its output any more
    assert psutil.wait_procs(below, timeout=20)[1] == []
