"""Who reads a public function with tensors learns their shapes from its docstring."""

import ast
import re
from collections.abc import Iterator

from harness import assets

SHAPE = re.compile(r"\[[^\[\]]*\]|scalar|shape")
TENSOR = re.compile(r"\b(Tensor|Parameter)\b")
LEAST = 0.95


def public(node: ast.Module | ast.ClassDef) -> Iterator[ast.FunctionDef]:
    """Yield the public functions and methods, `forward` among them."""
    for inner in node.body:
        if isinstance(inner, ast.ClassDef) and not inner.name.startswith("_"):
            yield from public(inner)
        elif isinstance(inner, ast.FunctionDef) and not inner.name.startswith("_"):
            yield inner


def takes_or_returns_tensors(function: ast.FunctionDef) -> bool:
    arguments = [argument.annotation for argument in ast.walk(function.args) if isinstance(argument, ast.arg)]
    return any(TENSOR.search(ast.unparse(one)) for one in [*arguments, function.returns] if one is not None)


def test_docstrings_state_the_shapes_of_tensors() -> None:
    stated, missing = 0, []
    for room in ("harness", "methods", "tasks"):
        for path in sorted((assets.root() / room).rglob("*.py")):
            for function in public(ast.parse(path.read_text(encoding="utf-8"))):
                if not takes_or_returns_tensors(function):
                    continue
                if SHAPE.search((ast.get_docstring(function) or "").lower()):
                    stated += 1
                else:
                    missing.append(f"{path.name}: {function.name}")
    assert stated > 100
    assert stated >= LEAST * (stated + len(missing)), missing
