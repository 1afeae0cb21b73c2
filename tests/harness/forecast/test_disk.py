"""Bytes that a cell keeps are those of similar finished cells."""

from collections.abc import Callable
from typing import Any

from harness.config.schema import Cell
from harness.forecast.disk import Disk
from harness.store import identity
from harness.store.store import Store


def _summary(cell: Cell) -> dict[str, Any]:
    return {"method": cell.method.name, "model": cell.model.name, "task": cell.task.name}


def test_bytes_are_those_of_similar_cells(tmp_path: Any, cell: Callable[..., Cell]) -> None:
    store, lora = Store(tmp_path), cell("lora")
    folder = store.begin(lora)
    (folder.path / "log.txt").write_bytes(b"x" * 10_000)
    disk = Disk(store, [(identity.key(lora), _summary(lora))])
    assert 10_000 < (disk.size(lora) or 0) < 30_000
    assert disk.size(cell("full")) == disk.size(lora)
    assert disk.size(cell("lora", model="micro-t5-micro")) is None
