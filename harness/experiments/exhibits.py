"""A table or figure of a paper as data: conf/exhibit/<name>.yaml. Torch-free.

An exhibit lists the cells that it needs (a grid per scale), its tables and figures (`view`), the claims that are
tested (`claims`), and the methods that are the floor and the ceiling of normalised scores. Exhibits of other packages
join through the entry-point group `deltabench.exhibits`: its value is a package whose folder contains YAML files and
the CSV files of their published numbers.

A grid's scale is one block or a list of blocks (grids/blocks.py).
"""

import fnmatch
import importlib.metadata
import importlib.util
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from harness import assets, formatting
from harness.config import yaml_safety, yaml_values
from harness.config.step_load import Load, declared
from harness.errors import UsageError, near
from harness.experiments import claim_options, claims, published_rows, view_registry
from harness.experiments.grids.blocks import CHOSEN, RATE, TUNED, Block, read_blocks, searched_on, values
from harness.files import plain_files
from harness.probes import registry as probes

FIELDS = (
    "title", "source", "published", "floor", "ceiling", "sets", "tuning_seeds", "probe", "probe_trials", "view",
    "claims", "forecast", "grid",
)  # fmt: skip
AXES = ("model", "task", "method")
"""The axes by which cells are put in order, the most important first."""
GROUP = "deltabench.exhibits"
USUAL = "quick"
HERE = ("quick", "embedded", "tuned", "real")
"""Scales for two cores, `real` on real weights and rows; the others need a GPU."""


@dataclass(frozen=True)
class Exhibit:
    """One exhibit, checked.

    grids: scale -> blocks for `grid.expand`; empty for an exhibit of published numbers that cannot be run here.
    cells_of: the exhibit whose grid and reference records it shares
    (its own name unless `grid` names another). sets: "test", or "validation" where test scores are neither
    shown nor used. claims: (name of the claim, its options) as declared.
    declared_tuning: seeds that only choose rates, where several are tried on them; for grids that have the same seeds
    at every rate (a block at the rate CHOSEN says it by itself).
    probe_trials: whether the probes look at the trials of learning rates, too, for claims that have to hold at every
    rate that validation cannot tell from the best.
    forecast: the load at which memory is forecast, for an exhibit that trains nothing; device_bytes: the memory of the
    device that the step should fit.
    """

    name: str
    title: str
    source: str
    grids: Mapping[str, tuple[Block, ...]]
    cells_of: str
    views: tuple[str, ...]
    claims: tuple[tuple[str, Mapping[str, Any]], ...] = ()
    published: Path | None = None
    floor: str | None = None
    ceiling: str | None = None
    sets: str = "test"
    declared_tuning: frozenset[int] = frozenset()
    probes: tuple[str, ...] = ()
    probe_trials: bool = False
    forecast: Load | None = None
    device_bytes: int | None = None
    path: Path = field(default_factory=Path)

    def blocks(self, scale: str) -> tuple[Block, ...]:
        """Return the blocks of one scale. Raise UsageError for a scale that the exhibit does not have."""
        if not self.grids:
            raise UsageError(
                f"exhibit {self.name} is published only: `deltabench reproduce {self.name}` shows its numbers."
            )
        if scale not in self.grids:
            rule = " A run has one scale." if "," in scale else ""
            raise UsageError(f"exhibit {self.name} has no scale '{scale}'.{rule}{near(scale, self.grids)}")
        return self.grids[scale]

    def usual_scale(self) -> str:
        """Return the scale to use where none is given."""
        return USUAL if USUAL in self.grids else next(iter(self.grids))

    def tuning_seeds(self) -> frozenset[int]:
        """Return the seeds that try learning rates for blocks at the rates CHOSEN and TUNED. No table reports them."""
        blocks = [block for scale in self.grids.values() for block in scale]
        searched = frozenset(seed for block in blocks if TUNED in values(block, RATE) for seed in searched_on(block))
        fresh = {seed for block in blocks if CHOSEN in values(block, RATE) for seed in values(block, "seed")}
        tried = {seed for block in blocks if len(values(block, RATE)) > 1 for seed in values(block, "seed")}
        return searched | (frozenset(tried - fresh) if fresh else frozenset())

    def methods(self) -> tuple[str, ...]:
        """Return the methods of all grids in order of appearance. This order fixes their colours."""
        return self._named_first("method", self.grids.values())

    def tasks(self) -> tuple[str, ...]:
        """Return the names and patterns of the tasks of all grids in order of appearance."""
        return self._named_first("task", self.grids.values())

    def places(self, cells: Sequence[Mapping[str, Any]]) -> list[tuple[tuple[int, str], ...]]:
        """Return the place of each of these cells (as JSON), by which they are sorted.

        Models, tasks and methods have the order in which the grid of one scale first names them: the scale that names
        most of them. Names that match one pattern such as glue/* are sorted by letter. Names of no grid come last.
        """
        axes = [self._order(axis, {str(cell[axis]["name"]) for cell in cells}) for axis in AXES]
        return [tuple(map(_place, axes, (str(cell[axis]["name"]) for axis in AXES))) for cell in cells]

    def _order(self, axis: str, known: Collection[str]) -> tuple[str, ...]:
        """Return the names and patterns of an axis. The scale that names most of the known names comes first."""

        def unnamed(scale: str) -> int:
            """Return how many of the known names a scale lacks."""
            order = self._named_first(axis, [self.grids[scale]])
            return sum(_place(order, name)[0] == len(order) for name in known)

        return self._named_first(axis, (self.grids[scale] for scale in sorted(self.grids, key=unnamed)))

    def _named_first(self, axis: str, grids: Iterable[Sequence[Block]]) -> tuple[str, ...]:
        """Return the names and patterns of an axis in order of appearance."""
        names = (name for blocks in grids for block in blocks for name in values(block, axis))
        return tuple(dict.fromkeys(map(str, names)))


def _place(order: Sequence[str], name: str) -> tuple[int, str]:
    """Return the place of a name among names and patterns, and the name itself where a pattern stands for it."""
    if name in order:
        return order.index(name), ""
    for place, pattern in enumerate(order):
        if fnmatch.fnmatchcase(name, pattern):
            return place, name
    return len(order), ""


def names(folders: Iterable[Path] = ()) -> tuple[str, ...]:
    """Return the names of all exhibits, sorted."""
    return tuple(sorted(_paths(tuple(folders))))


def catalogue(folders: Iterable[Path] = ()) -> dict[str, Exhibit]:
    """Return all exhibits by name. Raise UsageError for the first malformed one."""
    folders = tuple(folders)
    return {name: load(name, folders) for name in names(folders)}


def load(name: str, folders: Iterable[Path] = ()) -> Exhibit:
    """Return one exhibit by name, from `folders`, conf/exhibit or an installed package. Raise UsageError if it does not
    exist.
    """
    folders = tuple(folders)
    paths = _paths(folders)
    if name not in paths:
        raise UsageError(f"there is no exhibit '{name}'.{near(name, paths)}")
    return read(paths[name], folders)


def read(path: Path, folders: Sequence[Path] = ()) -> Exhibit:
    """Return one exhibit from its file. Raise UsageError with the file, the field and the rule."""
    raw = _yaml(path)
    where = f"exhibit {path.stem} ({path.name})"
    for key in raw:
        if key not in FIELDS:
            raise UsageError(f"{where}: unknown field '{key}'.{near(str(key), FIELDS)}")
    for key in ("title", "source", "view", *(("grid",) if "grid" in raw or not raw.get("published") else ())):
        if not raw.get(key):
            raise UsageError(f"{where}: the field '{key}' is missing.")
    cells_of, grids = _grids(raw["grid"], path, where, folders) if "grid" in raw else (path.stem, {})
    exhibit = Exhibit(
        name=path.stem,
        title=str(raw["title"]),
        source=str(raw["source"]),
        grids=grids,
        cells_of=cells_of,
        views=_named(raw["view"], view_registry.names(), f"{where}: view"),
        claims=_claims(raw.get("claims") or [], where),
        published=_published(raw.get("published"), path, where),
        floor=raw.get("floor"),
        ceiling=raw.get("ceiling"),
        sets=_named([raw.get("sets", "test")], ("test", "validation"), f"{where}: sets")[0],
        declared_tuning=_seeds(raw.get("tuning_seeds", ()), where),
        probes=_named(raw.get("probe") or [], probes.names(), f"{where}: probe"),
        probe_trials=_flag(raw.get("probe_trials", False), f"{where}: probe_trials"),
        path=path,
        **_forecast(raw.get("forecast"), where),
    )
    _check_roles(exhibit, where)
    _check_claims(exhibit, where)
    return exhibit


def _seeds(raw: Any, where: str) -> frozenset[int]:
    chosen_seeds = raw if isinstance(raw, list | tuple) else (raw,)
    if not all(isinstance(seed, int) and not isinstance(seed, bool) for seed in chosen_seeds):
        raise UsageError(f"{where}: tuning_seeds is a list of seeds such as [0]; it says {raw}.")
    return frozenset(chosen_seeds)


def _flag(raw: Any, where: str) -> bool:
    if not isinstance(raw, bool):
        raise UsageError(f"{where} is true or false; it says {raw}.")
    return raw


def _forecast(raw: Any, where: str) -> dict[str, Any]:
    """Return the fields of an exhibit whose numbers are forecasts; they are None for any other."""
    try:
        load, device = (None, None) if raw is None else declared(raw)
    except UsageError as error:
        raise UsageError(f"{where}: forecast: {error}") from None
    return {"forecast": load, "device_bytes": device}


def _check_roles(exhibit: Exhibit, where: str) -> None:
    """Raise UsageError where the floor or the ceiling is no method of the grid."""
    known = exhibit.methods()
    for role, method in (("floor", exhibit.floor), ("ceiling", exhibit.ceiling)):
        if method is not None and not any(fnmatch.fnmatchcase(str(method), name) for name in known):
            raise UsageError(f"{where}: {role} '{method}' is not one of its methods.{near(str(method), known)}")


def _check_claims(exhibit: Exhibit, where: str) -> None:
    """Raise UsageError for an option of a claim that cannot be, and for an order of methods that was not published."""
    tasks = exhibit.tasks()
    for name, options in exhibit.claims:
        claim = claims.find(name)
        try:
            claim_options.check(claim, options, exhibit.methods(), tasks)
            if "quantity" in claim.options:
                quantity = str(options.get("quantity", claim.options["quantity"]))
                if exhibit.published is None:
                    raise UsageError(
                        f"it needs `published:`, a CSV with the columns {', '.join(published_rows.ORDER)}."
                    )
                published_rows.check_order(exhibit.published, quantity)
        except UsageError as error:
            raise UsageError(f"{where}: claim {name}: {error}") from None


def _yaml(path: Path) -> Mapping[str, Any]:
    try:
        raw = yaml_values.load(plain_files.read_text(path))
    except (OSError, ValueError) as error:
        raise UsageError(f"{path}: not readable as YAML: {' '.join(str(error).split())}") from None
    if not isinstance(raw, dict):
        raise UsageError(f"{path}: an exhibit is a mapping with the fields {', '.join(FIELDS)}.")
    yaml_safety.check_references(raw, path)
    return {name: content if name == "grid" else yaml_values.plain_values(content) for name, content in raw.items()}


def _grids(raw: Any, path: Path, where: str, folders: Sequence[Path]) -> tuple[str, Mapping[str, tuple[Block, ...]]]:
    if isinstance(raw, str):
        if raw == path.stem:
            raise UsageError(f"{where}: grid names itself; give blocks, or another exhibit's name.")
        other = load(raw, folders)
        return other.cells_of, other.grids
    if not isinstance(raw, dict):
        raise UsageError(f"{where}: grid is a mapping of scale -> list of blocks, or another exhibit's name.")
    return path.stem, {str(scale): read_blocks(written, f"{where}: grid.{scale}") for scale, written in raw.items()}


def _claims(raw: Any, where: str) -> tuple[tuple[str, Mapping[str, Any]], ...]:
    uses = [use if isinstance(use, dict) else {"claim": use} for use in (raw if isinstance(raw, list) else [raw])]
    for use in uses:
        name = str(use.get("claim", ""))
        if "claim" not in use:
            raise UsageError(f"{where}: a claim without its name. {_written(use)}")
        _named([name], claims.names(), f"{where}: claim")
        known = claims.find(name).options
        for option in set(use) - {"claim"} - set(known):
            raise UsageError(f"{where}: claim {name} has no option '{option}'.{near(str(option), known)}")
    return tuple((str(use["claim"]), {k: v for k, v in use.items() if k != "claim"}) for use in uses)


def _written(use: Mapping[str, Any]) -> str:
    """Return how to write a claim whose name is missing, or stands where `claim` belongs."""
    name = next((str(key) for key in use if key in claims.names()), None)
    if name is None:
        return f"Write {{claim: NAME}}.{near(next(map(str, use), ''), claims.names())}"
    own = use[name] if isinstance(use[name], dict) else {}
    options = {**own, **{key: value for key, value in use.items() if key != name}}
    return f"Write {{{formatting.value({'claim': name, **options})}}}."


def _named(chosen: Any, known: Iterable[str], where: str) -> tuple[str, ...]:
    known = tuple(known)
    chosen = chosen if isinstance(chosen, list) else [chosen]
    for name in chosen:
        if name not in known:
            raise UsageError(f"{where} '{name}' does not exist.{near(str(name), known)}")
    return tuple(chosen)


def _published(name: Any, path: Path, where: str) -> Path | None:
    if name is None:
        return None
    for folder in (path.parent, assets.published()):
        if (folder / str(name)).is_file():
            return folder / str(name)
    known = [file.name for file in assets.published().glob("*.csv")]
    raise UsageError(f"{where}: there are no published numbers '{name}'.{near(str(name), known)}")


def _paths(folders: tuple[Path, ...]) -> dict[str, Path]:
    """Return name -> file. `folders` win over conf/exhibit, and conf/exhibit over installed packages."""
    places = [*(folder / "exhibit" for folder in folders), assets.conf() / "exhibit", *_packages()]
    paths: dict[str, Path] = {}
    for place in places:
        for path in sorted(place.glob("*.yaml")):
            paths.setdefault(path.stem, path)
    return paths


@cache
def _packages() -> tuple[Path, ...]:
    """Return the folders of the installed packages with exhibits, without importing the packages."""
    specs = [importlib.util.find_spec(entry.value) for entry in importlib.metadata.entry_points(group=GROUP)]
    return tuple(Path(place) for spec in specs if spec for place in spec.submodule_search_locations or ())
