"""The fingerprint of a result: which numbers this version computes for a cell like it. Torch-free.

A record whose numbers today's code would not give is stale: it still counts as done and is marked wherever it is shown.
The fingerprint follows behaviour. `golden_results.json` has rows of numbers that tiny cells give, and a test computes
them again, so a change of a number changes a row and a move, a rename or a comment changes none. The parts of a
fingerprint are digests of the rows that concern the cell: those of its method, family, objective, recipe and metric.
A record is stale where one of its rows has changed or is gone. A row that was added after it changes nothing.
A method or a task of another package has no rows. The digest of its source, as it was imported, takes their place.
The git commit is no part of it: most commits change no result.
"""

import hashlib
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

from harness.config.schema import Cell, TaskConfig
from harness.errors import UsageError
from harness.store import imported_source, results_version
from harness.store.provenance import installed
from harness.store.results_version import features
from methods import registry as methods
from methods.backbone import families
from tasks import registry as tasks

ROWS = "rows of "
"""Every part that has digests of rows begins so. A record of before results versions has no such part."""
ROW = "golden row "
"""The name of a changed row begins so in a sentence."""
BEFORE = "made before results versions: its fingerprint is of source files, which says nothing of its numbers"
LIBRARIES = ("torch", "transformers")
ROOMS = ("harness.training", "harness.models", "methods.attachment", "methods.backbone", "tasks.data", "tasks.metrics")
PAGES = ("harness.run", "harness.precision", "methods.base", "tasks.base")
"""Packages and modules whose code a training runs, for `exact`."""

_imported: dict["Subject", tuple[str, tuple[tuple[str, Path], ...]]] = {}
"""Subject of this process's cell -> its fingerprint, and the files of `_training_files`, as its worker found them: to
read which modules import which takes as long as some steps of training."""


@dataclass(frozen=True)
class Subject:
    """The facts of a cell that decide which rows concern it.

    features: the fields of its recipe and task that do something, as `features` names them. metric: "" where it is not
    known; then the rows of all metrics concern it.
    """

    method: str
    task: str
    objective: str
    family: str = ""
    metric: str = ""
    features: tuple[str, ...] = ()

    @classmethod
    def of_cell(cls, cell: Cell) -> "Subject":
        """Return the subject of a resolved cell."""
        return cls(
            cell.method.name,
            cell.task.name,
            cell.objective,
            cell.model.family,
            _metric(cell.task),
            features(vars(cell.recipe), vars(cell.task)),
        )

    @classmethod
    def of_record(cls, record: Mapping[str, Any]) -> "Subject":
        """Return the subject of a record's JSON. A metric that it does not state is that of its task's row."""
        cell, facts = record["cell"], record.get("task_facts") or {}
        return cls(
            cell["method"]["name"],
            cell["task"]["name"],
            cell["objective"],
            cell["model"].get("family") or "",
            facts.get("metric") or _metric(TaskConfig(cell["task"]["name"])),
            features(cell["recipe"], cell["task"]),
        )

    @classmethod
    def of_summary(cls, summary: Mapping[str, Any]) -> "Subject":
        """Return the subject of the summary that `record.summarise` makes."""
        return cls(
            summary["method"],
            summary["task"],
            summary["objective"],
            summary.get("family") or "",
            summary.get("metric") or _metric(TaskConfig(summary["task"])),
            tuple(summary.get("features") or ()),
        )


@cache
def parts(subject: Subject) -> Mapping[str, str]:
    """Return part -> text: the digests of a group's rows, that of a foreign module's source, a library's minor version.

    What the data and the weights hold is in the cell's key: other contents are another cell, never a stale one.
    """
    files = {module: digest for module in _foreign(subject) if (digest := imported_source.module_digest(module))}
    return {**_row_parts(subject), **files, **_versions()}


@cache
def fingerprint(subject: Subject) -> str:
    """Return one digest of all parts."""
    return joined(parts(subject))


def joined(digests: Mapping[str, str]) -> str:
    """Return one digest of these parts."""
    lines = (f"{name}={digest}" for name, digest in sorted(digests.items()))
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Learnt:
    """What a worker computes once for all processes of a cell.

    - rows: parts of rows. modules: the foreign ones with their files. trees: see `_trees`.
    - subject, training: the modules, with their files, that train a cell of this subject (see `exact`).
    """

    rows: Mapping[str, str]
    modules: tuple[tuple[str, Path], ...]
    trees: Mapping[str, str]
    subject: Subject | None = None
    training: tuple[tuple[str, Path], ...] = ()


def learnt(cell: Cell) -> Learnt:
    """Collect what the process of one cell needs for its own fingerprint."""
    subject = Subject.of_cell(cell)
    parts(subject)
    files = tuple((module, path) for module in _foreign(subject) if (path := imported_source.file_of(module)))
    return Learnt(_row_parts(subject), files, dict(imported_source.trees), subject, _training_files(subject))


def imported_parts(known: Learnt) -> dict[str, str]:
    """Return the `parts` at the start of a cell's process: foreign modules as they are imported there."""
    imported_source.trees.update(known.trees)
    imported_source.keep_these(known.modules)
    files = {module: imported_source.digest_of(imported_source.source(module, path)) for module, path in known.modules}
    imported = {**known.rows, **files, **_versions()}
    if known.subject is not None:
        _imported[known.subject] = (joined(imported), known.training)
    return imported


def exact(cell: Cell) -> str:
    """Return one digest, byte by byte, of the code that trains this cell, as it was imported in this process.

    A checkpoint belongs to it. A comment changes it; so does an edit that no row of numbers has proved yet.
    """
    subject = Subject.of_cell(cell)
    own, files = _imported.get(subject) or (fingerprint(subject), _training_files(subject))
    sources = [imported_source.source(module, path) for module, path in files]
    texts = [own, *((installed(name) or "") for name in LIBRARIES)]
    digests = map(hashlib.sha256, [*sources, *(text.encode() for text in texts)])
    return hashlib.sha256(b"".join(digest.digest() for digest in digests)).hexdigest()[:16]


def is_stale(record: Mapping[str, Any]) -> bool:
    """Return whether a finished record has numbers that today's code would not give. `Store.is_stale` is faster."""
    made, subject = record.get("provenance") or {}, Subject.of_record(record)
    if record["status"] != "done" or made.get("fingerprint") == fingerprint(subject):
        return False
    then = made.get("fingerprint_parts") or {}
    return not then or bool(differing(then, parts(subject)))


def is_before_versions(known: Mapping[str, Any]) -> bool:
    """Return whether these parts, of a record, are of the time when a fingerprint was of source files."""
    return bool(known) and not any(name.startswith(ROWS) for name in known)


def differing(before: Mapping[str, Any], now: Mapping[str, str]) -> dict[str, tuple[Any, str | None]]:
    """Return row or part -> (digest before, digest now or None where it is gone) for those that make a record stale.

    before: the parts of a record. now: today's `parts` of such a record. A row that `before` does not have was added
    later, so it makes nothing stale. A method or task whose source stood for rows is compared by its source, whatever
    rows it has now.
    """
    old, new = dict[str, Any](before), dict[str, Any](now)
    if not is_before_versions(before):
        old, rows = by_row(before), by_row(now)
        new = {name: rows[name] if name in rows else today(name) for name in old}
        new |= {name: digest for name, digest in rows.items() if not name.startswith(ROW)}
    return {name: (old.get(name), new.get(name)) for name in sorted({*old, *new}) if old.get(name) != new.get(name)}


def by_row(known: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parts with one entry per row in place of one per group.

    A group stays one entry where it has a digest of all rows together that is not of rows of today.
    """
    entries: dict[str, Any] = {}
    for name, text in known.items():
        group = name.removeprefix(ROWS)
        rows = results_version.digests(group, str(text)) if group != name else None
        entries |= {name: text} if rows is None else {f"{ROW}{row}": digest for row, digest in rows.items()}
    return entries


def sentences(changed: Mapping[str, tuple[Any, Any]]) -> list[str]:
    """Return one text for each change, as `differing` returns them."""
    if any(name.startswith(ROWS) and then is None for name, (then, _) in changed.items()):
        return [BEFORE, *(_change(name, *changed[name]) for name in LIBRARIES if name in changed)]
    return [_change(name, *digests) for name, digests in changed.items()]


def today(name: str) -> str | None:
    """Return today's digest of a row, a group or a module of foreign code; None where it is gone."""
    if name.startswith(ROW):
        return results_version.row_digest(name.removeprefix(ROW))
    if name.startswith(ROWS):
        return results_version.text(name.removeprefix(ROWS)) or None
    with suppress(ValueError, SyntaxError):  # a record may name any module of this machine
        return imported_source.module_digest(name) if all(map(str.isidentifier, name.split("."))) else None
    return None


def minor(version: str | None) -> str:
    """Return the minor version: "2.13.0+cpu" -> "2.13"."""
    return ".".join((version or "none").split(".")[:2])


def _row_parts(subject: Subject) -> dict[str, str]:
    groups = results_version.groups_of(
        subject.method, _family(subject.family), subject.objective, subject.metric, subject.features
    )
    return {f"{ROWS}{name}": results_version.text(name) for name in groups}


@cache
def _versions() -> Mapping[str, str]:
    """Return library -> its minor version. Finding them takes as long as the rest of a new subject's digest."""
    return {name: minor(installed(name)) for name in LIBRARIES}


def _family(kind: str) -> str:
    """Return the name of the row of FAMILIES that has this type of model; the type itself where no row has it."""
    return next((family.name for family in families.FAMILIES if kind in family.model_types), kind)


def _metric(config: TaskConfig) -> str:
    with suppress(UsageError):
        return tasks.row(config).metric
    return ""


def _change(name: str, before: Any, now: Any) -> str:
    if name in LIBRARIES:
        return f"{name}: {before} then, {now} now"
    if before is None or now is None:
        return f"{name}: {'new' if before is None else 'gone'} since"
    return f"{name}: changed since"


def is_ours(subject: Subject) -> bool:
    """Return whether a cell's method and task are of this package."""
    return bool(results_version.rows_of(f"method {subject.method}")) and not _foreign(subject)


@cache
def _foreign(subject: Subject) -> tuple[str, ...]:
    """Return the modules without rows that a result depends on: those of a method or a task of another package."""
    own = () if results_version.rows_of(f"method {subject.method}") else _method_modules(subject.method)
    suite = [module for module in _suite(subject.task) if module.partition(".")[0] not in imported_source.PACKAGES]
    return tuple(sorted({*own, *suite}))


@cache
def _training_files(subject: Subject) -> tuple[tuple[str, Path], ...]:
    """Return the modules, with their files, whose code trains a cell of this subject."""
    modules = sorted({*_training_modules(), *_method_modules(subject.method), *_suite(subject.task)})
    return tuple((module, path) for module in modules if (path := imported_source.file_of(module)))


def _training_modules() -> Iterable[str]:
    for room in ROOMS:
        if package := imported_source.file_of(room):
            folder = package.parent
            for path in folder.rglob("*.py"):
                yield ".".join([room, *path.relative_to(folder).with_suffix("").parts])
    yield from PAGES


def _method_modules(name: str) -> tuple[str, ...]:
    entry = methods.catalogue().get(name)
    return imported_source.closure(entry.module) if entry else ()


def _suite(task: str) -> tuple[str, ...]:
    """Return the module of the function that reads the task, and what that imports from its own package."""
    load = getattr(tasks.catalogue().get(task, tasks.OWN), "load", None)
    while isinstance(load, partial):
        load = load.func
    return imported_source.closure(load.__module__) if load is not None else ()
