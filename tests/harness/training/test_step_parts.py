"""A batch in parts, over processes or in turns, trains as it does in one piece; what is computed again is the same."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness.config.schema import Cell, MethodConfig, ModelConfig, RecipeConfig, Runtime, TaskConfig
from harness.errors import UsageError
from harness.experiments.grids import grid
from harness.models import weight_files
from harness.run import run
from harness.store import identity
from harness.store.attempt_folder import AttemptFolder
from methods import registry as methods
from tasks import registry as tasks

ROOT = Path(__file__).parents[3]
RECIPE = RecipeConfig(learning_rate=3e-3, steps=4, evaluate_every=2, batch_size=7, dropout=0.0, weight_decay=0.1)


def cell(method: str = "lora", **recipe: Any) -> Cell:
    model = weight_files.resolve(ModelConfig(name="micro-t5-nano", family="t5"))
    data = tasks.resolve(TaskConfig("micro/sentiment", train_size=48, validation_size=24, test_size=24))
    fields = methods.resolve(method, {})
    return Cell(MethodConfig(method, fields), model, data, "seq2seq", replace(RECIPE, **recipe), 0)


@pytest.fixture
def go(tmp_path: Path) -> Callable[[Cell], tuple[Any, Any]]:
    """The scores and the curve, without what time it took."""

    def do(what: Cell) -> tuple[Any, Any]:
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        folder.mkdir()
        record = run(what, Runtime(device="cpu", keep="none"), AttemptFolder(folder))
        return record["scores"], told(folder)

    return do


def told(folder: Path) -> list[list[float]]:
    rows = [json.loads(line) for line in (folder / "curve.jsonl").read_text().splitlines()]
    return [[row["train_loss"] or 0.0, row["validation_loss"], *row["scores"].values()] for row in rows]


@pytest.mark.parametrize("parts", [3, 16])
def test_in_turns_it_is_the_same_step(go: Callable[[Cell], tuple[Any, Any]], parts: int) -> None:
    """16: more parts than rows."""
    (_, whole), (_, cut) = go(cell()), go(cell(accumulate=parts))
    assert whole[0] == cut[0]
    assert whole[-1] != pytest.approx(whole[0])
    for one, other in zip(whole, cut, strict=True):
        assert other == pytest.approx(one, rel=1e-4)


@pytest.mark.parametrize("method", ["lora", "full"])
def test_what_is_computed_again_is_the_same(go: Callable[[Cell], tuple[Any, Any]], method: str) -> None:
    (scores, whole), (scores_again, again) = go(cell(method)), go(cell(method, gradient_checkpointing=True))
    assert scores == scores_again
    for one, other in zip(whole, again, strict=True):
        assert other == pytest.approx(one, rel=1e-5), "gradients that meet are added in another order"


def test_they_are_part_of_what_a_cell_is_and_nothing_at_their_default() -> None:
    plain = identity.key(cell())
    assert plain == identity.key(cell(accumulate=1, gradient_checkpointing=False, parallel="none"))
    others = [cell(accumulate=2), cell(gradient_checkpointing=True), cell(parallel="ddp"), cell(parallel="fsdp")]
    assert len({plain, *map(identity.key, others)}) == 5


def test_what_cannot_be_cut_is_refused_at_the_door() -> None:
    block = {"method": "full", "model": "micro-t5-nano", "task": "micro/sentiment", "recipe.optimizer": "lomo"}
    for field, value in (("recipe.accumulate", 2), ("recipe.parallel", "ddp")):
        with pytest.raises(UsageError, match="cannot be cut"):
            grid.expand([{**block, field: value}])


SCRIPT = """
import json, sys
from pathlib import Path
from dataclasses import replace
from tests.harness.training.test_step_parts import cell, told
from harness.store.attempt_folder import AttemptFolder
from harness.config.schema import Runtime
from harness.run import run
for number, (method, parallel, accumulate, processes) in enumerate(json.loads(sys.argv[2])):
    folder = Path(sys.argv[1]) / str(number)
    folder.mkdir()
    runtime = Runtime(device="cpu", processes=processes)
    record = run(cell(method, parallel=parallel, accumulate=accumulate), runtime, AttemptFolder(folder))
    files = sorted(path.name for path in folder.iterdir())
    print("told", json.dumps([record["scores"], told(folder), record["parameters"], record["notes"], files]))
"""


def _script(folder: Path, runs: list[tuple[str, str, int, int]]) -> list[Any]:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(folder), json.dumps(runs)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return [json.loads(line.removeprefix("told ")) for line in done.stdout.splitlines() if line.startswith("told ")]


@pytest.mark.slow
@pytest.mark.parametrize("method", ["lora", "full"])
def test_two_processes_train_as_one(method: str, tmp_path: Path) -> None:
    alone, *others = _script(
        tmp_path, [(method, "none", 1, 1), (method, "ddp", 1, 2), (method, "fsdp", 1, 2), (method, "fsdp", 2, 2)]
    )
    for other in others:
        assert other[3]["processes"] == 2
        assert other[2] == alone[2]
        assert other[4] == alone[4]
        for one, two in zip(alone[1], other[1], strict=True):
            assert two == pytest.approx(one, rel=2e-4)
        for checkpoint in ("best", "last"):
            assert other[0][checkpoint]["sets"] == alone[0][checkpoint]["sets"]
