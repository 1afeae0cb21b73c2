"""Every exhibit of a scale in one command: `deltabench reproduce --all scale=S`. Torch is not imported.

They run one after the other in one store, so a cell that several exhibits need runs once, and the same command again
goes on where it stopped. What one exhibit lacks, such as rows that are not on this machine, is said in its place and
stops no other one.
"""

import argparse
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness import formatting
from harness.cli import command_line
from harness.config import compose, conf_files
from harness.config.schema import Cell
from harness.errors import UsageError, near
from harness.execution.rounds import STOPPED
from harness.experiments import exhibits
from harness.experiments.exhibits import Exhibit
from harness.experiments.rates import rate_tuning
from harness.store import identity
from harness.store.store import FINAL, Store

ALONE = "--all"
REFUSED = 2
"""The exit code of an exhibit that cannot run as it was asked for."""
Reproduce = Callable[[argparse.Namespace], int]


@dataclass(frozen=True)
class Share:
    """What one exhibit adds to those before it: the cells that it plans, those to run, and those shared with others.

    waiting: further cells once learning rates are chosen.
    """

    name: str
    cells: int = 0
    to_run: int = 0
    shared: int = 0
    waiting: int = 0
    why_not: str = ""


def run(arguments: argparse.Namespace, reproduce: Reproduce) -> int:
    """Run every exhibit of the scale with `reproduce`, or list them all; return the worst exit code."""
    scale, chosen = _chosen(arguments)
    if arguments.dry_run:
        print("\n".join(_listing(scale, _shares(chosen, scale, _store(arguments)))))
        return 0
    deadline = time.monotonic() + command_line.seconds(arguments.duration) if arguments.duration else None
    code, ended = 0, []
    for place, exhibit in enumerate(chosen):
        left = None if deadline is None else deadline - time.monotonic()
        if left is not None and left < 1:
            print(_not_begun(chosen[place:]))
            return code or STOPPED
        print(f"\n{place + 1} of {len(chosen)}: {exhibit.name}", flush=True)
        own = argparse.Namespace(**{**vars(arguments), "exhibit": exhibit.name, "all": False})
        own.duration = None if left is None else f"{int(left)}s"
        own.out = str(Path(arguments.out) / exhibit.name) if arguments.out else None
        code = max(code, result := _guarded(own, reproduce))
        ended.append((exhibit.name, result))
        if result == STOPPED and deadline is None:  # a person stopped it
            return STOPPED
    print("\n".join(["", *(f"{name}: {_word(result)}" for name, result in ended)]))
    return code


def _guarded(arguments: argparse.Namespace, reproduce: Reproduce) -> int:
    """Run one exhibit; what it refuses is printed as it would be alone."""
    try:
        return reproduce(arguments)
    except UsageError as error:
        print(f"deltabench: {arguments.exhibit}: {error}", file=sys.stderr, flush=True)
        return REFUSED


def _word(code: int) -> str:
    words = {0: "done", 1: "some cells failed", REFUSED: "could not run here", STOPPED: "stopped before its end"}
    return words.get(code, f"exit code {code}")


def _not_begun(left: Sequence[Exhibit]) -> str:
    names = ", ".join(exhibit.name for exhibit in left)
    return f"the time is over; not begun: {names}. The same command again goes on."


def _chosen(arguments: argparse.Namespace) -> tuple[str, list[Exhibit]]:
    """Return the scale and the exhibits that have it. Raise UsageError for choices that belong to one exhibit."""
    if arguments.exhibit:
        raise UsageError(f"{ALONE} runs every exhibit, and this names {arguments.exhibit}; leave one of them out.")
    for option, given in (("--until-decided", arguments.until_decided), ("--open", arguments.open)):
        if given:
            raise UsageError(f"{ALONE} {option}: give {option} with one exhibit.")
    words = command_line.parse(arguments.words, (*command_line.SETTINGS, "scale"))
    if words.block or words.added:
        named = ", ".join([*words.block, *(f"+{axis}" for axis in words.added)])
        raise UsageError(f"{ALONE} runs whole exhibits, so it takes no choice of cells ({named}); name one exhibit.")
    scale = words.settings.get("scale") or exhibits.USUAL
    folders = conf_files.folders()[:-1]
    known = [exhibits.load(name, folders) for name in exhibits.names(folders)]
    chosen = [exhibit for exhibit in known if scale in exhibit.grids]
    if not chosen:
        scales = dict.fromkeys(name for exhibit in known for name in exhibit.grids)
        raise UsageError(f"no exhibit has the scale '{scale}'.{near(scale, scales)}")
    return scale, _each_grid_once(chosen)


def _each_grid_once(chosen: Sequence[Exhibit]) -> list[Exhibit]:
    """Return the exhibits, those that show the cells of another one after it."""
    return sorted(chosen, key=lambda exhibit: (exhibit.cells_of != exhibit.name, exhibit.name))


def _store(arguments: argparse.Namespace) -> Store:
    given = command_line.parse(arguments.words, (*command_line.SETTINGS, "scale"))
    return Store(given.configure(compose.defaults()["runtime"]).store)


def _shares(chosen: Sequence[Exhibit], scale: str, store: Store) -> Iterator[Share]:
    """Yield what each exhibit adds to those before it."""
    seen: set[str] = set()
    for exhibit in chosen:
        if exhibit.forecast:
            yield Share(exhibit.name, why_not="forecasts alone")
            continue
        try:
            planned = rate_tuning.expand(exhibit.blocks(scale), store, holes=True, spent=())
        except UsageError as error:
            yield Share(exhibit.name, why_not=str(error))
            continue
        keys = _keys(planned.cells)
        todo = {key for key in keys - seen if store.status(key) not in FINAL}
        gap = f"{formatting.count(len(planned.holes), 'combination')} cannot run here" if planned.holes else ""
        yield Share(exhibit.name, len(keys), len(todo), len(keys & seen), planned.waiting, gap)
        seen |= keys


def _keys(cells: Sequence[Cell]) -> set[str]:
    return {identity.key(cell) for cell in cells}


def _listing(scale: str, shares: Iterator[Share]) -> list[str]:
    """Return a line for each exhibit, and one for all of them."""
    lines, cells, todo, waiting = [], 0, 0, 0
    for share in shares:
        parts = [f"{share.cells} cells", f"{share.to_run} to run", f"{share.shared} shared with exhibits above"]
        parts += [f"{share.waiting} more once rates are chosen"] if share.waiting else []
        text = ", ".join(parts) if share.cells else ""
        lines.append(f"{share.name}: {'; '.join(filter(None, (text, share.why_not)))}")
        cells, todo, waiting = cells + share.cells - share.shared, todo + share.to_run, waiting + share.waiting
    total = f"{len(lines)} exhibits at scale={scale}: {cells} different cells, {todo} to run"
    return [*lines, f"{total}, and up to {waiting} more once rates are chosen" if waiting else total]
