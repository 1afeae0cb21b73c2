"""Facts that are remembered between commands: found again, never wrong, and never in the way."""

import json
from pathlib import Path

import pytest

from harness.config import user_cache
from harness.paths import CACHE


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return where facts are remembered, in an empty cache."""
    monkeypatch.setenv(CACHE, str(tmp_path))
    return tmp_path / "deltabench" / "facts.json"


def test_facts_are_found_again_and_a_full_file_begins_anew(file: Path) -> None:
    assert user_cache.known(file.name) == {}
    for number in range(3):
        user_cache.remember(file.name, {str(number): [number]}, most=3)
    assert user_cache.known(file.name) == {"0": [0], "1": [1], "2": [2]}
    user_cache.remember(file.name, {"3": [3]}, most=3)
    assert user_cache.known(file.name) == {"3": [3]}


@pytest.mark.parametrize("content", ["", "[1]", "{", "\xff", '{"a": NaN}'])
def test_a_file_that_holds_something_else_is_replaced(content: str, file: Path) -> None:
    file.parent.mkdir()
    file.write_text(content, encoding="latin-1")
    assert user_cache.known(file.name) == {}
    user_cache.remember(file.name, {"b": 1}, most=3)
    assert json.loads(file.read_text(encoding="utf-8")) == {"b": 1}


def test_a_cache_that_cannot_be_written_forgets(file: Path) -> None:
    file.parent.write_text("a file where the folder should be", encoding="utf-8")
    user_cache.remember(file.name, {"a": 1}, most=3)
    assert user_cache.known(file.name) == {}


def test_a_name_tells_apart_what_it_depends_on() -> None:
    names = [user_cache.name(*values) for values in ((), (1,), ("1",), (1, 2), ("1, 2",), (1, None))]
    assert len(set(names)) == len(names)
    assert user_cache.sources("tasks") != user_cache.sources("harness")
