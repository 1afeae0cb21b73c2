"""The work of a cell in closed form."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from tokenizers import Tokenizer

from harness.config.schema import Cell
from harness.forecast import cell_work
from harness.forecast.cell_work import LAUNCH, Reading, Size, Work
from harness.models import weight_files
from harness.store import identity
from tasks import registry as tasks


def test_the_operations_of_a_training_and_of_its_evaluations() -> None:
    work = Work("lora", "", "m", "a", "seq2seq", "label", 10, 4, 3, Reading(30.0, 300))
    size = Size(1000.0, 2)
    assert work.train(size) == 10 * (6 * 1000 * 4 * 30 + 2 * LAUNCH)
    assert work.evaluate(size) == 3 * (2 * 1000 * 300 * 30 + 3 * LAUNCH / 2 * 2)  # three forward passes


@pytest.mark.parametrize(("steps", "every", "count"), [(0, 25, 1), (100, 25, 5), (101, 25, 6), (10, 25, 2)])
def test_the_start_and_the_last_step_are_evaluated(
    cell: Callable[..., Cell], steps: int, every: int, count: int
) -> None:
    content = identity.to_json(cell(recipe__steps=steps, recipe__evaluate_every=every))
    assert cell_work.of(content, Reading(1.0, 1)).evaluations == count


@pytest.mark.parametrize("model", ["micro-t5-nano", "micro-llama-nano", "t5-base", "llama-7b"])
def test_a_size_is_that_of_the_configuration(cell: Callable[..., Cell], model: str) -> None:
    """T5-base and LLaMA-7B: 12 + 12 and 32 blocks, of 85M (one stack) and 6.5G parameters."""
    found = cell_work.size(cell(model=model))
    assert found is not None
    expected = {"t5-base": (85e6, 24), "llama-7b": (6.5e9, 32)}.get(model)
    if expected:
        assert found.matrices == pytest.approx(expected[0], rel=0.02)
        assert found.layers == expected[1]


def test_what_a_planned_cell_reads_is_what_a_run_counts(cell: Callable[..., Cell]) -> None:
    one = cell()
    found = cell_work.planned_reading(one)
    splits = tasks.load(one.task).splits
    assert found.rows == len(splits.validation) + sum(map(len, splits.tests.values()))
    assert 15 < found.tokens < 30  # 21 in the records of micro/sentiment
    shots = replace(one, task=replace(one.task, shots=2, digest=""))
    assert cell_work.planned_reading(shots).tokens == pytest.approx(3 * found.tokens, rel=0.2)


def test_a_tokenizer_that_pads_every_text_changes_no_count(
    cell: Callable[..., Cell], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = cell()
    tokenizer = Tokenizer.from_file(str(weight_files.tokenizer_folder(one.model) / "tokenizer.json"))
    found = cell_work.planned_reading(one)
    tokenizer.enable_padding(length=128)
    tokenizer.enable_truncation(4)
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    monkeypatch.setattr(weight_files, "tokenizer_folder", lambda _: tmp_path)
    assert cell_work.planned_reading(one) == found


def test_a_record_states_what_it_read() -> None:
    sets = {"validation": {"n": 5}, "test": {"n": 7}, "train_sample": {"n": 100}}
    record = {"time": {"tokens_per_s": 60.0, "examples_per_s": 3.0}, "scores": {"best": {"sets": sets}}}
    assert cell_work.read(record) == Reading(20.0, 12)
    assert cell_work.read({"time": {}, "scores": None}) == Reading(0.0, 0)
