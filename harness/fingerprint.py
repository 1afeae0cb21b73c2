"""Which code made a result: digests of syntax trees, so that a comment or a docstring makes nothing stale. Torch-free.

A record whose fingerprint differs from today's is `stale`: it still counts as done and is marked wherever it is
shown. The git commit is no part of it: most commits change no result.
"""

import ast
import hashlib
import importlib.util
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import methods
import tasks
from harness.config import Cell
from harness.provenance import installed

CORE = (
    "methods.base",
    "methods.anatomy",
    "tasks.base",
    "tasks.metrics",
    "harness.models",
    "harness.batches",
    "harness.fit",
    "harness.score",
    "harness.run",
)
"""Code that every result depends on, whatever the cell."""
LIBRARIES = ("torch", "transformers")


def parts(cell: Cell) -> dict[str, str]:
    """Part -> digest: files by module name, libraries by minor version, data and weights by content."""
    modules = (
        *CORE,
        *_method_modules(cell.method.name),
        *_suite(cell.task.name),
        f"harness.objectives.{cell.objective}",
    )
    return {
        **{module: digest for module in sorted(set(modules)) if (digest := module_digest(module))},
        **{name: minor(installed(name)) for name in LIBRARIES},
        "data": cell.task.digest,
        "weights": cell.model.revision,
    }


def fingerprint(cell: Cell) -> str:
    """One digest of all parts."""
    lines = (f"{name}={digest}" for name, digest in sorted(parts(cell).items()))
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]


def changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """The parts that differ, each with its reason."""
    names = sorted({*before, *now})
    return [
        _change(name, before.get(name), now.get(name)) for name in names if before.get(name) != now.get(name)
    ]


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


@cache
def module_digest(module: str) -> str | None:
    """Digest of a module's file; None where there is none. Imports nothing but its parent packages."""
    path = _file(module)
    return tree_digest(path.read_text(encoding="utf-8")) if path else None


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
def _method_modules(name: str) -> tuple[str, ...]:
    """The method's file and what it imports from its own package."""
    entry = methods.catalogue().get(name)
    found: list[str] = []
    left = [entry.module] if entry else []
    while left:
        module = left.pop()
        path = _file(module)
        if module in found or path is None or path.name == "__init__.py":
            continue
        found.append(module)
        left += _imports(path, module.partition(".")[0])
    return tuple(sorted(found))


def _imports(path: Path, package: str) -> list[str]:
    names = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.partition(".")[0] == package:
            names += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        elif isinstance(node, ast.Import):
            names += [alias.name for alias in node.names if alias.name.partition(".")[0] == package]
    return names


def _suite(task: str) -> tuple[str, ...]:
    """The module the task's row stands in."""
    row = tasks.catalogue().get(task)
    module = getattr(getattr(row, "load", None), "__module__", None)
    return (module,) if isinstance(module, str) else ()


@cache
def _file(module: str) -> Path | None:
    try:
        spec = importlib.util.find_spec(module)
    except (ImportError, ValueError):
        return None
    return Path(spec.origin) if spec and spec.origin and spec.origin.endswith(".py") else None
