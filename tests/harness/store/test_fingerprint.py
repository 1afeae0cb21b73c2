"""What makes a record stale: code, not comments; named by file and package."""

import sys
import types
from pathlib import Path

import pytest

from harness.experiments import options
from harness.processes import forkserver
from harness.store import fingerprint, imported_source
from methods import registry as methods
from tasks import registry as tasks

CODE = '''
"""Page."""
def f(x: int) -> int:
    """Doc."""
    return x + 1  # why
'''


def test_comments_and_docstrings_make_nothing_stale() -> None:
    base = fingerprint.tree_digest(CODE)
    for other in (
        CODE.replace("Doc.", "Another."),
        CODE.replace("# why", ""),
        CODE.replace("Page.", "P."),
        CODE + "\n\n",
    ):
        assert fingerprint.tree_digest(other) == base
    for other in (CODE.replace("1", "2"), CODE.replace("x + 1", "1 + x"), CODE + "g = 1\n"):
        assert fingerprint.tree_digest(other) != base


def test_every_method_and_task_has_its_own_file_in_it() -> None:
    objectives = options.names("objective")
    assert objectives
    for name, entry in methods.catalogue().items():
        parts = fingerprint.parts(name, next(iter(tasks.catalogue())), objectives[0])
        assert entry.module in parts
        assert {
            "methods.base",
            "methods.backbone.roles",
            "harness.run",
            "harness.training.fit",
            "torch",
            "transformers",
        } <= set(parts)
        assert f"harness.training.objectives.{objectives[0]}" in parts
    for task in tasks.catalogue():
        parts = fingerprint.parts(next(iter(methods.catalogue())), task, objectives[0])
        assert any(part.startswith("tasks.") and part not in fingerprint.CORE for part in parts), task


def test_every_core_module_exists() -> None:
    assert [module for module in fingerprint.CORE if fingerprint.module_digest(module) is None] == []


def test_no_method_depends_on_another_methods_file() -> None:
    """Editing one method must not make every other stale."""
    task, objective = next(iter(tasks.catalogue())), options.names("objective")[0]
    modules = {entry.module for entry in methods.catalogue().values()}
    shared = [
        set(fingerprint.parts(name, task, objective)) & modules - {entry.module}
        for name, entry in methods.catalogue().items()
    ]
    assert sum(not others for others in shared) >= len(shared) / 2


def test_changes_name_the_part() -> None:
    told = fingerprint.changes({"a": "1", "torch": "2.13", "b": "2"}, {"a": "1", "torch": "2.14", "c": "3", "b": "9"})
    assert told == ["b: changed since", "c: new since", "torch: 2.13 then, 2.14 now"]


def test_minor_versions() -> None:
    assert fingerprint.minor("2.13.0+cpu") == "2.13"
    assert fingerprint.minor(None) == "none"


def test_a_cells_code_is_what_was_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that is edited while the cell runs changes nothing of what the cell does."""
    names = ("lora", next(iter(tasks.catalogue())), options.names("objective")[0])
    now, told = fingerprint.parts(*names), fingerprint.learnt(*names)
    before = b"value = 0.5"
    monkeypatch.setattr(imported_source, "_sources", {"harness.training.fit": before})
    found = fingerprint.imported_parts(told)
    assert {name for name in now if now[name] != found[name]} == {"harness.training.fit"}
    assert found["harness.training.fit"] == fingerprint.tree_digest(before.decode())
    assert fingerprint.joined(found) != fingerprint.fingerprint(*names) == fingerprint.joined(now)
    assert set(imported_source._sources) == {module for module, _ in told.modules}, (
        "what is imported later is kept, too"
    )
    exact = fingerprint.exact(*names)
    monkeypatch.setattr(imported_source, "_sources", {})
    assert fingerprint.exact(*names) != exact, "so a checkpoint of one code is not resumed by another"


def test_a_server_keeps_what_it_has_loaded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = tmp_path / "tasks_of_mine.py"
    path.write_text("a = 1")
    module = types.ModuleType("tasks.mine")
    module.__file__ = str(path)
    monkeypatch.setitem(sys.modules, "tasks.mine", module)
    monkeypatch.setattr(imported_source, "_sources", {})
    imported_source.keep()
    path.write_text("a = 2")
    imported_source.keep()
    assert imported_source.source("tasks.mine", path) == b"a = 1"
    assert "harness.store.fingerprint" in imported_source._sources
    assert "pytest" not in imported_source._sources
    assert forkserver.preload(())[-1] == "harness.processes.preload_last", "after all of ours"
