"""Choose cells by the words of a command line: an exhibit, a grid that ran here, keys, or the choices of a sweep."""

import re
import sys
from collections.abc import Iterable, Sequence
from dataclasses import replace

from harness.analysis.grid_table import Choice, everything, exhibit_of, plain
from harness.cli import command_line
from harness.config import compose, conf_files
from harness.config.schema import Cell
from harness.errors import UsageError, near
from harness.experiments import exhibits, overrides
from harness.experiments.exhibits import Exhibit
from harness.experiments.grids import holes
from harness.experiments.grids.blocks import RATE, Block
from harness.experiments.grids.holes import Hole
from harness.experiments.rates import rate_tuning
from harness.store import identity, requested_grids
from harness.store.requested_grids import Grid
from harness.store.store import Store

KEY = re.compile(r"[0-9a-f]{4,64}")


def choose(given: Sequence[str]) -> tuple[Store, Choice]:
    """Return the store of these words and the cells that they name; every cell of the store where they name none.

    Raise UsageError for a word that is none of these, and where no cell of them is in the store.
    """
    path = [word for word in given if word.startswith("store=")]
    store = Store(command_line.parse(path, ()).configure(compose.defaults()["runtime"]).store)
    store.check_present()
    choice = _choice([word for word in given if not word.startswith("store=")], store)
    if not choice.cells:
        raise UsageError(f"the store {store.path} has no cells yet; `deltabench run` makes the first.")
    if not any(store.folder(key).is_dir() for key in choice.cells):
        raise UsageError(
            f"the store {store.path} has no cell of {choice.name}: `deltabench status` shows what is there."
        )
    return store, choice


def _choice(named: Sequence[str], store: Store) -> Choice:
    noted = {grid.name: grid for grid in requested_grids.noted(store)}
    if not named:
        return everything(store, noted.values())
    if " ".join(named) in noted:
        return _of_grid(noted[" ".join(named)])
    words_alone = [word for word in named if "=" not in word]
    given = command_line.parse([word for word in named if "=" in word], ("scale",))
    if given.runtime:
        raise UsageError(f"{next(iter(given.runtime))}=…: a table takes no such setting, only store=DIR.")
    if not words_alone:
        command_line.refuse_added(given)
        if "scale" in given.settings:
            raise UsageError(f"scale={given.settings['scale']} needs an exhibit: name one.")
        blocks = rate_tuning.of_words(given.block)
        return of_cells(requested_grids.name_of(given.block), of_blocks(blocks, store), blocks)
    known = exhibits.names(conf_files.folders()[:-1])
    if len(words_alone) == 1 and words_alone[0] in known:
        return _of_exhibit(words_alone[0], given, store, noted)
    if given.block or given.added or given.settings or set(words_alone) & set(known):
        raise UsageError(f"{' '.join(named)}: a table takes one exhibit with choices, choices alone, or keys.")
    return _of_keys(words_alone, [*known, *noted], store)


def of_blocks(blocks: Sequence[Block], store: Store) -> list[Cell]:
    """Return the cells of a grid that can run, for a verb that looks at them; the others are named on the error stream.

    Cells at a chosen or tuned learning rate are those that the store's cells have chosen. Raise UsageError where none
    can run.
    """
    cells, gaps = possible(blocks, store)
    name_gaps(gaps)
    return cells


def possible(blocks: Sequence[Block], store: Store) -> tuple[list[Cell], Sequence[Hole]]:
    """Return the cells of `of_blocks`, and the combinations that cannot run. Raise UsageError where none can."""
    planned = rate_tuning.expand(blocks, store, holes=True)
    holes.check(planned.holes, len(planned.cells) + planned.waiting, skip=True)
    return planned.cells, planned.holes


def name_gaps(gaps: Sequence[Hole]) -> None:
    """Print the combinations that cannot run to the error stream."""
    print("".join(f"{line}\n" for line in holes.heading(gaps, "left out")), end="", file=sys.stderr)


def of_cells(name: str, many: Iterable[Cell], blocks: Sequence[Block] = (), exhibit: Exhibit | None = None) -> Choice:
    """Return the choice of planned cells.

    blocks: the choices of a command line. Where they try rates, the seeds of the trials are not reported.
    """
    exhibit = exhibit or (plain(name, blocks=blocks) if any(RATE in block for block in blocks) else None)
    return Choice(name, {identity.key(cell): identity.to_json(cell) for cell in many}, exhibit)


def _of_grid(noted: Grid) -> Choice:
    """Return the cells of a grid as it ran here; the exhibit that its name begins with reports them."""
    return Choice(noted.name, {place.key: None for place in noted.places}, exhibit_of(noted))


def _of_exhibit(name: str, given: command_line.CommandLine, store: Store, noted: Iterable[str]) -> Choice:
    """Return the cells of an exhibit at one scale: the given one, else the only one that ran here, else the first."""
    exhibit = exhibits.load(name, conf_files.folders()[:-1])
    if exhibit.forecast or not exhibit.grids:
        raise UsageError(f"exhibit {name} has no cells of its own: `deltabench reproduce {name}` shows its numbers.")
    ran = {grid.split()[1].removeprefix("scale=") for grid in noted if grid.startswith(f"{name} scale=")}
    scale = given.settings.get("scale") or (ran.pop() if len(ran) == 1 else exhibit.usual_scale())
    blocks, _ = overrides.reshape(exhibit, exhibit.blocks(scale), given.block, given.added)
    exhibit = overrides.searched(exhibit, blocks)
    typed = requested_grids.name_of({**given.block, **{f"+{axis}": choices for axis, choices in given.added.items()}})
    title = requested_grids.exhibit_name(name, scale, typed)
    return of_cells(title, of_blocks(blocks, store), exhibit=exhibit)


def _of_keys(named: Sequence[str], known: Sequence[str], store: Store) -> Choice:
    for word in named:
        if not KEY.fullmatch(word):
            raise UsageError(f"there is no exhibit, grid or key {word!r}.{near(word, known)}")
    keys = dict.fromkeys(store.find(word) for word in named)
    return replace(Choice(f"{len(keys)} cells", dict.fromkeys(keys)), name=", ".join(key[:12] for key in keys))
