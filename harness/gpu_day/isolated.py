"""Measurements in processes of their own, each with a time limit: what one of them does to the device costs no other.

Torch is not imported here.
"""

import contextlib
import importlib
import os
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import wait
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any, TextIO

from harness import failure
from harness.files.plain_files import read_json
from harness.gpu_day.day import Row
from harness.processes import child, forkserver, temporary_folders

TICK_S = 0.2
OVER = "the time of this part was over"


@dataclass(frozen=True)
class Measurement:
    """One row that a process of its own measures.

    target: "module:function", which returns a dict of plain values. about: what is known of the row beforehand.
    """

    name: str
    target: str
    arguments: tuple[Any, ...]
    about: Row = field(default_factory=dict)


@dataclass
class _Running:
    measurement: Measurement
    process: ForkServerProcess
    answer: Path
    started: float
    until: float


def measured(
    many: Iterable[Measurement], deadline: float, seconds: float, families: Sequence[str], log: Path, at_once: int = 1
) -> Iterator[Row]:
    """Yield a row for each measurement as it ends.

    status: done, oom, failed, timeout, or missing where the time was over before it began. deadline: seconds since the
    epoch. seconds: the limit of one measurement. families: the model families whose modules are loaded beforehand.
    """
    waiting, running, modules = deque(many), list[_Running](), forkserver.preload(families)
    with temporary_folders.folder() as folder:
        try:
            while waiting or running:
                while waiting and len(running) < at_once and time.time() < deadline:
                    place = folder / f"answer-{len(waiting)}.json"
                    running.append(_start(waiting.popleft(), place, modules, log, deadline, seconds))
                if not running:
                    break
                wait([each.process.sentinel for each in running], timeout=TICK_S)
                for each in [each for each in running if not each.process.is_alive() or time.time() > each.until]:
                    running.remove(each)
                    yield _row(each)
        finally:
            for each in running:
                forkserver.kill(each.process)
    yield from ({**each.about, "name": each.name, "status": "missing", "error": OVER} for each in waiting)


@contextmanager
def printing(log: Path) -> Iterator[TextIO]:
    """Send what this process prints to the end of a log while the block runs."""
    with (
        log.open("a", encoding="utf-8") as stream,
        contextlib.redirect_stdout(stream),
        contextlib.redirect_stderr(stream),
    ):
        yield stream


def guarded(target: str, arguments: Sequence[Any], log: str) -> Row:
    """Return what a target returns, with its status; an error becomes a status too. What it prints goes to `log`."""
    handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(handle, 1)
    os.dup2(handle, 2)
    module, _, name = target.partition(":")
    try:
        return {"status": "done", **getattr(importlib.import_module(module), name)(*arguments)}
    except Exception as error:  # of whatever kind: what became of it is the row
        return {"status": failure.status(failure.kind(error)), "error": one_line(failure.message(error))}


def one_line(text: str) -> str:
    """Return a text of at most 300 characters in one line."""
    return " ".join(text.split())[:300]


def _start(
    measurement: Measurement, answer: Path, modules: Sequence[str], log: Path, deadline: float, seconds: float
) -> _Running:
    """Start a measurement. Its time begins when the server of processes, which the first one starts, has loaded."""
    arguments = ("harness.gpu_day.isolated:guarded", (measurement.target, measurement.arguments, str(log)), answer)
    process = forkserver.start(child.call, arguments, modules)
    started = time.time()
    return _Running(measurement, process, answer, started, min(deadline, started + seconds))


def _row(each: _Running) -> Row:
    """Return the row of a process that has ended, or whose time is over: then it is killed."""
    known: Row = {**each.measurement.about, "name": each.measurement.name, "seconds": time.time() - each.started}
    if each.process.is_alive():
        forkserver.kill(each.process)
        return {**known, "status": "timeout", "error": f"longer than {each.until - each.started:.3g} seconds"}
    each.process.join()
    if not each.answer.is_file():
        return {**known, "status": "failed", "error": failure.death(each.process.exitcode)["message"]}
    content = read_json(each.answer)
    return {**known, **(content.get("value") or {"status": "failed", "error": one_line(str(content.get("error")))})}
