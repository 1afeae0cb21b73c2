"""Digests of generated tasks that are remembered between commands."""

import json
from pathlib import Path

import pytest

from harness.config import user_cache
from harness.config.schema import TaskConfig
from harness.paths import CACHE
from tasks import registry
from tasks.data import generated_digests

GENERATED = [name for name, row in registry.catalogue().items() if row.generated]


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return where the digests are remembered, in an empty cache."""
    monkeypatch.setenv(CACHE, str(tmp_path))
    return tmp_path / "deltabench" / generated_digests.FILE


def test_some_tasks_are_generated_and_none_of_these_reads_files() -> None:
    rows = {name: registry.catalogue()[name] for name in GENERATED}
    assert rows
    assert not any(row.folder or row.files for row in rows.values())


@pytest.mark.parametrize("name", GENERATED[:3])
def test_a_remembered_digest_is_that_of_the_rows(name: str, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = TaskConfig(name=name, test_size=100)
    made = registry.resolve(config).digest
    assert made in json.loads(cache.read_text(encoding="utf-8")).values()
    with monkeypatch.context() as patch:
        patch.setattr(registry, "_read", lambda config: pytest.fail("the rows were made again"))
        assert registry.resolve(config).digest == made
        with pytest.raises(pytest.fail.Exception, match="made again"):
            registry.resolve(TaskConfig(name=name, test_size=99))
    assert registry.load(registry.resolve(config)).name == name, "the rows have the digest that was remembered"


def test_other_sources_have_other_digests(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = TaskConfig(name=GENERATED[0])
    assert generated_digests.digest(config, lambda: "before") == "before"
    assert generated_digests.digest(config, lambda: "after") == "before"
    monkeypatch.setattr(user_cache, "sources", lambda *packages: "changed")
    assert generated_digests.digest(config, lambda: "after") == "after"


@pytest.mark.parametrize("content", ["", "[1]", "{", '{"a": 1}', '{"a": {"b": "c"}}'])
def test_a_file_that_holds_something_else_is_replaced(content: str, cache: Path) -> None:
    cache.parent.mkdir()
    cache.write_text(content, encoding="utf-8")
    assert generated_digests.digest(TaskConfig(name=GENERATED[0]), lambda: "made") == "made"
    assert "made" in json.loads(cache.read_text(encoding="utf-8")).values()


def test_a_cache_that_cannot_be_written_costs_time_alone(cache: Path) -> None:
    cache.parent.write_text("a file where the folder should be", encoding="utf-8")
    assert generated_digests.digest(TaskConfig(name=GENERATED[0]), lambda: "made") == "made"
    assert generated_digests.digest(TaskConfig(name=GENERATED[0]), lambda: "again") == "again"
