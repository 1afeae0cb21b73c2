"""Records of every schema there was are read for ever; one of a newer schema is left alone."""

import gzip
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from harness import assets
from harness.analysis.study import frame
from harness.cli import record_text
from harness.config.schema import Cell
from harness.errors import UsageError
from harness.store import identity
from harness.store import record as schema
from harness.store.archive import Run
from harness.store.store import SCHEMA, Store

GOLDEN = Path(__file__).parent / "golden"


def golden() -> Iterator[Any]:
    for path in sorted(GOLDEN.glob("record-schema-*.json")):
        content = json.loads(path.read_text())
        yield pytest.param(content["record"], content["curve"], id=path.stem)


@pytest.fixture
def put(store: Store) -> Callable[[dict[str, Any]], Path]:
    """A record in its place in the store, as whatever version wrote it."""

    def put(record: dict[str, Any]) -> Path:
        path = store.attempt(record["key"], record["attempt"]).path / "record.json"
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps(record))
        return path

    return put


def test_every_schema_has_a_golden_record() -> None:
    found = {json.loads(path.read_text())["record"]["schema"] for path in GOLDEN.glob("record-schema-*.json")}
    assert found == set(range(1, SCHEMA + 1))
    assert set(schema.STEPS) == set(range(1, SCHEMA))


@pytest.mark.parametrize(("record", "curve"), list(golden()))
def test_golden_records_are_read_and_shown(
    store: Store, put: Callable[..., Path], record: dict[str, Any], curve: list[Any]
) -> None:
    path = put(record)
    before = path.read_bytes()
    found = store.read(record["key"])
    assert found is not None
    assert found["schema"] == SCHEMA
    assert path.read_bytes() == before
    assert store.status(record["key"]) == record["status"]
    assert record["key"] in record_text.text(found, curve)
    scores = frame.scores([Run(found, curve)])
    assert set(scores.checkpoint) == {"best", "last", "peak"}
    assert store.quarantined == store.unreadable == []


def test_an_older_schema_is_lifted_in_memory_only(
    store: Store, put: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    record = next(golden()).values[0]
    path = put(record)
    before = path.read_bytes()
    monkeypatch.setattr(schema, "SCHEMA", 3)
    monkeypatch.setattr(schema, "STEPS", {1: lambda r: {**r, "a": 1}, 2: lambda r: {**r, "b": r["a"] + 1}})
    found = store.read(record["key"])
    assert found is not None
    assert (found["schema"], found["a"], found["b"]) == (3, 1, 2)
    assert path.read_bytes() == before


def test_a_newer_record_is_left_alone_and_the_rest_works(
    store: Store, put: Callable[..., Path], caplog: pytest.LogCaptureFixture
) -> None:
    record = next(golden()).values[0]
    newer = {**record, "key": "b" * 64, "schema": SCHEMA + 1, "cell": "in another form"}
    put(record)
    path = put(newer)
    before = path.read_bytes()
    for _ in range(2):
        assert store.read(newer["key"]) is None
        assert [one["key"] for one in store.records()] == [record["key"]]
    assert path.read_bytes() == before
    assert not (store.path / "quarantine").exists()
    told = [one.getMessage() for one in caplog.records]
    assert len(told) == 1
    assert f"its schema is {SCHEMA + 1}" in told[0]


def test_a_newer_store_is_refused_and_a_broken_marker_is_not(tmp_path: Path, store: Store) -> None:
    marker = store.path / "store.json"
    (store.path / "cells").mkdir(parents=True)
    marker.write_text(json.dumps({"schema": SCHEMA + 1}))
    with pytest.raises(UsageError, match=f"schema is {SCHEMA + 1}"):
        Store(store.path)
    assert json.loads(marker.read_text()) == {"schema": SCHEMA + 1}
    for broken in ('{"schema": "1"}', '{"schema": 1', "", "[]", '{"schema": 0}'):
        marker.write_text(broken)
        assert Store(store.path).quarantined == [marker]
        assert not marker.exists()
    assert len(list((store.path / "quarantine").iterdir())) == 5
    assert list(Store(store.path).records()) == []


REFERENCE = sorted(assets.reference().glob("*/records.jsonl.gz"))


@pytest.mark.parametrize("path", REFERENCE, ids=lambda path: path.parent.name)
def test_no_real_record_is_taken_for_a_broken_one(path: Path) -> None:
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        for line in lines:
            row = json.loads(line)
            record = row["record"]
            assert schema.record(record, record["key"], record["attempt"]) == record
            assert all(map(schema.is_point, row["curve"]))


@pytest.mark.parametrize("method", ["good", "error", "die", "diverge", "memory", "leave"])
def test_what_the_worker_writes_is_a_record(
    store: Store, cell: Callable[..., Cell], setup: Callable[..., Any], method: str
) -> None:
    from harness.execution import worker

    one = cell(method)
    status = worker.attempt(store, one, setup())
    record = store.read(identity.key(one))
    assert record is not None
    assert record["status"] == status
    assert store.quarantined == []
