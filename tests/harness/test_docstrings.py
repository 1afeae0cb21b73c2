"""Public functions have a docstring. Every docstring of a function begins with a verb in the imperative.

Its first paragraph ends with a full stop, or with the colon before a list.
"""

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
VERBS = frozenset(
    "accept acquire add answer append ask assign attach attend average build call change check choose clear close "
    "collect compare compute convert copy create cut delete describe direct do draw end enter fill filter find fit "
    "flush fold follow force freeze give hand hide import insert join keep kill lay learn lease leave let link load "
    "log look make measure move number observe open parse pass prepare print push put raise read rebuild recompute "
    "record register release remember remove rename replace request restore restrict return route run save scale "
    "score select send serve set show shut silence skip solve sort split spread start stop store swap take test train "
    "try turn undo untie use wait widen wrap write yield".split()
)
"""The verbs that begin a docstring. Whoever needs another one adds it."""


def wrong(node: ast.FunctionDef | ast.AsyncFunctionDef, declared: frozenset[str] = frozenset()) -> str:
    """Return what is wrong with the docstring of a function; "" for a good one.

    declared: names of the functions that need none, because a contract has their docstrings.
    """
    text = ast.get_docstring(node)
    if text is None:
        return "" if node.name in declared else "it has none"
    first, paragraph = text.split()[0].rstrip(","), text.split("\n\n")[0].rstrip()
    if first.lower() not in VERBS or not first[0].isupper():
        return f"it begins with {first!r}, which is no imperative that VERBS has"
    return (
        "" if paragraph.endswith((".", ":")) else f"its first paragraph ends without a full stop: {paragraph[-30:]!r}"
    )


Function = ast.FunctionDef | ast.AsyncFunctionDef


def functions(body: list[ast.stmt]) -> Iterator[Function]:
    """Yield the public functions of a module or a class, and of the public classes in it."""
    for node in body:
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            yield from functions(node.body)
        if isinstance(node, Function) and not node.name.startswith("_"):
            yield node


def described(tree: ast.Module) -> list[Function]:
    """Return the functions with a docstring that are not public: private and nested ones, and special methods."""
    public = set(functions(tree.body))
    every = [node for node in ast.walk(tree) if isinstance(node, Function) and node not in public]
    return [node for node in every if ast.get_docstring(node) is not None]


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
    declared = _declared()
    checked = []
    for path in _files(room):
        tree = ast.parse(path.read_text("utf-8"))
        nodes = (*functions(tree.body), *described(tree))
        checked += [(f"{path.relative_to(ROOT)}:{node.lineno} {node.name}", wrong(node, declared)) for node in nodes]
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
        ("Part -> its method.", False),
        ("Before it runs: hide the key.", False),
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


def test_private_and_nested_functions_are_described_as_public_ones_are() -> None:
    source = """
def a():
    'Return 1.'
    def b():
        'The part.'
class _C:
    def __init__(self):
        'rows: [N]'
    def d(self):
        'Block by block.'
    def _e(self): ...
"""
    nodes = described(ast.parse(source))
    assert {node.name for node in nodes if wrong(node)} == {"b", "__init__", "d"}
