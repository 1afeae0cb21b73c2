"""Public functions have a docstring that begins with a verb in the imperative and ends with a full stop."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness import assets

ROOT = assets.root()
ROOMS = tuple(
    sorted(
        {
            path.parent.relative_to(ROOT).as_posix()
            for package in ("harness", "methods", "tasks")
            for path in (ROOT / package).rglob("*.py")
            if "_assets" not in path.parts and path.stem != "__init__"
        }
    )
)
"""All folders of the packages; each is checked without the folders in it."""
CONTRACTS = ("methods/base.py", "harness/training/objectives/base.py", "harness/execution/trackers/follower.py")
"""Files whose classes declare methods that others implement. An implementation needs no docstring of its own."""
OPENERS = frozenset(
    "a an the this that these those it its he his they their we our you your one some any each every all both no none "
    "nothing what which who whose where when why how whether if as at by for from in of on to with without and or but "
    "not only there here true false usageerror also most more many few".split()
)
"""Words that begin a noun phrase, a question or an aside, and never an order."""


def wrong(node: ast.FunctionDef | ast.AsyncFunctionDef, declared: frozenset[str] = frozenset()) -> str:
    """Return what is wrong with the docstring of a function; "" for a good one.

    declared: names of the functions that need none, because a contract has their docstrings.
    """
    text = ast.get_docstring(node)
    if text is None:
        return "" if node.name in declared else "it has none"
    first = text.split()[0].rstrip(",")
    paragraph = text.split("\n\n")[0].rstrip()
    if not first.isalpha() or not first[0].isupper() or not first[1:].islower():
        return f"it begins with {first!r}, which is no verb"
    if first.lower() in OPENERS or (first.endswith(("s", "ed", "ing")) and not first.endswith("ss")):
        return f"it begins with {first!r}, which is no imperative"
    return (
        "" if paragraph.endswith((".", ":")) else f"its first paragraph ends without a full stop: {paragraph[-30:]!r}"
    )


def functions(body: list[ast.stmt]) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Yield the public functions of a module or a class, and of the public classes in it."""
    for node in body:
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            yield from functions(node.body)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and not node.name.startswith("_"):
            yield node


def _files(room: str) -> list[Path]:
    return sorted((ROOT / room).glob("*.py"))


def _declared() -> frozenset[str]:
    bodies = [ast.parse((ROOT / path).read_text("utf-8")).body for path in CONTRACTS]
    classes = [node for body in bodies for node in body if isinstance(node, ast.ClassDef)]
    return frozenset(node.name for one in classes for node in functions(one.body) if ast.get_docstring(node))


def test_the_rooms_are_all_rooms() -> None:
    assert {"harness", "harness/store", "methods", "methods/attachment", "tasks/microworld/corpus"} <= set(ROOMS)


@pytest.mark.parametrize("room", ROOMS)
def test_docstrings_begin_with_a_verb(room: str) -> None:
    nodes = [(path, node) for path in _files(room) for node in functions(ast.parse(path.read_text("utf-8")).body)]
    declared = _declared()
    checked = [(f"{path.relative_to(ROOT)}:{node.lineno} {node.name}", wrong(node, declared)) for path, node in nodes]
    assert [f"{place}: {reason}" for place, reason in checked if reason] == []


@pytest.mark.parametrize(
    ("text", "good"),
    [
        ("Return the key.", True),
        ("Yield rows:\n\nfirst ours.", True),
        ("Pass the batch on.", True),
        ("The key.", False),
        ("Whether it is done.", False),
        ("[T] the tasks.", False),
        ("`x` as text.", False),
        ("Returns the key.", False),
        ("Return the key", False),
        ("UsageError for others.", False),
    ],
)
def test_what_a_good_docstring_is(text: str, good: bool) -> None:
    node = ast.parse(f'def f():\n    """{text}"""\n').body[0]
    assert isinstance(node, ast.FunctionDef)
    assert (not wrong(node)) == good


def test_a_function_without_a_docstring_is_seen() -> None:
    nodes = [*functions(ast.parse("class A:\n    def b(self): ...\n    def _c(self): ...\n").body)]
    assert [(node.name, wrong(node)) for node in nodes] == [("b", "it has none")]
    assert not wrong(nodes[0], frozenset({"b"}))
