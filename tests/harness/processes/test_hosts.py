"""A host's copies find what it has read, cannot change it, and end as any process does."""

import itertools
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from harness.processes import forkserver, hosts
from harness.processes.hosts import Copy, Hosts, Process
from tests.conftest import LOADED
from tests.harness.processes import host_stubs

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="other systems copy no process that has read tensors")
Target = Callable[[Path], None]


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hosts]:
    monkeypatch.setattr(sys, "path", [str(Path(__file__).parents[3]), *sys.path])
    with Hosts() as made:
        yield made


@pytest.fixture
def start(kept: Hosts, tmp_path: Path) -> Callable[..., tuple[Process, Path]]:
    numbers = itertools.count()

    def do(target: Target = host_stubs.tell, shared: str | None = "a", reader: str = "read") -> tuple[Process, Path]:
        path = tmp_path / str(next(numbers))
        return kept.start(target, (path,), LOADED, f"{host_stubs.__name__}:{reader}", shared), path

    return do


Start = Callable[..., tuple[Process, Path]]


def told(process: Process, path: Path) -> tuple[int, str]:
    """The number of the parent, and what the process found read."""
    process.join()
    assert process.exitcode == 0
    parent, found = path.read_text().split(" ", 1)
    return int(parent), found


def written(path: Path) -> None:
    deadline = time.monotonic() + 30
    while not (path.exists() and path.read_text()):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def running(process: Process, path: Path) -> int:
    """Wait until the process has done its work and its host has told its number; return the number."""
    written(path)
    deadline = time.monotonic() + 30
    while process.pid is None:  # the copy may write before its host tells
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert process.is_alive()
    return process.pid


def test_copies_find_what_was_read_and_cannot_change_it_for_the_next(start: Start) -> None:
    found = [told(*start()) for _ in range(4)]
    assert [read for _, read in found] == ["[]", "['a']", "['a']", "['a']"]
    parents = [parent for parent, _ in found]
    assert parents[0] != parents[1] == parents[2] == parents[3]


def test_each_text_has_its_host_and_what_shares_nothing_has_none(start: Start) -> None:
    found = [told(*start(shared=shared)) for shared in ("a", "b", "a", "b", None, None)]
    assert [read for _, read in found] == ["[]", "[]", "['a']", "['b']", "[]", "[]"]


@pytest.mark.parametrize(
    ("target", "code"), [(host_stubs.be_killed, -signal.SIGKILL), (host_stubs.exit_with_3, 3), (host_stubs.tell, 0)]
)
def test_the_end_of_a_copy_is_told_and_its_host_goes_on(start: Start, target: Target, code: int) -> None:
    start()[0].join()
    process, _ = start(target)
    assert isinstance(process, Copy)
    process.join()
    assert (process.exitcode, process.is_alive()) == (code, False)
    assert told(*start())[1] == "['a']"


def test_a_copy_that_runs_can_be_killed(start: Start) -> None:
    start()[0].join()
    process, path = start(host_stubs.tell_and_wait)
    pid = running(process, path)
    forkserver.kill(process)
    assert process.exitcode == -signal.SIGKILL
    assert not psutil.pid_exists(pid)
    assert told(*start())[1] == "['a']"


def test_the_host_outlives_a_copy_that_is_killed_before_anybody_asked_for_its_number(start: Start) -> None:
    start()[0].join()
    before, _ = told(*start())
    process, path = start(host_stubs.tell_and_wait)
    written(path)
    time.sleep(0.2)  # the host tells the number after the copy has begun
    process.kill()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert told(*start())[0] == before


def test_a_copy_that_has_not_started_can_be_killed(kept: Hosts, start: Start) -> None:
    start()[0].join()
    start()[0].join()  # now there is a host
    [host] = kept._hosts.values()
    assert host.process.pid is not None
    os.kill(host.process.pid, signal.SIGSTOP)  # it starts nothing any more
    process, path = start(host_stubs.tell_and_wait)
    process.kill()
    assert process.exitcode == -signal.SIGKILL
    process.kill()
    assert told(*start())[1] == "['a']", "another host reads again"
    assert not path.exists()


@pytest.mark.parametrize(("reader", "by_a_host"), [("fail", True), ("leave", False), ("begin_a_thread", False)])
def test_without_a_host_that_can_be_copied_processes_start_as_usual(
    kept: Hosts, start: Start, reader: str, by_a_host: bool
) -> None:
    found = [told(*start(reader=reader)) for _ in range(3)]
    assert [read for _, read in found] == ["[]"] * 3
    assert bool(kept._hosts) == by_a_host


def test_a_copy_ends_with_its_host(kept: Hosts, start: Start) -> None:
    start()[0].join()
    process, path = start(host_stubs.tell_and_wait)
    copy = psutil.Process(running(process, path))
    [host] = kept._hosts.values()
    host.process.kill()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert psutil.wait_procs([copy], timeout=20)[1] == []
    assert told(*start())[1] == "['a']"


def test_the_host_that_was_used_least_recently_ends_first(
    kept: Hosts, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hosts, "MOST", 2)
    for shared in ("a", "b", "c"):
        start(shared=shared)[0].join()
    first = {shared: told(*start(shared=shared))[0] for shared in ("a", "b")}
    told(*start(shared="a"))
    told(*start(shared="c"))  # b ends
    assert list(kept._hosts) == ["a", "c"]
    assert told(*start(shared="a"))[0] == first["a"]
    assert told(*start(shared="b"))[0] != first["b"]


def test_nothing_is_left_where_the_worker_is_killed(tmp_path: Path) -> None:
    script = (
        "import time; from pathlib import Path; from harness.processes.hosts import Hosts\n"
        "from tests.harness.processes import host_stubs as stubs\n"
        "kept, given = Hosts(), ((), 'tests.harness.processes.host_stubs:read', 'a')\n"
        f"kept.start(stubs.tell, (Path({str(tmp_path / 'first')!r}),), *given).join()\n"
        f"kept.start(stubs.tell_and_wait, (Path({str(tmp_path / 'second')!r}),), *given)\n"
        "time.sleep(600)\n"
    )
    worker = subprocess.Popen([sys.executable, "-c", script], cwd=Path(__file__).parents[3])
    written(tmp_path / "second")
    below = psutil.Process(worker.pid).children(recursive=True)
    assert int((tmp_path / "second").read_text().split()[0]) in {process.pid for process in below}
    os.kill(worker.pid, signal.SIGKILL)
    worker.wait()
    assert psutil.wait_procs(below, timeout=20)[1] == []
