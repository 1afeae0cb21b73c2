"""The label words' logits at the mask are those of the whole model, for every method and in any batch."""

from dataclasses import replace

import pytest
import torch
from torch.nn import functional as F

from harness.config.schema import MethodConfig, ModelConfig, TaskConfig
from harness.errors import NotApplicable, UsageError
from harness.execution import preflight
from harness.models import backbone, tokenizer
from harness.models.head import Head
from harness.models.text_tokens import Text
from harness.training.objectives import registry as objectives
from methods import registry as methods
from tasks.base import Task
from tests import turns

LM = Head("masked_lm")


@pytest.fixture
def cloze_task(label_task: Task) -> Task:
    return replace(label_task, cloze="{text} w1 {mask} w2", cloze_words=("bad", "good"))


@pytest.mark.parametrize("method", turns.every_second(sorted(methods.catalogue())))
@torch.no_grad()
def test_logits_are_the_whole_models_at_the_mask(method: str, encoder: ModelConfig, cloze_task: Task) -> None:
    model, words = backbone.load(encoder, LM, seed=0), tokenizer.load(encoder)
    try:
        methods.make(MethodConfig(method, {})).attach(model)
    except UsageError as reason:
        pytest.skip(str(reason))
    objective = objectives.make("masked", cloze_task, words)
    rows = cloze_task.splits.train[:8]
    found = objective.logits(model, objective.encode(rows).batch(range(8)))  # type: ignore[attr-defined]
    assert found.shape == (8, 2)
    for row, ours in zip(rows, found, strict=True):
        ids = [3, *words.encode(f"{row.fields['text']} w1"), 38, *words.encode("w2"), 1]
        whole = model(input_ids=torch.tensor([ids])).logits[0, ids.index(38)]
        torch.testing.assert_close(ours, whole[[4, 6]], rtol=1e-3, atol=1e-4)


def test_the_loss_is_cross_entropy_over_label_words(encoder: ModelConfig, cloze_task: Task) -> None:
    model = backbone.load(encoder, LM, seed=0)
    objective = objectives.make("masked", cloze_task, tokenizer.load(encoder))
    batch = objective.encode(cloze_task.splits.train[:6]).batch(range(6))
    logits = objective.logits(model, batch)  # type: ignore[attr-defined]
    torch.testing.assert_close(objective.loss(model, batch), F.cross_entropy(logits, batch.need_labels()))
    predicted = objective.predict(model, batch)
    assert predicted.answers == logits.argmax(1).tolist()
    assert predicted.loss / predicted.items == pytest.approx(float(objective.loss(model, batch)), rel=1e-5)


def test_without_a_cloze_the_mask_ends_the_text(encoder: ModelConfig, cloze_task: Task) -> None:
    task = replace(cloze_task, cloze="")
    encoded = objectives.make("masked", task, tokenizer.load(encoder)).encode(task.splits.train)
    for row, length in zip(encoded.inputs.tolist(), encoded.lengths.tolist(), strict=True):
        assert row[length - 2 : length] == [38, 1]


def test_a_long_text_loses_what_is_far_from_the_mask(encoder: ModelConfig, cloze_task: Task) -> None:
    task = replace(cloze_task, max_input_tokens=7)
    encoded = objectives.make("masked", task, tokenizer.load(encoder)).encode(task.splits.train)
    assert encoded.inputs.shape[1] == 7
    assert encoded.truncated == sum(len(row.fields["text"].split()) + 5 > 7 for row in task.splits.train) > 0
    for row, length in zip(encoded.inputs.tolist(), encoded.lengths.tolist(), strict=True):
        assert (row[0], row[length - 1], row[:length].count(38)) == (3, 1, 1)
        assert row[row.index(38) - 1] == 9, "w1 stands before the mask"


def test_the_longest_text_of_roberta_leaves_its_padding_positions(encoder: ModelConfig, cloze_task: Task) -> None:
    words = tokenizer.load(encoder)
    assert words.room == (40 if encoder.family == "bert" else 39)
    task = replace(cloze_task, cloze="{text} " + "w3 " * 60 + "{mask}")
    objective = objectives.make("masked", task, words)
    batch = objective.encode(task.splits.train[:3]).batch(range(3))
    assert batch.inputs.shape[1] == words.room
    assert torch.isfinite(objective.loss(backbone.load(encoder, LM, seed=0), batch))


@pytest.mark.parametrize("words", [("bad", "very good"), ("bad", "excellent")])
def test_a_label_word_that_is_not_one_token_is_named(
    words: tuple[str, str], encoder: ModelConfig, cloze_task: Task
) -> None:
    with pytest.raises(NotApplicable, match=f"{words[1]!r} of task toy-label is not one"):
        objectives.make("masked", replace(cloze_task, cloze_words=words), tokenizer.load(encoder))


def test_preflight_looks_for_label_words(encoder: ModelConfig) -> None:
    task = TaskConfig("micro/sentiment")
    [_, said] = preflight.preflight([(encoder, "masked", task)])
    assert "label words of one token each" in str(said)


def test_other_backbones_and_answers_are_refused(
    t5: ModelConfig, t5_text: Text, bert: ModelConfig, cloze_task: Task, choice_task: Task
) -> None:
    with pytest.raises(UsageError, match="needs a masked encoder"):
        objectives.make("masked", cloze_task, tokenizer.load(bert))
    with pytest.raises(NotApplicable, match="masked cannot give the answers of a 'choice' task"):
        objectives.make("masked", choice_task, t5_text)
    with pytest.raises(NotApplicable, match=r"\(t5\) cannot serve as masked lm"):
        backbone.build(t5, LM)
