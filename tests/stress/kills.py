"""kill -9 at random moments, again and again: what was finished stays, nothing is done twice, nothing is left behind.

python tests/stress/kills.py [kills on cells of a plug-in] [kills on nano cells] [seed]

80 and 20 kills take some 25 minutes on two idle cores. Victims are a cell's process, a worker, the driver, or worker
and driver at once; the driver is started again with the same command. After some kills the sweep is left in peace; then
it must hold the table of a sweep that nobody disturbed.
"""

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
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

HERE, ROOT = Path(__file__).parent, Path(__file__).parents[2]
if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))

from harness import lease  # noqa: E402
from harness.attempt import TRACE  # noqa: E402
from harness.store import Store  # noqa: E402

MARK = "DELTABENCH_STRESS"
KILLS_PER_ROUND = 20
PATIENCE_S = 600.0
AT_WORK = 0.8
"""Share of the kills that wait until a cell runs: a driver that starts takes longer than most cells."""
VICTIMS = {"cell": 4, "worker": 2, "driver": 2, "worker and driver": 2}
"""And how often each."""
PLUGIN = """[deltabench.methods]
troubled = trouble
[deltabench.tasks]
trouble = trouble
"""
COMMON = ("launcher=joblib", "jobs=2", "device=cpu")
STUBS = (
    "method=troubled", "method.fault=none,crash,memory,hang,nan,error", "task=trouble/tiny", "model=micro-t5-nano",
    "recipe.steps=16", "recipe.evaluate_every=8", "recipe.batch_size=4", "seed=0,1,2", "checkpoint_steps=3",
    "timeout=15",
)  # fmt: skip
NANO = (
    "method=lora,bitfit,adapter", "task=micro/sentiment", "model=micro-t5-nano", "seed=0,1", "recipe.steps=60",
    "recipe.evaluate_every=20", "task.train_size=256", "task.validation_size=64", "task.test_size=64",
    "checkpoint_steps=5",
)  # fmt: skip


@dataclass
class Figures:
    """What came of it. survivors: finished records at the moments of kills, each found again, unchanged, at the end."""

    kills: Counter[str] = field(default_factory=Counter)
    survivors: int = 0
    lost: int = 0
    duplicates: int = 0
    resumed: int = 0
    differing: int = 0
    quarantined: int = 0
    leases: int = 0
    processes: int = 0
    cells: int = 0
    seconds: float = 0.0

    def told(self) -> str:
        kinds = ", ".join(f"{count} of a {kind}" for kind, count in sorted(self.kills.items()))
        return (
            f"{self.kills.total()} kills ({kinds}) in {self.seconds:.0f} s over {self.cells} cells\n"
            f"finished records at the moments of kills: {self.survivors}, of them lost or changed: {self.lost}\n"
            f"cells done twice: {self.duplicates}; cells that differ from the undisturbed sweep: {self.differing}\n"
            f"attempts that went on from a checkpoint: {self.resumed}\n"
            f"left behind: {self.leases} leases, {self.processes} processes, {self.quarantined} files in quarantine"
        )

    def faults(self) -> int:
        """All that must be 0."""
        return sum((self.lost, self.duplicates, self.differing, self.quarantined, self.leases, self.processes))


@dataclass
class Stress:
    """Sweeps of one grid in stores of their own below `folder`, with the plug-in on the import path."""

    folder: Path
    words: Sequence[str]
    rng: random.Random
    figures: Figures = field(default_factory=Figures)
    mark: str = field(default_factory=lambda: uuid.uuid4().hex)

    def run(self, kills: int) -> Figures:
        began = time.monotonic()
        _install(self.folder / "plugin")
        self._in_peace(self.folder / "undisturbed")
        wanted = _table(Store(self.folder / "undisturbed"))
        while (left := kills - self.figures.kills.total()) > 0:
            self._round(self.folder / f"store-{self.figures.kills.total()}", min(left, KILLS_PER_ROUND), wanted)
        self.figures.seconds = time.monotonic() - began
        return self.figures

    def _round(self, path: Path, kills: int, wanted: dict[str, Any]) -> None:
        seen: dict[Path, str] = {}
        driver, killed = self._start(path), 0
        while killed < kills:
            if self.rng.random() < AT_WORK:
                _until(lambda: _at_work(path) or driver.poll() is not None)  # noqa: B023
            if _ended(driver, self.rng.uniform(0.0, 4.0)):
                if _table(Store(path)) == wanted:
                    break  # all is done: the rest of the kills is for another round
                driver = self._start(path)
                continue
            if victims := _victims(driver, kind := self._kind(), self.rng):
                found = _finished(path)
                self.figures.survivors += len(found)
                seen |= found
                _kill(victims)
                self.figures.kills[kind] += 1
                killed += 1
            if _ended(driver, 0.5):
                driver = self._start(path)
        assert _ended(driver, PATIENCE_S), "the sweep does not end"
        self._in_peace(path)
        self._check(Store(path), seen, wanted)
        shutil.rmtree(path)

    def _kind(self) -> str:
        return self.rng.choices(list(VICTIMS), list(VICTIMS.values()))[0]

    def _check(self, store: Store, seen: dict[Path, str], wanted: dict[str, Any]) -> None:
        now, table = _finished(store.path), _table(store)
        self.figures.lost += sum(now.get(path) != digest for path, digest in seen.items())
        self.figures.differing += sum(table.get(key) != wanted.get(key) for key in {*table, *wanted})
        done = Counter(path.parents[2] for path in now)
        self.figures.duplicates += sum(count > 1 for count in done.values())
        self.figures.resumed += sum("resumed_from" in json.loads(path.read_text()) for path in now)
        self.figures.quarantined += len(list(store.path.glob("quarantine/*")))
        self.figures.leases += len(lease.keys(store.leases))
        self.figures.cells += len(table)
        deadline = time.monotonic() + 15
        while (left := self._processes()) and time.monotonic() < deadline:
            time.sleep(0.5)
        self.figures.processes += len(left)

    def _in_peace(self, path: Path) -> None:
        assert _ended(self._start(path), PATIENCE_S), "the sweep does not end"

    def _start(self, path: Path) -> subprocess.Popen[bytes]:
        paths = [str(self.folder / "plugin"), str(ROOT), os.environ.get("PYTHONPATH", "")]
        own = {"PYTHONPATH": os.pathsep.join(paths), MARK: self.mark, "OMP_NUM_THREADS": "1"}
        command = [sys.executable, "-m", "harness.cli", "sweep", *self.words, *COMMON, f"store={path}"]
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
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: trouble\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text(PLUGIN)


def _victims(driver: "subprocess.Popen[bytes]", kind: str, rng: random.Random) -> list[psutil.Process]:
    """Processes of this kind below the driver; none where there is none now."""
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
    some = workers if "worker" in kind else cells
    return [rng.choice(some), *(top if "driver" in kind else [])] if some else []


def _kill(victims: Sequence[psutil.Process]) -> None:
    for process in victims:
        with suppress(psutil.Error):
            process.send_signal(signal.SIGKILL)


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


def _finished(path: Path) -> dict[Path, str]:
    """Every record that says `done`, with a digest of its bytes. JSONDecodeError for one that does not parse."""
    found = {}
    for record in path.glob("cells/*/*/attempts/*/record.json"):
        content = record.read_bytes()
        if json.loads(content)["status"] == "done":
            found[record] = hashlib.sha256(content).hexdigest()
    return found


def _table(store: Store) -> dict[str, Any]:
    """Key -> what a person reads of it: scores, curve and predictions, or how it failed."""
    return {record["key"]: (record["status"], *_result(store, record)) for record in store.records()}


def _result(store: Store, record: dict[str, Any]) -> tuple[Any, ...]:
    if record["status"] != "done":
        return (_failure(record),)
    curve = [{name: value for name, value in row.items() if name != "seconds"} for row in store.curve(record["key"])]
    return record["scores"], curve, store.kept(record["key"], "predictions.jsonl.gz").read_bytes()


def _failure(record: dict[str, Any]) -> Any:
    error = record["error"]
    return error and {name: error.get(name) for name in ("kind", "type", "step", "rule", "signal")}


def main(stubs: int, nano: int, seed: int) -> int:
    faults = 0
    for name, words, kills in (("cells of a plug-in", STUBS, stubs), ("nano cells", NANO, nano)):
        if kills:
            with tempfile.TemporaryDirectory(prefix="deltabench-stress-") as folder:
                figures = Stress(Path(folder), words, random.Random(seed)).run(kills)
            print(f"{name}: {figures.told()}", flush=True)
            faults += figures.faults()
    return int(faults > 0)


if __name__ == "__main__":
    given = [int(word) for word in sys.argv[1:]]
    sys.exit(main(*given, *(80, 20, 0)[len(given) :]))
