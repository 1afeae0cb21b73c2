"""Combinations of a grid that cannot run, each with its reason. Torch is not imported.

A grid is a product of choices, and some products do not exist: a method that a backbone has no place for, a task that
an objective cannot answer, a budget that no size meets. Such holes are collected, so that a person reads all of them at
once, and `--skip-impossible` runs the rest.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from harness.config.schema import Cell
from harness.errors import Impossible, RowsAbsent, UsageError
from harness.store.requested_grids import Gap

MOST_NAMES = 4
"""The number of names of one axis that a line lists; the rest is a count."""


@dataclass(frozen=True)
class Hole:
    """A combination that cannot run.

    - error: why it cannot.
    - cells: the number of cells of the grid that it stands for.
    - keys: their keys, where the cells could be resolved.
    """

    method: str
    model: str
    task: str
    error: UsageError
    cells: int = 1
    keys: tuple[str, ...] = ()

    @property
    def reason(self) -> str:
        """Return the reason as a sentence."""
        return " ".join(str(self.error).split())


def of(cell: Cell, key: str, error: UsageError) -> Hole:
    """Return the hole of one resolved cell."""
    return Hole(cell.method.name, cell.model.name, cell.task.name, error, keys=(key,))


def gaps(holes: Iterable[Hole]) -> list[Gap]:
    """Return the holes as a store notes them with their grid: one for each method, model, task and reason."""
    grouped: dict[tuple[object, ...], list[Hole]] = defaultdict(list)
    for hole in holes:  # those without keys stay apart, because they are counted otherwise
        grouped[hole.method, hole.model, hole.task, hole.reason, bool(hole.keys)].append(hole)
    return [_gap(alike) for alike in grouped.values()]


def _gap(alike: Sequence[Hole]) -> Gap:
    """Return holes of the same names and the same reason as one."""
    first, keys = alike[0], tuple(key for hole in alike for key in hole.keys)
    return Gap(first.method, first.model, first.task, count(alike), first.reason, keys)


def count(holes: Iterable[Hole | Gap]) -> int:
    """Return the number of cells that the holes stand for."""
    return sum(hole.cells for hole in holes)


def check(holes: Sequence[Hole], possible: int, skip: bool | None = None) -> None:
    """Raise the reasons why cells cannot run; do nothing where there are none, or where `skip` leaves cells to run.

    possible: the number of cells that can run. skip: whether `--skip-impossible` was given; None in a verb without this
    option, which the message then does not name. Where no cell can run and all have one reason, that error is raised
    itself.
    """
    if not holes or (skip and possible):
        return
    reasons = dict.fromkeys(hole.reason for hole in holes)
    if not possible and len(reasons) == 1:
        raise holes[0].error
    number = count(holes)
    rest = "leave their choices out" if skip is None else f"--skip-impossible goes on with the other {possible}"
    rest = rest if possible else "no cell is left"
    raise Impossible(f"{number} of {number + possible} cells cannot run; {rest}.", tuple(lines(holes)))


def heading(holes: Iterable[Hole], what: str) -> Iterator[str]:
    """Yield a heading that says `what` happens with the holes, and one line for each reason; nothing without holes."""
    listed = list(holes)
    if number := count(listed):
        yield f"{what}, because they cannot run: {number} cell{'s' if number != 1 else ''}"
        yield from (f"  {line}" for line in lines(listed))


def lack_rows(error: UsageError, holes: Sequence[Hole]) -> bool:
    """Return whether absent rows are all that stops a grid, so that a forecast can be made without them."""
    return isinstance(error, RowsAbsent) or (
        isinstance(error, Impossible) and bool(holes) and all(isinstance(hole.error, RowsAbsent) for hole in holes)
    )


def without_rows(holes: Iterable[Hole]) -> tuple[str, ...]:
    """Return the tasks whose rows are not on this machine."""
    return tuple(dict.fromkeys(hole.task for hole in holes if isinstance(hole.error, RowsAbsent)))


def lines(holes: Iterable[Hole | Gap]) -> Iterator[str]:
    """Yield one line for each reason: its methods, models and tasks, how many cells it stops, and the reason."""
    grouped: dict[str, list[Hole | Gap]] = defaultdict(list)
    for hole in holes:
        grouped[hole.reason].append(hole)
    for reason, members in grouped.items():
        number = count(members)
        axes = (names_of(getattr(hole, axis) for hole in members) for axis in ("method", "model", "task"))
        yield f"{' × '.join(filter(None, axes))} ({number} cell{'s' if number != 1 else ''}): {reason}"


def names_of(names: Iterable[str]) -> str:
    """Return the names of one axis, at most MOST_NAMES of them."""
    unique = list(dict.fromkeys(filter(None, names)))
    rest = len(unique) - MOST_NAMES
    return ", ".join(unique) if rest <= 0 else f"{', '.join(unique[:MOST_NAMES])} and {rest} more"
