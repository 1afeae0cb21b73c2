"""The source of a module is that from which it was imported, and its digest is of its code alone."""

import sys
import types
from pathlib import Path

import pytest

from harness.processes import forkserver
from harness.store import imported_source

CODE = '''
"""Page."""
def f(x: int) -> int:
    """Doc."""
    return x + 1  # why
'''


def test_comments_and_docstrings_make_nothing_stale() -> None:
    base = imported_source.tree_digest(CODE)
    for other in (
        CODE.replace("Doc.", "Another."),
        CODE.replace("# why", ""),
        CODE.replace("Page.", "P."),
        CODE + "\n\n",
    ):
        assert imported_source.tree_digest(other) == base
    for other in (CODE.replace("1", "2"), CODE.replace("x + 1", "1 + x"), CODE + "g = 1\n"):
        assert imported_source.tree_digest(other) != base


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
