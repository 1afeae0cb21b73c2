"""Bytes that a cell keeps are those of similar finished cells."""

from collections.abc import Callable
from typing import Any

from harness.config.schema import Cell
from harness.forecast import dry_run
from harness.forecast.disk import Disk
from harness.store import identity
from harness.store.store import SCHEMA, Store


def _summary(cell: Cell) -> dict[str, Any]:
    return {"method": cell.method.name, "model": cell.model.name, "task": cell.task.name}


def test_bytes_are_those_of_similar_cells(tmp_path: Any, cell: Callable[..., Cell]) -> None:
    store, lora = Store(tmp_path), cell("lora")
    folder = store.begin(lora)
    (folder.path / "log.txt").write_bytes(b"x" * 10_000)
    disk = Disk(store, [(identity.key(lora), _summary(lora))])
    weights, rest = disk.size(lora) or (0, 0)
    assert weights == 0
    assert 10_000 < rest < 30_000
    assert disk.size(cell("lora", task="micro/qa")) == (0, rest)
    assert (
        disk.size(cell("full")) == disk.size(cell("lora", method__rank=5)) == (None, rest)
    )  # they train other numbers
    assert disk.size(cell("lora", model="micro-t5-micro")) is None


def test_weights_count_once_and_are_known_where_none_were_kept(tmp_path: Any, cell: Callable[..., Cell]) -> None:
    store, kept, bare = Store(tmp_path), cell("lora"), cell("full")
    folder = store.begin(kept)
    (folder.path / "delta-best.safetensors").write_bytes(b"w" * 50_000)
    folder.link("delta-last.safetensors", "delta-best.safetensors")
    record = {"schema": SCHEMA, "status": "done", "attempt": 1, "parameters": {"delta": 1000, "head": 24}}
    store.begin(bare)
    store.finish(
        identity.key(bare),
        store.attempt(identity.key(bare), 1),
        {**record, "key": identity.key(bare), "cell": identity.to_json(bare), "provenance": {"fingerprint": "f"}},
    )
    disk = Disk(store, [(identity.key(one), _summary(one)) for one in (kept, bare)])
    assert (disk.size(kept) or (0, 0))[0] == 50_000
    assert (disk.size(bare) or (0, 0))[0] == 4 * 1024 * 2
    assert dry_run._kept([(2_000_000, 5), (1_000_000, 5)], keeps=True) == (
        " (3.0 MB of it weights; keep=none leaves them out)"
    )
    assert dry_run._kept([(2_000_000, 5)], keeps=False) == " (keep=delta adds 2.0 MB of weights)"
    assert dry_run._kept([(2_000_000, 5), None], keeps=True) == ""
    assert dry_run._kept([(None, 5)], keeps=True) == ""
    assert [dry_run._together((None, 5), keeps) for keeps in (True, False)] == [None, 5]
    assert [dry_run._together((2, 5), keeps) for keeps in (True, False)] == [7, 5]
