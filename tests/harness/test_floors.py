"""The rooms of the code stand on floors, and imports go down: so no two rooms import each other."""

import ast
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from harness import assets

ROOT = assets.root()
FLOORS = (
    "harness",
    "harness.files",
    "harness.config",
    "tasks.templates",
    "tasks.base",
    "tasks.metrics",
    "tasks.data",
    "tasks",
    "tasks.microworld",
    "tasks.microworld2",
    "methods.backbone",
    "methods.attachment",
    "methods.peft_layers",
    "methods",
    "harness.store",
    "harness.measurement",
    "harness.models",
    "methods.peft_files",
    "harness.processes",
    "harness.training",
    "harness.run",
    "harness.one_pass",
    "harness.probes.judging",
    "harness.probes",
    "harness.experiments.grids",
    "harness.experiments.rates",
    "harness.experiments",
    "harness.execution",
    "harness.forecast",
    "harness.sharing",
    "harness.analysis.study",
    "harness.analysis.output",
    "harness.analysis.robustness",
    "harness.analysis.views",
    "harness.analysis.generalisation",
    "harness.analysis.tuning",
    "harness.analysis.figures",
    "harness.analysis.scaling",
    "harness.analysis.combining",
    "harness.analysis.tradeoffs",
    "harness.analysis.forgetting",
    "harness.analysis",
    "harness.analysis.page",
    "harness.cli",
    "harness.cli.commands",
    "harness.gpu_day.on_device",
    "harness.gpu_day",
)
"""From the ground up. A module belongs to the longest name that begins its own."""
LIGHT = (
    "harness.config", "harness.store", "harness.experiments.grids", "harness.experiments.rates", "harness.experiments",
    "harness.cli", "harness.cli.commands",
)  # fmt: skip
"""Rooms that are imported by every command, so they import neither torch nor what imports it."""


def _files() -> dict[str, Path]:
    paths = [path for package in ("harness", "methods", "tasks") for path in (ROOT / package).rglob("*.py")]
    parts = {path: path.relative_to(ROOT).with_suffix("").parts for path in paths if "_assets" not in path.parts}
    return {".".join(part for part in of if part != "__init__"): path for path, of in parts.items()}


FILES = _files()


def floor(module: str) -> str:
    """Return the floor of a module."""
    return max((name for name in FLOORS if f"{module}.".startswith(f"{name}.")), key=len)


@cache
def parsed(text: str) -> ast.Module:
    """Return the tree of a file's text. Six laws look at all files."""
    return ast.parse(text)


def imported(path: Path) -> tuple[tuple[int, str], ...]:
    """Return the line and the module of every import in a file, those that only types need included."""
    return _imports(path.read_text(encoding="utf-8"))


@cache
def _imports(text: str) -> tuple[tuple[int, str], ...]:
    lines: list[tuple[int, str]] = []
    for node in ast.walk(parsed(text)):
        if isinstance(node, ast.Import):
            lines += [(node.lineno, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            inner = (f"{node.module}.{alias.name}" for alias in node.names)
            lines += [(node.lineno, name if name in FILES else node.module) for name in inner]
    return tuple(lines)


def up(path: Path, module: str) -> list[str]:
    """Return the imports of a module that go up to a higher floor."""
    here = FLOORS.index(floor(module))
    ours = [(line, name) for line, name in imported(path) if name.partition(".")[0] in ("harness", "methods", "tasks")]
    return [f"{module}:{line} imports {name}" for line, name in ours if FLOORS.index(floor(name)) > here]


def test_imports_go_down() -> None:
    assert [one for module, path in FILES.items() for one in up(path, module)] == []


def test_an_import_that_goes_up_is_seen(tmp_path: Path) -> None:
    path = tmp_path / "a.py"
    path.write_text("from harness.cli import dispatch\n")
    assert up(path, "harness.store.store")
    path.write_text("from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from harness.cli import dispatch\n")
    assert up(path, "harness.store.store")


def circles(imports: dict[str, set[str]]) -> set[str]:
    """Return the modules that import themselves by way of others. imports: module -> the modules that it imports."""
    left = dict(imports)
    while free := {module for module, names in left.items() if not names & left.keys()}:
        left = {module: names for module, names in left.items() if module not in free}
    used = set(left)
    while used - (needed := {name for module in used for name in left[module] if name in used}):
        used = needed
    return used


def test_no_two_files_import_each_other() -> None:
    ours = {module: {name for _, name in imported(path)} & FILES.keys() - {module} for module, path in FILES.items()}
    assert circles(ours) == set()
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"b", "d"}, "d": set()}) == {"b", "c"}


def test_every_floor_has_modules() -> None:
    assert {floor(module) for module in FILES} == set(FLOORS)


def test_only_one_module_imports_hydra() -> None:
    users = {
        module
        for module, path in FILES.items()
        for _, name in imported(path)
        if name.partition(".")[0] in ("hydra", "omegaconf")
    }
    assert users == {"harness.config.compose"}


@pytest.mark.parametrize("room", LIGHT)
def test_light_rooms_import_no_torch(room: str) -> None:
    modules = sorted(module for module in FILES if floor(module) == room and not module.endswith("__main__"))
    assert modules
    heavy = "{'torch', 'transformers', 'datasets'} & set(sys.modules)"
    script = f"import importlib, sys\nfor name in {modules!r}: importlib.import_module(name)\nprint({heavy} or 'none')"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "none"


def test_a_room_holds_few_files() -> None:
    """Folders of plug-ins, with one file each, may hold as many as there are plug-ins."""
    plugged = {ROOT / "methods", ROOT / "harness" / "cli" / "commands"}
    files = Counter(path.parent for path in FILES.values() if path.stem not in ("__init__", "__main__"))
    assert {str(folder): count for folder, count in files.items() if count > 16 and folder not in plugged} == {}


SHARED_NAMES = {
    "base": "the contract of a kind of plug-in: methods, tasks, objectives",
    "registry": "where the plug-ins of a kind are found by their names",
    "commonsense": "a published suite of tasks, and the suite of the microworld in its shape",
    "instructions": "a published suite of tasks, and the suite of the microworld in its shape",
    "tasks": "the table of an embedded world's tasks",
    "latency": "a probe, and the table of its results",
    "spectrum": "a probe, and the table of its results",
}
"""Names of files that stand in several rooms, with the one thing that each of them means everywhere."""
WORKING_FOR_COMMANDS = {
    "claims": "the claims that the command lists",
    "judge": "the probe that the command measures",
    "pretrain": "the training that the command starts",
    "report": "the exhibits that the command shows",
    "run": "the cell that the command runs",
    "store": "the store that the command works on",
    "sweep": "the sweep that the command starts",
    "table": "the table that the command prints",
}
"""Names of commands that another file has, because it does what the command asks for."""


def _used_again(modules: list[str]) -> set[str]:
    """Return the last parts of the modules' names that occur more than once."""
    names = Counter(name.rpartition(".")[2] for name in modules)
    return {name for name, count in names.items() if count > 1}


def test_a_file_name_has_one_meaning() -> None:
    """Packages are not counted, as their names are those of rooms, nor what a package does when it is run."""
    assert _used_again([name for name, path in FILES.items() if path.stem not in ("__init__", "__main__")]) == {
        *SHARED_NAMES,
        *WORKING_FOR_COMMANDS,
    }
    assert _used_again(["harness.a.delta", "methods.delta", "methods.alpha"]) == {"delta"}


def test_a_command_shares_its_name_with_one_file() -> None:
    homes = {name: {floor(module) for module in FILES if module.endswith(f".{name}")} for name in WORKING_FOR_COMMANDS}
    assert {name: len(rooms) for name, rooms in homes.items()} == dict.fromkeys(WORKING_FOR_COMMANDS, 2)
    assert [name for name, rooms in homes.items() if "harness.cli.commands" not in rooms] == []


def test_every_room_says_what_it_is() -> None:
    rooms = {path.parent for path in FILES.values()}
    texts = {room: ast.get_docstring(ast.parse((room / "__init__.py").read_text())) or "" for room in rooms}
    assert [str(room) for room, text in texts.items() if not text.strip().endswith(".")] == []


def test_the_page_of_a_cell_is_one_page() -> None:
    assert len(FILES["harness.run"].read_text(encoding="utf-8").splitlines()) <= 100


OTHER_MEANINGS = {
    "none": "no value of a field, no name in a list, and a cell on which the delta of a file is scored",
    "parallel": "a field of the recipe",
    "mask": "a field of a cloze's template",
    "peft": "the form of shared files that the PEFT library reads",
    "adapter": "the relation to the base model in the header of a Hub's card",
}
"""Methods' names that are also plain words of the harness, and what they mean there."""
ALLOWED = {
    "harness/cli/dispatch.py": "the examples in the help",
    "harness/cli/pretraining_gate.py": "the command that makes the cells of the embedded backbones' gate",
    "harness/experiments/grids/axis_choices.py": "the field of a task that is named like a method",
    "harness/experiments/grids/blocks.py": "an example in a message",
    "harness/experiments/grids/cell_parents.py": "an example in a message",
    "harness/experiments/grids/parent_order.py": "an example in a message",
}
"""Files that may name methods or tasks in a string, each with the reason."""


def _strings(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Yield line and text of every string that is no docstring."""
    loose = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in loose:
            yield node.lineno, node.value


def named(text: str, methods: frozenset[str], tasks: frozenset[str]) -> set[str]:
    """Return the methods and tasks that a string names: alone, or as a choice such as `method=NAME`."""
    chosen = {name for choices in re.findall(r"method(?:=|: )([\w,]+)", text) for name in choices.split(",")}
    whole = {text} - set(OTHER_MEANINGS)
    return ((whole | chosen) & methods) | (set(re.findall(r"[\w-]+(?:/[\w-]+)+", text)) & tasks)


def _names() -> tuple[frozenset[str], frozenset[str]]:
    folder = ROOT / "conf" / "task"
    tasks = {path.relative_to(folder).with_suffix("").as_posix() for path in folder.rglob("*.yaml")}
    methods = {name.partition(".")[2] for name in FILES if floor(name) == "methods" and name.count(".") == 1}
    return frozenset(methods - {"base", "registry"}), frozenset(tasks)


def test_the_harness_names_no_method_and_no_task() -> None:
    methods, tasks = _names()
    assert len(methods) > 30
    assert len(tasks) > 30
    naming = {}
    for module, path in FILES.items():
        place = path.relative_to(ROOT).as_posix()
        if module.startswith("harness"):
            texts = _strings(parsed(path.read_text(encoding="utf-8")))
            naming[place] = [f"{line}: {text:.60}" for line, text in texts if named(text, methods, tasks)]
    assert {place: lines for place, lines in naming.items() if lines and place not in ALLOWED} == {}
    assert [place for place in ALLOWED if not naming[place]] == []


def test_a_name_in_a_string_is_seen() -> None:
    methods, tasks = frozenset({"lora", "none"}), frozenset({"glue/rte"})
    assert named("lora", methods, tasks) == {"lora"}
    assert named("run method=full,none task=glue/rte", methods, tasks) == {"none", "glue/rte"}
    assert not named("none", methods, tasks)
    assert not named("no lora here", methods, tasks)


EMPTY_NAMES = frozenset({"asked", "found", "held", "kept", "one", "said", "told"})
"""Names of values that say nothing of the value. A field of a dataclass may have one: it is read with its class."""


def _empty_names(tree: ast.AST) -> list[tuple[int, str]]:
    """Return (line, name) of every value, argument or import that has an empty name."""
    fields = {
        item.target for node in ast.walk(tree) if isinstance(node, ast.ClassDef)
        for item in node.body if isinstance(item, ast.AnnAssign)
    }  # fmt: skip
    names: list[tuple[int, str | None]] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store) and node not in fields:
            names.append((node.lineno, node.id))
        elif isinstance(node, ast.arg):
            names.append((node.lineno, node.arg))
        elif isinstance(node, ast.ExceptHandler | ast.MatchAs | ast.MatchStar):
            names.append((node.lineno, node.name))
        elif isinstance(node, ast.alias):
            names.append((node.lineno, node.asname))
    return sorted((line, name) for line, name in names if name in EMPTY_NAMES)


def test_a_name_tells_what_the_value_is() -> None:
    modules = {name: parsed(path.read_text(encoding="utf-8")) for name, path in FILES.items()}
    assert {name: empty for name, tree in modules.items() if (empty := _empty_names(tree))} == {}


def test_an_empty_name_is_seen() -> None:
    source = """
import json as kept
class Merged:
    kept: int
def read(asked, rows):
    for one in rows:
        if (found := one):
            pass
    try:
        return [told for told in rows]
    except ValueError as held:
        raise
"""
    seen = [name for _, name in _empty_names(ast.parse(source))]
    assert seen == ["kept", "asked", "one", "found", "told", "held"]
