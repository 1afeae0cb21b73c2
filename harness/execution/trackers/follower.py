"""Curves shown elsewhere while cells run: TensorBoard, Weights & Biases, MLflow. Torch-free until one is used.

The driver reads the rows that attempts write into the store and hands them on, so it is the same under every launcher,
and whatever becomes of a tracker, cells and records know nothing of it. Nothing leaves this machine unless a tracker's
own variables say so (WANDB_MODE=online, MLFLOW_TRACKING_URI).
"""

import importlib
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

from harness import atomic_files
from harness.config.schema import Cell
from harness.errors import UsageError
from harness.store import identity
from harness.store.attempt_folder import CURVE
from harness.store.store import Store

POLL_S = 2.0
PATIENCE_S = 60.0
"""For the rest of the rows after the last cell has ended."""
NAMES = tuple(
    sorted(path.stem for path in Path(__file__).parent.glob("*.py") if path.stem not in ("__init__", "follower"))
)
"""Each is a page of this folder with `begin(folder) -> Begin`, called as the package that it needs."""


class Tracked(Protocol):
    """One attempt in a tracker."""

    def log(self, step: int, figures: Mapping[str, float]) -> None: ...

    def end(self, status: str) -> None: ...


Begin = Callable[[str, Mapping[str, str | int | float]], Tracked]
"""(name of the run, what the cell is) -> the run in a tracker."""


def check(tracker: str) -> None:
    """UsageError where its package is not installed, with the command that installs it."""
    if tracker != "none" and not installed(tracker):
        raise UsageError(f"tracker={tracker} needs a package that is not installed: pip install {tracker}.")


def installed(tracker: str) -> bool:
    """Whether its package can be imported; a folder of that name, which some write, is none."""
    found = find_spec(tracker)
    return found is not None and found.origin is not None


@contextmanager
def following(tracker: str, store: Store, todo: Mapping[str, Cell], seen: Mapping[str, int]) -> Iterator[None]:
    """Meanwhile the rows of these cells' attempts (those after `seen`) go to the tracker."""
    if tracker == "none":
        yield
        return
    follower = Follower(tracker, store, todo, seen)
    thread = threading.Thread(target=follower.run, daemon=True)
    thread.start()
    try:
        yield
    finally:
        follower.stop.set()
        thread.join(PATIENCE_S)
        if thread.is_alive():
            print(f"tracker={tracker}: it does not answer and was left behind", file=sys.stderr)


@dataclass
class Follower:
    """Reads the store, and stops at the tracker's first fault: it is told once, and cells go on."""

    tracker: str
    store: Store
    todo: Mapping[str, Cell]
    seen: Mapping[str, int]
    stop: threading.Event = field(default_factory=threading.Event)
    runs: dict[tuple[str, int], tuple[Tracked, int]] = field(default_factory=dict)
    ended: set[tuple[str, int]] = field(default_factory=set)

    def run(self) -> None:
        try:
            page = importlib.import_module(f"harness.execution.trackers.{self.tracker}")
            begin: Begin = page.begin(self.store.path / "tracking" / self.tracker)
            before: set[str] = set()
            while not self.stop.wait(POLL_S):
                now = self.store.running_keys() & set(self.todo)
                self._feed(begin, before | now)
                before = now
            self._feed(begin, set(self.todo))
        except Exception as error:  # a foreign library: a disk, a server, a version of its own
            text = " ".join(f"{type(error).__name__}: {error}".split())[:300]
            print(f"tracker={self.tracker} stopped ({text}); the cells go on", file=sys.stderr)

    def _feed(self, begin: Begin, keys: set[str]) -> None:
        for key in sorted(keys):
            statuses = dict(self.store.attempts(key))
            open_ones = [folder.number for folder in self.store.unfinished(key)]
            for number in sorted({*statuses, *open_ones}):
                if number > self.seen[key] and (key, number) not in self.ended:
                    self._attempt(begin, key, number, statuses.get(number))

    def _attempt(self, begin: Begin, key: str, number: int, status: str | None) -> None:
        """status: None while it runs. An attempt without a row is no run."""
        rows = atomic_files.read_lines(self.store.attempt(key, number).path / CURVE)
        if rows and (key, number) not in self.runs:
            self.runs[key, number] = begin(*_named(self.todo[key], key, number)), 0
        if (key, number) in self.runs:
            run, known = self.runs[key, number]
            for row in rows[known:]:
                run.log(int(row["step"]), figures(row))
            self.runs[key, number] = run, len(rows)
            if status:
                run.end(status)
        if status:
            self.ended.add((key, number))


def figures(row: Mapping[str, Any]) -> dict[str, float]:
    """The numbers of a row of the curve by name, those of sets as `scores/test`; what is null is left out."""
    flat = {f"{name}/{one}": x for name, value in row.items() if isinstance(value, dict) for one, x in value.items()}
    flat |= {name: value for name, value in row.items() if name != "step"}
    return {name: float(x) for name, x in flat.items() if isinstance(x, int | float) and not isinstance(x, bool)}


def _named(cell: Cell, key: str, number: int) -> tuple[str, dict[str, str | int | float]]:
    parts = (cell.method.name, cell.model.name, cell.task.name.replace("/", "-"), f"seed{cell.seed}", key[:8], number)
    flat = {
        (group if name == "name" else f"{group}.{name}"): value if isinstance(value, str | int | float) else str(value)
        for group, values in identity.to_json(cell, ("identity", "provenance")).items()
        if isinstance(values, dict)
        for name, value in values.items()
        if value not in (None, "")
    }
    return "-".join(map(str, parts)), {"key": key, "objective": cell.objective, "seed": cell.seed, **flat}
