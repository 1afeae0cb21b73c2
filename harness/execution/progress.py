"""The progress of a sweep, read from the store: a bar on a terminal, plain lines elsewhere. Torch is not imported."""

import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from harness import terminal
from harness.config.schema import Cell
from harness.execution import attempts
from harness.execution.expected_times import Expected, ExpectedTimes, expected
from harness.experiments.grids import labels
from harness.store import identity
from harness.store.store import Store

POLL_S = 0.5
_GOOD = ("done", "oom")


class Tally:
    """The cells of a sweep that have ended since it began, and their statuses.

    among: all cells of the grid, whose differences name each cell. role: of the shown score, test or validation.
    times: key -> what is expected of the cell (see expected_times.py). at_once: the number of cells at once.
    """

    def __init__(
        self,
        store: Store,
        cells: Mapping[str, Cell],
        seen: Mapping[str, int],
        among: Sequence[Cell] = (),
        role: str = "test",
        times: Mapping[str, Expected] | None = None,
        at_once: int = 1,
    ) -> None:
        self.store, self.cells, self.seen, self.role = store, cells, dict(seen), role
        self.names = names(cells, among)
        self.times = ExpectedTimes(times or expected(cells.values(), {}))
        self.at_once = at_once
        self.pending = list(cells)
        self.ended: dict[str, str] = {}
        self._begun: dict[str, float] = {}
        self._spent = 0.0

    def lines(self) -> Iterator[str]:
        """Yield one line for each cell that ended since the last call.

        The remaining time is computed once for all of them: it looks at every cell that is left, and where thousands
        are left the lines would fall behind the cells.
        """
        left_s = None
        for place, key in enumerate(self.poll()):
            left_s = left_s if place else self.left_s()
            yield self.line(key, left_s)

    def poll(self) -> Iterator[str]:
        """Yield the keys that ended since the last call; each is counted before it is yielded."""
        now, running = time.monotonic(), self.store.running_keys()
        for key in list(self.pending):
            if key in running:
                self._begun.setdefault(key, now)
            elif attempts.tried(self.store, key) > self.seen[key]:
                self.ended[key] = self.store.status(key)
                self.pending.remove(key)
                self._count(key, now)
                yield key

    def _count(self, key: str, now: float) -> None:
        """Take account of the seconds of a cell that has ended."""
        wall = (self.store.summary(key) or {}).get("wall_s")
        if not isinstance(wall, int | float):
            return
        self._begun.setdefault(key, now - wall)
        self._spent += wall
        if (whole := attempts.whole_seconds(self.store, key)) is not None:
            self.times.learn(key, whole)

    @property
    def failed(self) -> int:
        """Return the number of ended cells without a result."""
        return sum(status not in _GOOD for status in self.ended.values())

    def left_s(self) -> float | None:
        """Return the remaining seconds: what the cells that are left are expected to take, over the cells at once.

        A cell that runs counts with what is left of it. The number at once is the one that was seen: what the cells
        have taken so far over the time since the first began, so what lies between two cells counts too. None where
        nothing is known of the cells.
        """
        now = time.monotonic()
        whole = [seconds for key in self.pending if (seconds := self.times.seconds(key)) is not None]
        if not whole:
            return None
        usual = sum(whole) / len(whole)
        rests = {key: self.times.seconds(key) or usual for key in self.pending}
        ran = {key: now - self._begun[key] for key in self.pending if key in self._begun}
        rests |= {key: max(0.0, rests[key] - seconds) for key, seconds in ran.items()}
        at_once = float(self.at_once)
        if self.ended and self._spent:
            since = now - min(self._begun.values())
            at_once = min(at_once, (self._spent + sum(ran.values())) / max(since, 1e-9))
        return max(sum(rests.values()) / at_once, *rests.values())

    def line(self, key: str, left_s: float | None) -> str:
        """Return one line about an ended cell, with the remaining seconds."""
        summary = self.store.summary(key) or {}
        wall = summary.get("wall_s")
        took = f"  {wall:.1f} s" if isinstance(wall, int | float) else ""
        count = f"[{len(self.ended)}/{len(self.cells)}]"
        points = score(summary, self.role)
        left = f"  {clock(left_s)} to go" if left_s and self.pending else ""
        return f"{count} {key[:8]} {self.ended[key]:<8} {self.names[key]}{points}{took}{left}"

    def running(self) -> dict[str, int]:
        """Return key -> step of the cells that run now."""
        steps = {}
        for key in sorted(self.store.running_keys() & set(self.pending)):
            at = [folder.last_step() for folder in self.store.unfinished(key)[-1:]]
            steps[key] = at[0] or 0 if at else 0
        return steps


def names(cells: Mapping[str, Cell], among: Sequence[Cell] = ()) -> dict[str, str]:
    """Return key -> the cell's name for people, with the fields in which it differs from all others."""
    several = {_but_seed(cell): cell for cell in (*cells.values(), *among)}
    named = dict(zip(several, labels.of_cells([identity.to_json(cell) for cell in several.values()]), strict=True))
    texts = {}
    for key, cell in cells.items():
        label = named[_but_seed(cell)]
        texts[key] = f"{label.arm}{label.rate} {label.model} {label.task} seed {cell.seed}"
    return texts


def _but_seed(cell: Cell) -> tuple[Any, ...]:
    """Return the same for the cells of a grid that differ in their seed only: these share their parts."""
    parts = (id(cell.method), id(cell.model), id(cell.task), cell.objective, id(cell.recipe))
    return (*parts, tuple(role for role, _ in cell.parents))


def score(summary: Mapping[str, Any], role: str = "test") -> str:
    """Return "  test accuracy 88.4" in points of 100, of validation where there is no test score; "" without one."""
    scores = summary.get("scores") or {}
    for split in dict.fromkeys((role, "validation")):
        if scores.get(split) is not None:
            return f"  {split} {summary.get('metric')} {100 * scores[split]:.1f}"
    return ""


def clock(seconds: float) -> str:
    """Return seconds as text: 75 -> "1:15"; 4000 -> "1:06:40"."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


@contextmanager
def shown(tally: Tally) -> Iterator[None]:
    """Show the sweep's progress while the block runs."""
    stop = threading.Event()
    show = _bar if sys.stderr.isatty() else _lines
    thread = threading.Thread(target=show, args=(tally, stop), daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _ticks(tally: Tally, stop: threading.Event) -> Iterator[Iterator[str]]:
    """Yield the lines of a poll until `stop` is set, and once more after that; slower where the store is slow."""
    while True:
        last = stop.is_set()
        before = time.monotonic()
        yield tally.lines()
        if last:
            return
        stop.wait(max(POLL_S, 10 * (time.monotonic() - before)))


def _lines(tally: Tally, stop: threading.Event) -> None:
    """Print one line for each ended cell."""
    for news in _ticks(tally, stop):
        for line in news:
            print(line, file=sys.stderr, flush=True)


def _bar(tally: Tally, stop: threading.Event) -> None:
    """Show a bar for the sweep, one for each cell that runs, and a line for each that ended."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn

    columns = (BarColumn(20), MofNCompleteColumn(), TextColumn("{task.description}", markup=False))
    with Progress(*columns, console=terminal.console(error=True), transient=True) as progress:
        sweep = progress.add_task("", total=len(tally.cells))
        bars: dict[str, TaskID] = {}
        for news in _ticks(tally, stop):
            for line in news:
                progress.console.print(line, highlight=False, markup=False)
            progress.update(sweep, completed=len(tally.ended), description=_describe(tally))
            running = tally.running()
            for key in set(bars) - set(running):
                progress.remove_task(bars.pop(key))
            for key, step in running.items():
                if key not in bars:
                    bars[key] = progress.add_task(tally.names[key], total=tally.cells[key].recipe.steps)
                progress.update(bars[key], completed=step)


def _describe(tally: Tally) -> str:
    left = tally.left_s()
    eta = clock(left) if left is not None else "?"
    return f"cells: {len(tally.ended) - tally.failed} done, {tally.failed} failed, ETA {eta}"
