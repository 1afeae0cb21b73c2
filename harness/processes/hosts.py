"""Processes that have read what several cells share, and start each cell's own process as a copy of themselves.

A copy has the memory of its host as it was at that moment, and the system copies each page that one of them changes. So
a cell finds rows and weights read, can never alter them for the next cell, and ends like any other process of a cell.
Torch is not imported.
"""

import gc
import importlib
import multiprocessing
import os
import signal
import sys
from collections import OrderedDict
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

from harness.processes import child, forkserver

MOST = 8
"""The hosts of one job. The one that was used least recently ends when another begins."""


@dataclass(frozen=True)
class Host:
    """A host, and the connection to it, which it ends with."""

    process: ForkServerProcess
    channel: Connection

    @classmethod
    def begin(cls, modules: Sequence[str], reader: str, shared: str) -> "Host":
        """Start a host, which calls `reader` ("module:function") on the text of what it is to read."""
        mine, its = multiprocessing.get_context("forkserver").Pipe()
        process = forkserver.start(serve, (its, reader, shared), modules)
        its.close()
        return cls(process, mine)

    def end(self) -> None:
        """End it, and what it has started."""
        self.channel.close()
        forkserver.kill(self.process)


class Copy:
    """A process that a host starts: the part of multiprocessing's process that a worker uses.

    instead: starts the process in the usual way, where the host ends before it has.
    """

    def __init__(self, host: Host, instead: Callable[[], ForkServerProcess]) -> None:
        self._host, self._instead = host, instead
        self._other: ForkServerProcess | None = None
        self._pid: int | None = None
        self._exit: int | None = None

    @property
    def pid(self) -> int | None:
        """Return its number; None until it has started."""
        self._hear()
        return self._other.pid if self._other is not None else self._pid

    @property
    def sentinel(self) -> Any:
        """Return what becomes ready when there is news of it."""
        return self._other.sentinel if self._other is not None else self._host.channel

    @property
    def exitcode(self) -> int | None:
        """Return how it ended, as multiprocessing says it; None while it runs and before it starts."""
        self._hear()
        return self._other.exitcode if self._other is not None else self._exit

    def is_alive(self) -> bool:
        """Return whether it has not ended."""
        return self.exitcode is None

    def kill(self) -> None:
        """Kill it. Where it has not started yet, its host is killed."""
        self._hear()  # its host may have told its number meanwhile
        if self._other is not None:
            self._other.kill()
        elif self._pid is None:
            self._exit = -signal.SIGKILL
            self._host.end()
        elif self._exit is None:
            with suppress(ProcessLookupError):
                os.kill(self._pid, signal.SIGKILL)

    def join(self) -> None:
        """Wait until it has ended."""
        while self.is_alive():
            wait([self.sentinel])

    def _hear(self) -> None:
        """Take note of all that the host has said."""
        while self._other is None and self._exit is None and self._listen():
            pass

    def _listen(self) -> bool:
        """Take note of what the host says: the process's number, then how it ended. Return whether it said anything."""
        try:
            if not self._host.channel.poll():
                return False
            news = self._host.channel.recv()
        except (EOFError, OSError):  # the host has ended, and its copy with it
            if self._pid is None:
                self._other = self._instead()
            else:
                self._exit = -signal.SIGKILL
        else:
            self._pid, self._exit = (news, None) if self._pid is None else (self._pid, news)
        return True


Process = ForkServerProcess | Copy


class Hosts:
    """The hosts of a job, by what they have read. A job runs its cells one after the other."""

    def __init__(self) -> None:
        self._hosts: OrderedDict[str, Host] = OrderedDict()
        self._asked: set[str] = set()
        self._without: set[str] = set()

    def __enter__(self) -> "Hosts":
        return self

    def __exit__(self, *_: object) -> None:
        while self._hosts:
            self._hosts.popitem()[1].end()

    def start(
        self, target: Callable[..., None], arguments: tuple[Any, ...], modules: Sequence[str], reader: str,
        shared: str | None,
    ) -> Process:  # fmt: skip
        """Run `target(*arguments)` in a new process.

        shared: the text of what it reads; None where it shares nothing. A host starts the second process with a text
        and all later ones.
        """
        usual = forkserver.start
        if shared is None or shared in self._without or sys.platform != "linux":
            return usual(target, arguments, modules)
        if shared not in self._asked:
            self._asked.add(shared)
            return usual(target, arguments, modules)

        def instead() -> ForkServerProcess:
            self._without.add(shared)
            self._hosts.pop(shared).end()
            return usual(target, arguments, modules)

        host = self._find(modules, reader, shared)
        try:
            host.channel.send((target, arguments))
        except OSError:
            return instead()
        return Copy(host, instead)

    def _find(self, modules: Sequence[str], reader: str, shared: str) -> Host:
        """Return the host that has read what is shared, after a new one has been started where there is none."""
        host = self._hosts.pop(shared, None)
        if host is not None and (host.channel.closed or host.channel.poll() or not host.process.is_alive()):
            host.end()
            host = None
        self._hosts[shared] = host or Host.begin(modules, reader, shared)
        while len(self._hosts) > MOST:
            self._hosts.popitem(last=False)[1].end()
        return self._hosts[shared]


def serve(channel: Connection, reader: str, shared: str) -> None:
    """Read what is shared, and start a process for each request until the worker closes the connection.

    A process meets the errors of its reading when it reads again, and they are in its own log. With a second thread
    this process could not be copied: then it ends, and the worker does without it.
    """
    child.die_with_parent(watched=False)
    _be_silent()
    module, _, name = reader.partition(":")
    with suppress(Exception):
        getattr(importlib.import_module(module), name)(shared)
    gc.collect()
    gc.freeze()  # else each copy would read all these objects, and its marks would make it copy their memory
    with suppress(EOFError, OSError):
        while threads() == 1:
            target, arguments = channel.recv()
            _start(channel, target, arguments)


def _start(channel: Connection, target: Callable[..., None], arguments: tuple[Any, ...]) -> None:
    """Start a copy of this process that runs the target; tell its number, and when it has ended how."""
    process = multiprocessing.get_context("fork").Process(target=_apart, args=(channel, target, arguments))
    process.start()
    try:
        channel.send(process.pid)
    except OSError:  # the worker does not want it any more
        process.kill()
        raise
    process.join()
    channel.send(process.exitcode)
    process.close()


def _apart(channel: Connection, target: Callable[..., None], arguments: tuple[Any, ...]) -> None:
    """Run a process's target, without its host's connection to the worker."""
    channel.close()
    target(*arguments)


def threads() -> int:
    """Return the number of threads of this process, those of libraries included (Linux)."""
    return len(list(Path("/proc/self/task").iterdir()))


def _be_silent() -> None:
    """Print nothing: a cell's warnings belong into its own log, and a host has none."""
    sys.stdout.flush()
    sys.stderr.flush()
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):
        os.dup2(nowhere, stream)
    os.close(nowhere)
