"""kill -9, freezes, full disks and wrong clocks at random moments: nothing finished is lost, nothing is done twice.

python tests/stress/kills.py [events on cells of a plug-in] [events on nano cells] [seed]

Killed are a cell's process, a worker, the driver, or worker and driver at once; the driver is started again with the
same command. Frozen (SIGSTOP, SIGCONT) are a cell, a worker, a driver or all of a machine, for less or more than a
lease lasts, while another machine drains the same store. The disk of the store is full for some seconds (as root, who
may mount one). The clock jumps: all leases are of another time, ahead or behind. After some events the sweep is left
in peace; then it must hold the table of a sweep that nobody disturbed.
"""

import getpass
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

HERE, ROOT = Path(__file__).parent, Path(__file__).parents[2]
if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))

from harness.store import lease  # noqa: E402
from harness.store.attempt_folder import TRACE  # noqa: E402
from harness.store.store import Store  # noqa: E402

MARK, MACHINE = "DELTABENCH_STRESS", "DELTABENCH_STRESS_MACHINE"
EVENTS_PER_ROUND = 40
RECORDS = "cells/*/*/attempts/*/record.json"
PATIENCE_S = 600.0
AT_WORK = 0.8
"""Share of the kills that wait until a cell runs: a driver that starts takes longer than most cells."""
EVENTS = {
    "kill of a cell": 6, "kill of a worker": 2, "kill of a driver": 2, "kill of a worker and driver": 2,
    "freeze of a cell": 1, "freeze of a worker": 2, "freeze of a driver": 1, "freeze of a machine": 2,
    "full disk": 3, "clock jump": 3,
}  # fmt: skip
"""What may happen, and how often each."""
FREEZES_S = (1.0, 9.0)
"""machine.py says how long a lease lasts: within these."""
CACHES = {f"torchinductor_{getpass.getuser()}"}
"""What one user's processes share for good."""
FULL_S = (0.5, 3.0)
DISK_MB = 48
PLUGIN = """[deltabench.methods]
troubled = trouble
[deltabench.tasks]
trouble = trouble
"""
TOGETHER, ALONE = ("launcher=joblib", "jobs=2"), ("launcher=basic",)
STUBS = (
    "method=troubled", "method.fault=none,crash,memory,nan,error", "task=trouble/tiny", "model=micro-t5-nano",
    "recipe.steps=16", "recipe.evaluate_every=8", "recipe.batch_size=4", "seed=0,1,2,3,4,5,6,7", "checkpoint_steps=3",
    "timeout=60",
)  # fmt: skip
NANO = (
    "method=lora,bitfit,adapter", "task=micro/sentiment", "model=micro-t5-nano", "seed=0,1,2,3", "recipe.steps=60",
    "recipe.evaluate_every=20", "task.train_size=256", "task.validation_size=64", "task.test_size=64",
    "checkpoint_steps=5",
)  # fmt: skip


@dataclass
class Figures:
    """What came of it. survivors: finished records at the moments of events, each found again, unchanged, at the end.

    takeovers: attempts that ended because another machine had taken the cell over, or were closed by that one.
    """

    events: Counter[str] = field(default_factory=Counter)
    survivors: int = 0
    lost: int = 0
    duplicates: int = 0
    resumed: int = 0
    interrupted: int = 0
    full: int = 0
    differing: int = 0
    quarantined: int = 0
    leases: int = 0
    processes: int = 0
    litter: int = 0
    cells: int = 0
    seconds: float = 0.0

    def told(self) -> str:
        kinds = ", ".join(f"{count} x {kind}" for kind, count in sorted(self.events.items()))
        return (
            f"{self.events.total()} events ({kinds}) in {self.seconds:.0f} s over {self.cells} cells\n"
            f"finished records at the moments of events: {self.survivors}, of them lost or changed: {self.lost}\n"
            f"cells done twice: {self.duplicates}; cells that differ from the undisturbed sweep: {self.differing}\n"
            f"attempts that were cut off: {self.interrupted}, that failed for want of a disk: {self.full}, "
            f"that went on from a checkpoint: {self.resumed}\n"
            f"left behind: {self.leases} leases, {self.processes} processes, {self.quarantined} files in quarantine, "
            f"{self.litter} temporary files"
        )

    def faults(self) -> int:
        """All that must be 0."""
        left = (self.quarantined, self.leases, self.processes, self.litter)
        return sum((self.lost, self.duplicates, self.differing, *left))


@dataclass
class Stress:
    """Sweeps of one grid in stores of their own below `folder`, with the plug-in on the import path."""

    folder: Path
    words: Sequence[str]
    rng: random.Random
    figures: Figures = field(default_factory=Figures)
    mark: str = field(default_factory=lambda: uuid.uuid4().hex)
    _rival: "subprocess.Popen[bytes] | None" = None

    def run(self, events: int) -> Figures:
        began = time.monotonic()
        _install(self.folder / "plugin")
        (self.folder / "tmp").mkdir()
        self._in_peace(self.folder / "undisturbed")
        wanted = _table(Store(self.folder / "undisturbed"))
        with _disk(self.folder / "disk") as disk:
            while (left := events - self.figures.events.total()) > 0:
                path = disk / f"store-{self.figures.events.total()}"
                self._round(path, min(left, EVENTS_PER_ROUND), wanted)
        self.figures.seconds = time.monotonic() - began
        return self.figures

    def _round(self, path: Path, events: int, wanted: dict[str, Any]) -> None:
        seen: dict[Path, str] = {}
        driver, done = self._start(path), 0
        while done < events:
            if self.rng.random() < AT_WORK:
                _until(lambda: _at_work(path) or driver.poll() is not None)  # noqa: B023
            if _ended(driver, self.rng.uniform(0.0, 2.0)):
                if _table(Store(path)) == wanted:
                    break  # all is done: the rest of the events is for another round
                driver = self._start(path)
                continue
            found, kind = _finished(path), self._kind()
            if self._happens(kind, driver, path):
                self.figures.survivors += len(found)
                seen |= found
                self.figures.events[kind] += 1
                done += 1
            if _ended(driver, 0.5):
                driver = self._start(path)
        assert _ended(driver, PATIENCE_S), "the sweep does not end"
        assert self._rival is None or _ended(self._rival, PATIENCE_S), "the other machine's sweep does not end"
        self._in_peace(path)
        self._check(Store(path), seen, wanted)
        print(f"{self.figures.events.total()} events so far, {self.figures.faults()} faults", flush=True)
        shutil.rmtree(path)

    def _kind(self) -> str:
        return self.rng.choices(list(EVENTS), list(EVENTS.values()))[0]

    def _happens(self, kind: str, driver: "subprocess.Popen[bytes]", path: Path) -> bool:
        """Make it happen; False where there is nobody now to whom it could."""
        if kind == "full disk":
            return _fill(path, self.rng.uniform(*FULL_S))
        if kind == "clock jump":
            self._other_machine(path)
            return _jump(path, self.rng)
        deed, _, whom = kind.partition(" of a ")
        victims = _victims(driver, whom, self.rng)
        if victims and deed == "kill":
            _signal(victims, signal.SIGKILL)
        elif victims:
            _signal(victims, signal.SIGSTOP)
            self._other_machine(path)
            time.sleep(self.rng.uniform(*FREEZES_S))
            _signal(victims, signal.SIGCONT)
        return bool(victims)

    def _other_machine(self, path: Path) -> None:
        """A second sweep of the same store, as one of another machine; the one there is while that lives."""
        if self._rival is None or self._rival.poll() is not None:
            self._rival = self._start(path, "second", ALONE)

    def _check(self, store: Store, seen: dict[Path, str], wanted: dict[str, Any]) -> None:
        now, table = _finished(store.path), _table(store)
        self.figures.lost += sum(now.get(path) != digest for path, digest in seen.items())
        for key in {*table, *wanted}:
            if table.get(key) != wanted.get(key):
                self.figures.differing += 1
                print(f"cell {key[:12]} is {_short(table.get(key))}, and {_short(wanted.get(key))} undisturbed")
        done = Counter(path.parents[2] for path in now)
        self.figures.duplicates += sum(count > 1 for count in done.values())
        self.figures.resumed += sum("resumed_from" in json.loads(path.read_text()) for path in now)
        every = [(record["status"], record.get("error") or {}) for record in _records(store.path)]
        self.figures.interrupted += sum(status == "interrupted" for status, _ in every)
        self.figures.full += sum(error.get("kind") == "io" for _, error in every)
        self.figures.quarantined += len(list(store.path.glob("quarantine/*")))
        self.figures.leases += len(lease.keys(store.leases))
        self.figures.cells += len(table)
        deadline = time.monotonic() + 15
        while (left := self._processes()) and time.monotonic() < deadline:
            time.sleep(0.5)
        self.figures.processes += len(left)
        self.figures.litter += sum(path.name not in CACHES for path in (self.folder / "tmp").iterdir())

    def _in_peace(self, path: Path) -> None:
        assert _ended(self._start(path), PATIENCE_S), "the sweep does not end"

    def _start(self, path: Path, machine: str = "first", how: Sequence[str] = TOGETHER) -> subprocess.Popen[bytes]:
        paths = [str(self.folder / "plugin"), str(ROOT)]
        own = {
            "PYTHONPATH": os.pathsep.join(paths), "TMPDIR": str(self.folder / "tmp"), "OMP_NUM_THREADS": "1",
            MARK: self.mark, MACHINE: machine,
        }  # fmt: skip
        command = [sys.executable, "-m", "harness.cli", "sweep", *self.words, *how, "device=cpu", f"store={path}"]
        with (self.folder / "log.txt").open("ab") as log:
            return subprocess.Popen(
                command, cwd=self.folder, env={**os.environ, **own}, stdout=log, stderr=log, start_new_session=True
            )

    def _processes(self) -> list[int]:
        """Those of our sweeps that still live."""
        found = []
        for process in psutil.process_iter():
            with suppress(psutil.Error, OSError):
                if process.environ().get(MARK) == self.mark and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process.pid)
        return found


def _install(folder: Path) -> None:
    """The plug-in as an installed package."""
    about = folder / "trouble-1.0.dist-info"
    about.mkdir(parents=True)
    shutil.copy(HERE / "trouble.py", folder)
    shutil.copy(HERE / "machine.py", folder / "sitecustomize.py")
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: trouble\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text(PLUGIN)


def _victims(driver: "subprocess.Popen[bytes]", kind: str, rng: random.Random) -> list[psutil.Process]:
    """Processes of this kind of a driver's machine; none where there is none now."""
    workers, cells = [], []
    with suppress(psutil.Error):
        for process in psutil.Process(driver.pid).children(recursive=True):
            with suppress(psutil.Error):
                words = " ".join(process.cmdline())
                if "popen_loky" in words:
                    workers.append(process)
                elif "multiprocessing.forkserver" in words and "multiprocessing.forkserver" in " ".join(
                    (process.parent() or process).cmdline()
                ):
                    cells.append(process)
    top = [psutil.Process(driver.pid)] if driver.poll() is None else []
    if kind == "driver":
        return top
    if kind == "machine":
        return [*top, *(process for one in top for process in one.children(recursive=True))]
    some = workers if "worker" in kind else cells
    return [rng.choice(some), *(top if "driver" in kind else [])] if some else []


def _signal(victims: Sequence[psutil.Process], number: int) -> None:
    for process in victims:
        with suppress(psutil.Error):
            process.send_signal(number)


@contextmanager
def _disk(folder: Path) -> Iterator[Path]:
    """A small disk of our own, which can be full; where none can be mounted, a folder."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_MB}m", "tmpfs", str(folder)]
    mounted = shutil.which("mount") is not None and subprocess.run(mount, capture_output=True).returncode == 0
    try:
        yield folder
    finally:
        if mounted:
            subprocess.run(["umount", "-l", str(folder)], check=True)


def _fill(path: Path, seconds: float) -> bool:
    """Leave a few KB on the disk for a time; False where the disk is not ours."""
    if not path.parent.is_mount():
        return False
    junk = path.parent / "junk"
    try:
        with suppress(OSError), junk.open("wb") as file:
            while True:
                file.write(b"x" * 65536)
                file.flush()
        time.sleep(seconds)
    finally:
        junk.unlink()
    return True


def _jump(path: Path, rng: random.Random) -> bool:
    """The clock is wrong by up to a day for some seconds: so are the leases, heartbeat after heartbeat."""
    wrong = rng.choice([-1, 1]) * rng.uniform(30, 86400)
    met = False
    for _ in range(8):
        for one in path.glob("leases/*"):
            with suppress(OSError):
                os.utime(one, (time.time() + wrong,) * 2)
                met = True
        time.sleep(0.25)
    return met


def _ended(driver: "subprocess.Popen[bytes]", patience_s: float) -> bool:
    try:
        driver.wait(patience_s)
    except subprocess.TimeoutExpired:
        return False
    return True


def _at_work(path: Path) -> bool:
    """Whether some run has made a step or entered a phase within the last second."""
    for trace in path.glob(f"cells/*/*/attempts/*/{TRACE}"):
        with suppress(OSError):
            if time.time() - trace.stat().st_mtime < 1:
                return True
    return False


def _until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.05)


def _records(path: Path) -> Iterator[dict[str, Any]]:
    for record in path.glob(RECORDS):
        yield json.loads(record.read_text())


def _finished(path: Path) -> dict[Path, str]:
    """Every record that says `done`, with a digest of its bytes. JSONDecodeError for one that does not parse."""
    found = {}
    for record in path.glob(RECORDS):
        content = record.read_bytes()
        if json.loads(content)["status"] == "done":
            found[record] = hashlib.sha256(content).hexdigest()
    return found


def _table(store: Store) -> dict[str, Any]:
    """Key -> what a person reads of it: scores, curve and predictions, or how it failed."""
    return {record["key"]: (record["status"], *_result(store, record)) for record in store.records()}


def _short(told: Any) -> str:
    return f"{told}"[:300]


def _result(store: Store, record: dict[str, Any]) -> tuple[Any, ...]:
    if record["status"] != "done":
        return (_failure(record),)
    curve = [{name: value for name, value in row.items() if name != "seconds"} for row in store.curve(record["key"])]
    return record["scores"], curve, store.counting_file(record["key"], "predictions.jsonl.gz").read_bytes()


def _failure(record: dict[str, Any]) -> Any:
    error = record["error"]
    return error and {name: error.get(name) for name in ("kind", "type", "step", "rule", "signal")}


def main(stubs: int, nano: int, seed: int) -> int:
    faults = 0
    for name, words, events in (("cells of a plug-in", STUBS, stubs), ("nano cells", NANO, nano)):
        if events:
            with tempfile.TemporaryDirectory(prefix="deltabench-stress-") as folder:
                figures = Stress(Path(folder), words, random.Random(seed)).run(events)
            print(f"{name}: {figures.told()}", flush=True)
            faults += figures.faults()
    return int(faults > 0)


if __name__ == "__main__":
    given = [int(word) for word in sys.argv[1:]]
    sys.exit(main(*given, *(160, 40, 0)[len(given) :]))
