"""Scores by likelihood are those of one forward pass per option; padding and batching change nothing."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from harness.config.schema import MethodConfig, ModelConfig
from harness.errors import NotApplicable, UsageError
from harness.models import backbone, tokenizer
from harness.models.head import Head
from harness.models.tokenizer import Text
from harness.training.objectives import registry as objectives
from harness.training.score import prepare, score
from methods import registry as methods
from tasks.base import Task

LM = Head("seq2seq_lm")


def total_log_likelihood(model: torch.nn.Module, words: Text, question: str, answer: str) -> float:
    """transformers' own loss for one row and one answer, as a sum over tokens."""
    inputs = torch.tensor(words.inputs([question], 64)[0])
    labels = torch.tensor(words.targets([answer], 64))
    return -float(model(input_ids=inputs, labels=labels).loss) * labels.shape[1]


@pytest.mark.parametrize("method", sorted(methods.catalogue()))
@pytest.mark.parametrize("kind", ["label_task", "choice_task"])
@torch.no_grad()
def test_likelihoods_equal_one_pass_per_option(
    kind: str, method: str, t5: ModelConfig, t5_text: Text, request: pytest.FixtureRequest
) -> None:
    task: Task = request.getfixturevalue(kind)
    model = backbone.load(t5, LM, seed=0)
    try:
        methods.make(MethodConfig(method, {})).attach(model)
    except UsageError as reason:
        pytest.skip(str(reason))
    objective = objectives.make("seq2seq", task, t5_text)
    rows = task.splits.train[:9]
    scores = objective.likelihoods(model, objective.encode(rows).batch(range(9)))  # type: ignore[attr-defined]
    for row, found in zip(rows, scores, strict=True):
        options = task.options(row)
        wanted = [total_log_likelihood(model, t5_text, task.text(row), option) for option in options]
        torch.testing.assert_close(found[: len(options)], torch.tensor(wanted), rtol=1e-4, atol=1e-4)
        assert torch.isneginf(found[len(options) :]).all()


def test_the_loss_is_transformers_own(t5: ModelConfig, t5_text: Text, any_task: Task) -> None:
    model = backbone.load(t5, LM, seed=0)
    objective = objectives.make("seq2seq", any_task, t5_text)
    batch = objective.encode(any_task.splits.train[:7]).batch(range(7))
    theirs = model(input_ids=batch.inputs, attention_mask=batch.mask, labels=batch.targets).loss
    torch.testing.assert_close(objective.loss(model, batch), theirs)


def test_scores_do_not_depend_on_the_evaluation_batch(t5: ModelConfig, t5_text: Text, any_task: Task) -> None:
    model = backbone.load(t5, LM, seed=0)
    objective = objectives.make("seq2seq", any_task, t5_text)
    split = prepare(objective, any_task)["test"]
    one, many = (score(model, objective, split, any_task.metric, size) for size in (1, 16))
    assert one.answers == many.answers
    assert one.figures == many.figures
    assert one.loss == pytest.approx(many.loss, rel=1e-4)


def test_evaluation_loss_is_the_training_loss(t5: ModelConfig, t5_text: Text, any_task: Task) -> None:
    model = backbone.load(t5, LM, seed=0)
    objective = objectives.make("seq2seq", any_task, t5_text)
    split = prepare(objective, any_task)["validation"]
    whole = float(objective.loss(model, split.encoded.batch(range(len(split.examples)))))
    assert score(model, objective, split, any_task.metric, 8).loss == pytest.approx(whole, rel=1e-4)


@torch.no_grad()
def test_generation_stops_at_the_end_token_and_decodes_words(t5: ModelConfig, t5_text: Text, any_task: Task) -> None:
    task = replace(any_task, answer="text", label_words=("bad", "good"))
    model = backbone.load(t5, LM, seed=0)
    objective = objectives.make("seq2seq", task, t5_text)
    answers = objective.predict(model, objective.encode(task.splits.train[:5]).batch(range(5))).answers
    assert len(answers) == 5
    assert all(isinstance(answer, str) and "<" not in answer for answer in answers)
    assert all(len(answer.split()) <= task.max_target_tokens for answer in answers)


@torch.no_grad()
def test_the_classifier_is_cross_entropy_over_labels(bert: ModelConfig, label_task: Task) -> None:
    objective = objectives.make("classifier", label_task, tokenizer.load(bert))
    model = backbone.load(bert, objective.head, seed=0)
    batch = objective.encode(label_task.splits.train[:6]).batch(range(6))
    logits = model(input_ids=batch.inputs, attention_mask=batch.mask).logits
    assert logits.shape == (6, 2)
    torch.testing.assert_close(objective.loss(model, batch), F.cross_entropy(logits, batch.need_labels()))
    assert objective.predict(model, batch).answers == logits.argmax(1).tolist()


def test_rows_longer_than_the_limit_are_cut_and_counted(t5_text: Text, label_task: Task) -> None:
    task = replace(label_task, max_input_tokens=5)
    encoded = objectives.make("seq2seq", task, t5_text).encode(task.splits.train)
    assert encoded.inputs.shape[1] == 5
    lengths = [len(task.text(row).split()) + 1 for row in task.splits.train]
    assert encoded.truncated == sum(length > 5 for length in lengths) > 0


def test_rows_longer_than_the_models_positions_are_cut_and_counted(bert: ModelConfig, label_task: Task) -> None:
    words = tokenizer.load(bert, added=35)
    encoded = objectives.make("classifier", label_task, words).encode(label_task.splits.train)
    assert encoded.inputs.shape[1] == words.room == 5
    assert encoded.truncated > 0


def test_an_objective_refuses_what_it_cannot_answer(t5_text: Text, choice_task: Task) -> None:
    with pytest.raises(NotApplicable, match=r"classifier cannot give the answers of a 'choice' task.*seq2seq"):
        objectives.make("classifier", choice_task, t5_text)
    with pytest.raises(UsageError, match=r"no objective 'seq2sec'.*seq2seq"):
        objectives.check("seq2sec", "label")


def test_every_objective_file_says_what_it_answers() -> None:
    files = {path.stem for path in Path(str(objectives.__file__)).parent.glob("*.py")}
    assert files - {"__init__", "base", "registry"} == set(objectives.ANSWERS)


def test_an_encoder_cannot_serve_as_encoder_decoder(bert: ModelConfig, label_task: Task) -> None:
    with pytest.raises(UsageError, match="needs an encoder-decoder"):
        objectives.make("seq2seq", label_task, tokenizer.load(bert))
    with pytest.raises(NotApplicable, match=r"tiny-bert \(bert\) cannot serve as seq2seq lm"):
        backbone.build(bert, LM)
