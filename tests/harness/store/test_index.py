"""The index tells what the store tells, whatever happens to either; it is never needed."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.config.schema import Cell
from harness.store import identity, index
from harness.store.store import SCHEMA, Store


@pytest.fixture
def put(store: Store, cell: Callable[..., Cell], monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    monkeypatch.setattr(index, "WORTH", 3)

    def put(seed: int, status: str = "done", wall_s: float = 1.0) -> str:
        one = cell(seed=seed)
        folder, key = store.begin(one), identity.key(one)
        record = {
            "schema": SCHEMA,
            "key": key,
            "attempt": folder.number,
            "status": status,
            "cell": identity.to_json(one),
        }
        store.finish(key, folder, {**record, "time": {"wall_s": wall_s}, "provenance": {}})
        return key

    return put


def _told(store: Store) -> dict[str, Any]:
    """By the index, and the same without it."""
    found = dict(Store(store.path).summaries())
    assert found == {key: store.summary(key) for key in list(store.keys())}
    return found


def test_it_follows_the_store(store: Store, put: Callable[..., str]) -> None:
    keys = [put(seed) for seed in range(5)]
    path = store.path / index.NAME
    assert set(_told(store)) == set(keys)
    assert path.exists()
    before = path.stat().st_ino
    assert _told(store)[keys[0]]["wall_s"] == 1.0
    assert path.stat().st_ino == before
    put(0, wall_s=7.0)
    assert _told(store)[keys[0]]["wall_s"] == 7.0
    failed = put(9, "failed")
    assert _told(store)[failed]["status"] == "failed"
    put(9)
    assert _told(store)[failed]["status"] == "done"
    assert path.stat().st_ino == before, "three changes are read one by one"
    for seed in range(10, 20):
        put(seed)
    assert len(_told(store)) == 16
    assert path.stat().st_ino != before


def test_only_a_large_question_uses_it(store: Store, put: Callable[..., str]) -> None:
    keys = [put(seed) for seed in range(5)]
    assert dict(store.summaries(keys[:2])) == {key: store.summary(key) for key in keys[:2]}
    assert not (store.path / index.NAME).exists()
    assert set(dict(store.summaries(["a" * 64, *keys]))) == {"a" * 64, *keys}


@pytest.mark.parametrize("spoil", ["truncate", "flip", "empty", "folder", "foreign", "lie"])
def test_a_damaged_one_is_no_index(store: Store, put: Callable[..., str], spoil: str) -> None:
    for seed in range(5):
        put(seed)
    expected = _told(store)
    path = store.path / index.NAME
    content = path.read_bytes()
    if spoil == "truncate":
        path.write_bytes(content[:-20])
    elif spoil == "flip":
        path.write_bytes(content.replace(b'"done"', b'"oomx"', 1))
    elif spoil == "empty":
        path.write_bytes(b"")
    elif spoil == "folder":
        path.unlink()
        path.mkdir()
    elif spoil == "foreign":
        path.write_text("[1, 2]")
    else:  # whole, but of other files
        held = json.loads(content.partition(b"\n")[2])
        index._save(path, {key: ("1.1.1", {**summary, "wall_s": 99.0}) for key, (_, summary) in held.items()})
    assert _told(store) == expected
    assert store.quarantined == []


def test_a_copied_store_does_not_trust_it(store: Store, put: Callable[..., str], tmp_path: Path) -> None:
    import shutil

    keys = [put(seed) for seed in range(5)]
    _told(store)
    shutil.copytree(store.path, tmp_path / "copy")
    other = Store(tmp_path / "copy")
    current = other.folder(keys[0]) / "current"
    about = current.stat()
    current.write_text(current.read_text().replace('"wall_s": 1.0', '"wall_s": 2.0'))
    os.utime(current, ns=(about.st_atime_ns, about.st_mtime_ns))
    assert dict(other.summaries())[keys[0]]["wall_s"] == 2.0  # type: ignore[index]


def test_a_read_only_store_gets_none(store: Store, put: Callable[..., str]) -> None:
    for seed in range(5):
        put(seed)
    assert len(dict(Store(store.path, read_only=True).summaries())) == 5
    assert not (store.path / index.NAME).exists()
