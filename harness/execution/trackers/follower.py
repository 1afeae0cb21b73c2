"""Curves in other tools while cells run: TensorBoard, Weights & Biases, MLflow. Torch is imported by those that need
it.

The driver reads the rows that attempts write into the store and passes them on. It is therefore the same under every
launcher, and a tracker's failure affects neither cells nor records. Nothing leaves this machine unless a tracker's own
variables say so (WANDB_MODE=online, MLFLOW_TRACKING_URI).
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

from harness.config.schema import Cell
from harness.errors import UsageError
from harness.files import plain_files
from harness.store import columns, identity
from harness.store.attempt_folder import CURVE
from harness.store.store import Store

POLL_S = 2.0
PATIENCE_S = 60.0
"""The most seconds to wait for the remaining rows after the last cell has ended."""
NAMES = tuple(
    sorted(path.stem for path in Path(__file__).parent.glob("*.py") if path.stem not in ("__init__", "follower"))
)
"""The trackers. Each is a module of this folder with `begin(folder) -> Begin`, named like the package that it needs."""


class Tracked(Protocol):
    """One attempt in a tracker."""

    def log(self, step: int, figures: Mapping[str, float]) -> None:
        """Log figures by name at a step."""

    def end(self, status: str) -> None:
        """Close the attempt with its status."""


Begin = Callable[[str, Mapping[str, str | int | float]], Tracked]
"""(name of the run, description of the cell) -> the run in a tracker."""


def check(tracker: str) -> None:
    """Raise UsageError where the tracker's package is not installed, with the command that installs it."""
    if tracker != "none" and not installed(tracker):
        raise UsageError(f"tracker={tracker} needs a package that is not installed: pip install {tracker}.")


def installed(tracker: str) -> bool:
    """Return whether the tracker's package can be imported; a folder of that name, which some trackers write, does not
    count.
    """
    spec = find_spec(tracker)
    return spec is not None and spec.origin is not None


@contextmanager
def following(tracker: str, store: Store, todo: Mapping[str, Cell], seen: Mapping[str, int]) -> Iterator[None]:
    """Pass the rows of these cells' attempts (those after `seen`) to the tracker while the block runs."""
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
            print(f"tracker={tracker}: it does not answer; its last rows may be missing", file=sys.stderr)


@dataclass
class Follower:
    """A reader of the store that stops at the tracker's first error: it is printed once, and the cells go on."""

    tracker: str
    store: Store
    todo: Mapping[str, Cell]
    seen: Mapping[str, int]
    stop: threading.Event = field(default_factory=threading.Event)
    runs: dict[tuple[str, int], tuple[Tracked, int]] = field(default_factory=dict)
    ended: set[tuple[str, int]] = field(default_factory=set)

    def run(self) -> None:
        """Pass rows on until `stop` is set, and the remaining ones after that."""
        try:
            module = importlib.import_module(f"harness.execution.trackers.{self.tracker}")
            begin: Begin = module.begin(self.store.path / "tracking" / self.tracker)
            before: set[str] = set()
            while not self.stop.wait(POLL_S):
                now = self.store.running_keys() & set(self.todo)
                self._feed(begin, before | now)
                before = now
            self._feed(begin, set(self.todo))
        except Exception as error:  # another library's error: a disk, a server, a version
            text = " ".join(f"{type(error).__name__}: {error}".split())[:300]
            print(f"tracker={self.tracker} stopped ({text}); the cells go on", file=sys.stderr)

    def _feed(self, begin: Begin, keys: set[str]) -> None:
        """Pass on the new rows of these cells' attempts."""
        for key in sorted(keys):
            statuses = dict(self.store.attempts(key))
            open_ones = [folder.number for folder in self.store.unfinished(key)]
            for number in sorted({*statuses, *open_ones}):
                if number > self.seen[key] and (key, number) not in self.ended:
                    self._attempt(begin, key, number, statuses.get(number))

    def _attempt(self, begin: Begin, key: str, number: int, status: str | None) -> None:
        """Pass on the new rows of one attempt. status: None while it runs. An attempt without a row starts no run."""
        rows = plain_files.read_lines(self.store.attempt(key, number).path / CURVE)
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
    """Return the numbers of a row of the curve by name, those of sets as `scores/test`; null values are left out."""
    flat = {f"{name}/{part}": x for name, value in row.items() if isinstance(value, dict) for part, x in value.items()}
    flat |= {name: value for name, value in row.items() if name != "step"}
    return {name: float(x) for name, x in flat.items() if isinstance(x, int | float) and not isinstance(x, bool)}


def _named(cell: Cell, key: str, number: int) -> tuple[str, dict[str, str | int | float]]:
    """Return (the name of the run, the cell's fields)."""
    parts = (cell.method.name, cell.model.name, cell.task.name.replace("/", "-"), f"seed{cell.seed}", key[:8], number)
    flat = {
        (group if name == "name" else f"{group}.{name}"): value if isinstance(value, str | int | float) else str(value)
        for group, values in columns.without_solved(identity.to_json(cell, ("identity", "provenance"))).items()
        if isinstance(values, dict)
        for name, value in values.items()
        if value not in (None, "")
    }
    return "-".join(map(str, parts)), {"key": key, "objective": cell.objective, "seed": cell.seed, **flat}
