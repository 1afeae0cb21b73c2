"""Which code made a result: digests of syntax trees, so that a comment or a docstring makes nothing stale. Torch-free.

A record whose fingerprint differs from today's is `stale`: it still counts as done and is marked wherever it is
shown. The git commit is no part of it: most commits change no result. In a cell's own process it is of the code that
was imported there, whatever has become of the files since.
"""

import ast
import hashlib
import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

from harness.store import imported_source
from harness.store.provenance import installed
from methods import registry as methods
from tasks import registry as tasks

CORE = (
    "methods.base",
    "methods.attachment.hooks",
    "methods.attachment.delta_state",
    "methods.backbone.roles",
    "methods.backbone.families",
    "methods.backbone.linears",
    "tasks.base",
    "tasks.metrics.label_metrics",
    "tasks.data.few_shot",
    "tasks.metrics.text_metrics",
    "tasks.metrics.bleu",
    "harness.models.architecture",
    "harness.models.tokenizer",
    "harness.models.control_tokens",
    "harness.models.backbone",
    "harness.training.trained_tensors",
    "harness.training.batches",
    "harness.training.fit",
    "harness.training.checkpoint",
    "harness.training.model_state",
    "harness.training.determinism",
    "harness.training.optimizers",
    "harness.training.score",
    "harness.run",
)
"""Code that every result depends on, whatever the cell."""
DECODING = {"harness.training.decoding"}
LIBRARIES = ("torch", "transformers")


_trees: dict[str, str] = {}
"""Digest of a source byte by byte -> of its syntax tree, which takes a hundred times as long."""


@cache
def parts(method: str, task: str, objective: str) -> Mapping[str, str]:
    """Part -> digest: files by module name, libraries by minor version.

    What the data and the weights hold is in the cell's key: other contents are another cell, never a stale one.
    """
    modules = _modules(method, task, objective)
    files = {module: digest for module in modules if (digest := module_digest(module))}
    return {**files, **{name: minor(installed(name)) for name in LIBRARIES}}


@cache
def fingerprint(method: str, task: str, objective: str) -> str:
    """One digest of all parts."""
    return joined(parts(method, task, objective))


def joined(found: Mapping[str, str]) -> str:
    """One digest of these parts."""
    lines = (f"{name}={digest}" for name, digest in sorted(found.items()))
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Learnt:
    """What a worker has found out for all of its cells' processes. modules: what a result of one cell depends on."""

    modules: tuple[tuple[str, Path], ...]
    trees: Mapping[str, str]


def learnt(method: str, task: str, objective: str) -> Learnt:
    """For the process of one cell."""
    parts(method, task, objective)
    modules = _modules(method, task, objective)
    return Learnt(tuple((module, path) for module in modules if (path := _file(module))), dict(_trees))


def imported_parts(told: Learnt) -> dict[str, str]:
    """`parts` at the start of a cell's process: of what is imported there, or is about to be."""
    _trees.update(told.trees)
    imported_source.keep_these(told.modules)
    files = {module: _tree(imported_source.source(module, path)) for module, path in told.modules}
    return {**files, **{name: minor(installed(name)) for name in LIBRARIES}}


def exact(method: str, task: str, objective: str) -> str:
    """One digest of the same files byte by byte: a comment changes it, but a cell that starts has it at once."""
    modules = _modules(method, task, objective)
    found = [imported_source.source(module, path) for module in modules if (path := _file(module))]
    lines = [*map(hashlib.sha256, found), *(hashlib.sha256((installed(name) or "").encode()) for name in LIBRARIES)]
    return hashlib.sha256(b"".join(line.digest() for line in lines)).hexdigest()[:16]


def is_stale(summary: Mapping[str, Any]) -> bool:
    """Whether a finished attempt (as `Store.summary` tells it) was made by other code than today's."""
    now = fingerprint(summary["method"], summary["task"], summary["objective"])
    return summary["status"] == "done" and summary["fingerprint"] != now


def changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """The parts that differ, each with its reason."""
    names = sorted({*before, *now})
    return [_change(name, before.get(name), now.get(name)) for name in names if before.get(name) != now.get(name)]


def tree_digest(source: str) -> str:
    """Digest of the code without comments, docstrings and layout."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and body:
            first = body[0]
            if (
                isinstance(first, ast.Expr)
                and isinstance(first.value, ast.Constant)
                and isinstance(first.value.value, str)
            ):
                node.body = body[1:] or [ast.Pass()]
    return hashlib.sha256(ast.unparse(tree).encode()).hexdigest()[:16]


def module_digest(module: str) -> str | None:
    """Digest of a module's file; None where there is none. Imports nothing but its parent packages."""
    path = _file(module)
    return _tree(imported_source.source(module, path)) if path else None


def _tree(source: bytes) -> str:
    key = imported_source.digest(source)
    if key not in _trees:
        _trees[key] = tree_digest(source.decode("utf-8"))
    return _trees[key]


def minor(version: str | None) -> str:
    """ "2.13.0+cpu" -> "2.13"."""
    return ".".join((version or "none").split(".")[:2])


def _change(name: str, before: Any, now: Any) -> str:
    if name in LIBRARIES:
        return f"{name}: {before} then, {now} now"
    if before is None or now is None:
        return f"{name}: {'new' if before is None else 'gone'} since"
    return f"{name}: changed since"


@cache
def _modules(method: str, task: str, objective: str) -> tuple[str, ...]:
    """Of all that a result depends on."""
    return tuple(sorted({*CORE, *_method_modules(method), *_suite(task), *_objective(objective)}))


def _method_modules(name: str) -> tuple[str, ...]:
    entry = methods.catalogue().get(name)
    return _closure(entry.module) if entry else ()


def _objective(name: str) -> tuple[str, ...]:
    """Its module, and how text is decoded where it decodes any."""
    module = f"harness.training.objectives.{name}"
    path = _file(module)
    return (module, *(DECODING & {*_imports(path, "harness")})) if path else (module,)


def _suite(task: str) -> tuple[str, ...]:
    """The module of the function that reads the task, and what it imports from its own package."""
    load = getattr(tasks.catalogue().get(task, tasks.OWN), "load", None)
    while isinstance(load, partial):
        load = load.func
    return _closure(load.__module__) if load is not None else ()


@cache
def _closure(module: str) -> tuple[str, ...]:
    """A module's file and, from its own package, the files it imports."""
    found: list[str] = []
    left = [module]
    while left:
        name = left.pop()
        path = _file(name)
        if name not in found and path is not None and path.name != "__init__.py":
            found.append(name)
            left += _imports(path, name.partition(".")[0])
    return tuple(sorted(found))


def _imports(path: Path, package: str) -> list[str]:
    names = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.partition(".")[0] == package:
            names += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        elif isinstance(node, ast.Import):
            names += [alias.name for alias in node.names if alias.name.partition(".")[0] == package]
    return names


@cache
def _file(module: str) -> Path | None:
    """A module's file, found without importing anything: its parents may load torch."""
    top, *rest = module.split(".")
    try:
        spec = importlib.util.find_spec(top)
    except (ImportError, ValueError):
        return None
    if spec is None or spec.origin is None:
        return None
    base = Path(spec.origin).parent.joinpath(*rest) if rest else Path(spec.origin).with_suffix("")
    found = (path for path in (base.with_suffix(".py"), base / "__init__.py") if path.is_file())
    return next(found, None)
