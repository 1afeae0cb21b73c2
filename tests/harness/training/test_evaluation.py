"""An evaluation gives the answers of the plain way: one row and one option at a time, without padding or a cache."""

import math
from dataclasses import replace
from typing import Any

import pytest
import torch

from harness.config.schema import ModelConfig
from harness.models import backbone, tokenizer
from harness.models.text_tokens import IGNORED
from harness.training.batches import CUT_TOKENS, Encoded
from harness.training.objectives import registry as objectives
from harness.training.objectives.settings import Reading
from harness.training.score import prepare, score
from tasks.base import Task

BF16 = 2.0**-8
"""The relative distance of two neighbouring numbers in bfloat16, in which a sum over other rows may round otherwise."""


def made(objective: str, config: ModelConfig, task: Task, precision: str) -> tuple[Any, Any]:
    maker = objectives.make(objective, task, tokenizer.load(config), Reading(precision=precision))
    return backbone.load(config, maker.head, seed=0).eval(), maker


def check(objective: str, config: ModelConfig, task: Task, precision: str) -> None:
    """Raise AssertionError where batches of 16 rows answer otherwise than batches of one row."""
    model, maker = made(objective, config, task, precision)
    split = prepare(maker, task)["test"]
    alone, together = (score(model, maker, split, task.metric, size) for size in (1, 16))
    assert math.isfinite(alone.loss)
    assert together.loss == pytest.approx(alone.loss, rel=1e-4 if precision == "fp32" else 4 * BF16)
    assert together.answers == alone.answers
    assert together.figures == alone.figures


PRECISIONS = pytest.mark.parametrize("precision", ["fp32", "bf16"])


@PRECISIONS
def test_an_encoder_decoder_answers_as_for_each_row_alone(t5: ModelConfig, any_task: Task, precision: str) -> None:
    check("seq2seq", t5, any_task, precision)


@PRECISIONS
def test_a_decoder_answers_as_for_each_row_alone(decoder: ModelConfig, any_task: Task, precision: str) -> None:
    check("causal", decoder, any_task, precision)


@PRECISIONS
def test_a_cloze_answers_as_for_each_row_alone(encoder: ModelConfig, label_task: Task, precision: str) -> None:
    check("masked", encoder, replace(label_task, label_words=("bad", "good")), precision)


@PRECISIONS
@pytest.mark.parametrize("kind", ["label_task", "choice_task"])
def test_a_head_answers_as_for_each_row_alone(
    kind: str, bert: ModelConfig, precision: str, request: pytest.FixtureRequest
) -> None:
    check("classifier", bert, request.getfixturevalue(kind), precision)


@torch.no_grad()
def test_options_of_unequal_length_score_as_alone(bert: ModelConfig, choice_task: Task) -> None:
    """Options of a row are read in several groups, and an absent one in none."""
    model, maker = made("classifier", bert, choice_task, "fp32")
    batch = maker.encode(choice_task.splits.train[:12]).batch(range(12))
    assert len(list(batch.option_groups())) > 1
    found = maker._scores_by_length(model, batch)
    for row, options in zip(found, batch.options, strict=True):
        for value, option in zip(row, options, strict=True):
            ids = option[option != IGNORED][None]
            wanted = float(model(input_ids=ids).logits[0, 0]) if ids.numel() else -torch.inf
            assert float(value) == pytest.approx(wanted, rel=1e-4, abs=1e-6)


def test_rows_of_one_length_stay_together_and_a_long_one_does_not_lengthen_them() -> None:
    width = 2 * CUT_TOKENS // 64
    lengths = [3] * 70 + [width]
    encoded = Encoded.of([[5] * length for length in lengths], 0, 0)
    groups = list(encoded.by_length(71 * width))
    assert groups == [list(range(70)), [70]]
    assert list(Encoded.of([[5] * 3] * 70, 0, 0).by_length(64 * 3)) == [list(range(64)), list(range(64, 70))]
    assert sorted(row for group in encoded.by_length(8 * width) for row in group) == list(range(71))
