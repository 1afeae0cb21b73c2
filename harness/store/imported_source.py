"""The source of modules: its file, its digest and what it imports, as it was imported. Torch-free.

A file may be edited while its cell runs, so the source counts from which a process imported a module.

The forkserver keeps the files of all that it has loaded (see processes/preload_last.py), and its children inherit that.
"""

import ast
import hashlib
import importlib.util
import sys
from collections.abc import Iterable
from contextlib import suppress
from functools import cache
from pathlib import Path

PACKAGES = ("harness", "methods", "tasks")
_sources: dict[str, bytes] = {}
trees: dict[str, str] = {}
"""Digest of a source byte by byte -> of its syntax tree, which takes a hundred times as long."""


def keep() -> None:
    """Remember the files of our modules that are loaded now, unless they are remembered."""
    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] in PACKAGES and name not in _sources:
            with suppress(OSError, TypeError, AttributeError):  # a module without a file
                _sources[name] = Path(module.__file__ or "").read_bytes()


def keep_these(files: Iterable[tuple[str, Path]]) -> None:
    """Remember (module, file) pairs that are about to be imported, unless they are remembered."""
    for name, path in files:
        if name not in _sources:
            with suppress(OSError):
                _sources[name] = path.read_bytes()


def source(name: str, path: Path) -> bytes:
    """Return the source from which this process imported the module, if it is known; else the content of the file."""
    return _sources[name] if name in _sources else path.read_bytes()


def digest(content: bytes) -> str:
    """Return the digest of a source, byte by byte."""
    return hashlib.sha256(content).hexdigest()


def tree_digest(source: str) -> str:
    """Return a digest of the code without comments, docstrings and layout."""
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
    """Return the digest of a module's file, or None where it has none. Imports nothing but its parent packages."""
    path = file_of(module)
    return digest_of(source(module, path)) if path else None


def digest_of(source: bytes) -> str:
    """Return the `tree_digest` of a source, computed once."""
    key = digest(source)
    if key not in trees:
        trees[key] = tree_digest(source.decode("utf-8"))
    return trees[key]


@cache
def closure(module: str) -> tuple[str, ...]:
    """Return a module and the modules of its own package that it imports, directly or by others, sorted."""
    names: list[str] = []
    left = [module]
    while left:
        name = left.pop()
        path = file_of(name)
        if name not in names and path is not None and path.name != "__init__.py":
            names.append(name)
            left += _imports(path, name.partition(".")[0])
    return tuple(sorted(names))


def _imports(path: Path, package: str) -> list[str]:
    names = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.partition(".")[0] == package:
            names += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        elif isinstance(node, ast.Import):
            names += [alias.name for alias in node.names if alias.name.partition(".")[0] == package]
    return names


@cache
def file_of(module: str) -> Path | None:
    """Return a module's file or None. Nothing is imported, because its parents may load torch."""
    top, *rest = module.split(".")
    try:
        spec = importlib.util.find_spec(top)
    except (ImportError, ValueError):
        return None
    if spec is None or spec.origin is None:
        return None
    base = Path(spec.origin).parent.joinpath(*rest) if rest else Path(spec.origin).with_suffix("")
    files = (path for path in (base.with_suffix(".py"), base / "__init__.py") if path.is_file())
    return next(files, None)
