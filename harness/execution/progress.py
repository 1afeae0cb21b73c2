"""The progress of a sweep, read from the store: a bar on a terminal, plain lines elsewhere. Torch is not imported."""

import sys
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from harness import terminal
from harness.config.schema import Cell
from harness.execution import worker
from harness.experiments import labels
from harness.store import identity
from harness.store.store import Store

POLL_S = 0.5
_GOOD = ("done", "oom")


class Tally:
    """The cells of a sweep that have ended since it began, and their statuses.

    among: all cells of the grid, whose differences name each cell. role: of the shown score, test or validation.
    seconds: key -> the cell's estimated seconds; a cell without an estimate counts as the mean of the others.
    """

    def __init__(
        self,
        store: Store,
        cells: Mapping[str, Cell],
        seen: Mapping[str, int],
        among: Sequence[Cell] = (),
        role: str = "test",
        seconds: Mapping[str, float] | None = None,
    ) -> None:
        self.store, self.cells, self.seen, self.role = store, cells, dict(seen), role
        self.names = names(cells, among)
        self._seconds = dict(seconds or {})
        self.pending = list(cells)
        self.ended: dict[str, str] = {}
        self.started = time.monotonic()

    def poll(self) -> Iterator[str]:
        """Yield the keys that ended since the last call; each is counted before it is yielded."""
        for key in list(self.pending):
            if worker.tried(self.store, key) > self.seen[key] and not self.store.is_running(key):
                self.ended[key] = self.store.status(key)
                self.pending.remove(key)
                yield key

    @property
    def failed(self) -> int:
        """Return the number of ended cells without a result."""
        return sum(status not in _GOOD for status in self.ended.values())

    def left_s(self) -> float | None:
        """Return the remaining seconds: the estimates of what is left, at the pace of the cells that have ended.

        None before the first cell has ended.
        """
        ended = self._work(self.ended)
        if not ended:
            return None
        return (time.monotonic() - self.started) / ended * self._work(self.pending)

    def _work(self, keys: Iterable[str]) -> float:
        """Return the estimated seconds of these cells together, or their number where nothing is estimated."""
        known = self._seconds.values()
        usual = sum(known) / len(known) if known else 1.0
        return sum(self._seconds.get(key, usual) for key in keys)

    def line(self, key: str) -> str:
        """Return one line about an ended cell."""
        summary = self.store.summary(key) or {}
        wall = summary.get("wall_s")
        took = f"  {wall:.1f} s" if isinstance(wall, int | float) else ""
        count = f"[{len(self.ended)}/{len(self.cells)}]"
        points = score(summary, self.role)
        return f"{count} {key[:8]} {self.ended[key]:<8} {self.names[key]}{points}{took}{self._eta()}"

    def running(self) -> dict[str, int]:
        """Return key -> step of the cells that run now."""
        steps = {}
        for key in sorted(self.store.running_keys() & set(self.pending)):
            at = [folder.last_step() for folder in self.store.unfinished(key)[-1:]]
            steps[key] = at[0] or 0 if at else 0
        return steps

    def _eta(self) -> str:
        left = self.left_s()
        return f"  {clock(left)} to go" if left and self.pending else ""


def names(cells: Mapping[str, Cell], among: Sequence[Cell] = ()) -> dict[str, str]:
    """Return key -> the cell's name for people, with the fields in which it differs from all others."""
    several = {_but_seed(cell): cell for cell in (*cells.values(), *among)}
    named = dict(zip(several, labels.of_cells([identity.to_json(cell) for cell in several.values()]), strict=True))
    sentences = {}
    for key, cell in cells.items():
        label = named[_but_seed(cell)]
        sentences[key] = f"{label.arm}{label.rate} {label.model} {label.task} seed {cell.seed}"
    return sentences


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
    """Yield polls until `stop` is set, and once more after that; slower where the store is slow."""
    while True:
        last = stop.is_set()
        before = time.monotonic()
        yield tally.poll()
        if last:
            return
        stop.wait(max(POLL_S, 10 * (time.monotonic() - before)))


def _lines(tally: Tally, stop: threading.Event) -> None:
    """Print one line for each ended cell."""
    for news in _ticks(tally, stop):
        for key in news:
            print(tally.line(key), file=sys.stderr, flush=True)


def _bar(tally: Tally, stop: threading.Event) -> None:
    """Show a bar for the sweep, one for each cell that runs, and a line for each that ended."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn

    columns = (BarColumn(20), MofNCompleteColumn(), TextColumn("{task.description}", markup=False))
    with Progress(*columns, console=terminal.console(error=True), transient=True) as progress:
        sweep = progress.add_task("", total=len(tally.cells))
        bars: dict[str, TaskID] = {}
        for news in _ticks(tally, stop):
            for key in news:
                progress.console.print(tally.line(key), highlight=False, markup=False)
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
