"""A cell of which rows and backbone were read before gives the digits and the tensors of one that reads them itself."""

from pathlib import Path
from typing import Any

import pytest

from harness.config.schema import Cell, MethodConfig, ModelConfig, RecipeConfig, Runtime, TaskConfig
from harness.execution import worker
from harness.execution.worker import Pending, Setup
from harness.models import weight_files
from harness.processes import forkserver
from harness.store import identity
from harness.store.store import Store
from methods import registry as methods
from tasks import registry as tasks

RECIPE = RecipeConfig(learning_rate=1e-2, steps=4, evaluate_every=2, batch_size=8)
NOTE = "shared_reading"


def cell(method: str, objective: str = "seq2seq", seed: int = 0) -> Cell:
    family = "llama" if objective == "causal" else "t5"
    model = weight_files.resolve(ModelConfig(name=f"micro-{family}-nano", family=family, objective=objective))
    data = tasks.resolve(TaskConfig("micro/sentiment", train_size=64, validation_size=30, test_size=40))
    return Cell(MethodConfig(method, methods.resolve(method, {})), model, data, objective, RECIPE, seed)


def job(place: Path, cells: list[Cell]) -> list[dict[str, Any]]:
    """Run the cells in one job, and return what each of them leaves."""
    store = Store(place)
    for one in cells:
        store.register(one)
    setup = Setup(Runtime(store=str(place), device="cpu"), forkserver.preload(("llama", "t5")))
    assert worker.job(None, setup, [Pending(identity.key(one), 0) for one in cells]) == ["done"] * len(cells)
    return [left(store, identity.key(one)) for one in cells]


def left(store: Store, key: str) -> dict[str, Any]:
    """Return the bytes of a cell's tensors and predictions, its curve without times, and figures of its record."""
    record = store.read(key) or {}
    folder = store.attempt(key, 1).path
    curve = [{name: value for name, value in row.items() if name != "seconds"} for row in store.curve(key)]
    files = {path.name: path.read_bytes() for path in (*folder.glob("*.safetensors"), *folder.glob("predictions*"))}
    return {
        "files": files,
        "curve": curve,
        **{name: record[name] for name in ("scores", "notes", "live", "task_facts")},
        NOTE: record["time"].get(NOTE),
    }


@pytest.mark.parametrize(
    ("objective", "names"),
    [
        ("seq2seq", ["full", "full", "lora"]),
        pytest.param("causal", ["full", "prompt"], marks=pytest.mark.slow),
        pytest.param("classifier", ["linear_probe", "full"], marks=pytest.mark.slow),
    ],
)
def test_a_cell_whose_rows_and_weights_were_read_before_is_the_same(
    tmp_path: Path, objective: str, names: list[str]
) -> None:
    """The cell before it trained all weights. Prompts leave less room for rows, and a head is drawn by the seed."""
    cells = [cell("full", objective, 7), *(cell(name, objective, seed) for seed, name in enumerate(names))]
    first, *shared = job(tmp_path / "together", cells)
    assert not first.pop(NOTE)
    for number, (one, mine) in enumerate(zip(cells[1:], shared, strict=True)):
        [alone] = job(tmp_path / str(number), [one])
        assert not alone.pop(NOTE)
        assert mine.pop(NOTE)
        assert len(mine["files"]) == 3
        assert mine == alone
