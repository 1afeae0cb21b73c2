"""Scores by likelihood are those of one forward pass per option; padding and batching change nothing."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch.nn import functional as F
from transformers import BertForMultipleChoice

from harness.config.schema import MethodConfig, ModelConfig
from harness.errors import NotApplicable, UsageError
from harness.models import backbone, tokenizer
from harness.models.head import Head
from harness.models.text_tokens import IGNORED, Text
from harness.training.batches import Batch
from harness.training.objectives import registry as objectives
from harness.training.objectives import seq2seq
from harness.training.objectives.settings import Reading
from harness.training.score import prepare, score
from methods import registry as methods
from tasks.base import Example, Splits, Task
from tests.turns import pairs

LM = Head("seq2seq_lm")


def total_log_likelihood(model: torch.nn.Module, words: Text, question: str, answer: str) -> float:
    """transformers' own loss for one row and one answer, as a sum over tokens."""
    inputs = torch.tensor(words.inputs([question], 64)[0])
    labels = torch.tensor(words.targets([answer], 64))
    return -float(model(input_ids=inputs, labels=labels).loss) * labels.shape[1]


@pytest.mark.parametrize(("method", "kind"), pairs(sorted(methods.catalogue()), ["label_task", "choice_task"]))
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


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("kind", ["label_task", "choice_task"])
@torch.no_grad()
def test_options_side_by_side_score_as_options_in_rows_of_their_own(
    kind: str, precision: str, attention: str, t5: ModelConfig, t5_text: Text,
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    task: Task = request.getfixturevalue(kind)
    model = backbone.load(replace(t5, attention=attention), LM, seed=0).eval()
    objective = objectives.make("seq2seq", task, t5_text, Reading(precision=precision))
    batch = objective.encode(task.splits.train[:12]).batch(range(12))
    read: list[torch.Size] = []
    model.decoder.register_forward_pre_hook(
        lambda _, args, kwargs: read.append(kwargs["input_ids"].shape), with_kwargs=True
    )
    together = objective.option_scores(model, batch)  # type: ignore[attr-defined]
    assert [shape[0] for shape in read] == [12]
    monkeypatch.setattr(seq2seq, "SIDE", 0)
    apart = objective.option_scores(model, batch)  # type: ignore[attr-defined]
    assert sum(shape[0] for shape in read[1:]) > 12
    error = 1e-5 if precision == "fp32" else 2.0**-6
    torch.testing.assert_close(together.sums, apart.sums, rtol=error, atol=error)
    torch.testing.assert_close(together.ends, apart.ends, rtol=error, atol=error, equal_nan=True)


def test_options_of_unequal_length_stand_side_by_side_without_gaps() -> None:
    gap = IGNORED
    options = torch.tensor([[[5, 6, 1], [7, 1, gap]], [[8, 1, gap], [gap, gap, gap]]])
    batch = Batch(torch.ones(2, 1), torch.ones(2, 1), options=options)
    places = batch.side_by_side()
    assert places.tolist()[0] == [0, 1, 2, 3, 4]
    assert options.flatten(1).gather(1, places).tolist() == [[5, 6, 1, 7, 1], [8, 1, gap, gap, gap]]


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


def numbers(any_task: Task) -> Task:
    """The same rows with a score each, the halves of 0 to 2."""

    def scored(rows: tuple[Example, ...]) -> tuple[Example, ...]:
        return tuple(replace(row, label=i % 5 / 2, target=f"{i % 5 / 2}") for i, row in enumerate(rows))

    splits = Splits(scored(any_task.splits.train), scored(any_task.splits.validation), {"test": ()})
    return replace(any_task, answer="text", metric="pearson", label_words=(), splits=splits)


@torch.no_grad()
def test_a_number_is_transformers_own_regression(bert: ModelConfig, label_task: Task) -> None:
    objective = objectives.make("classifier", numbers(label_task), tokenizer.load(bert))
    model = backbone.load(bert, objective.head, seed=0)
    rows = objective.task.splits.train[:7]
    batch = objective.encode(rows).batch(range(7))
    theirs = model(input_ids=batch.inputs, attention_mask=batch.mask, labels=batch.labels)
    assert model.config.num_labels == 1
    torch.testing.assert_close(objective.loss(model, batch), theirs.loss)
    predicted = objective.predict(model, batch)
    assert predicted.answers == theirs.logits[:, 0].tolist()
    assert predicted.loss == pytest.approx(7 * float(theirs.loss))
    assert [objective.target(row) for row in rows] == [0.0, 0.5, 1.0, 1.5, 2.0, 0.0, 0.5]
    assert objective.target(replace(rows[0], label=None, target="2.6")) == 2.6
    with pytest.raises(UsageError, match=r"row 0: its target 'w9' is no number, and the metric pearson is of numbers"):
        objective.target(replace(rows[0], label=None, target="w9"))


@torch.no_grad()
def test_options_are_compared_as_by_transformers_multiple_choice(bert: ModelConfig, choice_task: Task) -> None:
    """A head with one output has the tensors of BertForMultipleChoice, and every option is read once."""
    objective = objectives.make("classifier", choice_task, tokenizer.load(bert))
    model = backbone.load(bert, objective.head, seed=0)
    theirs = BertForMultipleChoice(model.config).eval()
    theirs.load_state_dict(model.state_dict())
    for places in ([0, 2, 4], [1, 3, 5], [0, 1, 2, 3]):  # two options, three, and both
        rows = [choice_task.splits.train[place] for place in places]
        batch = objective.encode(rows).batch(range(len(rows)))
        options = batch.options
        assert options is not None
        mask = options != IGNORED
        if len({len(row.choices) for row in rows}) == 1:
            output = theirs(input_ids=options.masked_fill(~mask, 0), attention_mask=mask.long(), labels=batch.labels)
            torch.testing.assert_close(objective.loss(model, batch), output.loss)
            assert objective.predict(model, batch).answers == output.logits.argmax(1).tolist()
        each = [
            [theirs(input_ids=ids[None, None], attention_mask=torch.ones_like(ids)[None, None]).logits.item()
             for option in row.choices
             for ids in [torch.tensor(objective.text.inputs([f"{choice_task.text(row)} {option}"], 99)[0][0])]]
            for row in rows
        ]  # fmt: skip
        losses = [
            F.cross_entropy(torch.tensor([own]), torch.tensor([row.label])) for own, row in zip(each, rows, strict=True)
        ]
        torch.testing.assert_close(objective.loss(model, batch), torch.stack(losses).mean())


@pytest.mark.parametrize("kind", ["choice", "number"])
def test_a_head_learns_options_and_numbers(kind: str, bert: ModelConfig, choice_task: Task) -> None:
    """The gradient is finite where rows have unlike numbers of options, and the loss falls."""
    made = choice_task if kind == "choice" else numbers(choice_task)
    objective = objectives.make("classifier", made, tokenizer.load(bert))
    model = backbone.load(bert, objective.head, seed=0).requires_grad_(True)
    batch = objective.encode(made.splits.train[:8]).batch(range(8))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    losses = []
    for _ in range(30):
        loss = objective.loss(model, batch)
        losses.append(float(loss.detach()))
        loss.backward()
        assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)
        optimizer.step()
        optimizer.zero_grad()
    assert losses[-1] < 0.5 * losses[0]


def test_of_a_long_text_with_options_the_options_stay(bert: ModelConfig, choice_task: Task) -> None:
    task = replace(choice_task, max_input_tokens=6)
    encoded = objectives.make("classifier", task, tokenizer.load(bert)).encode(task.splits.train)
    assert encoded.notes["truncated_options"] > 0
    assert encoded.truncated == 0
    assert "alike_choices" not in encoded.notes


def test_an_objective_refuses_what_it_cannot_answer(t5_text: Text, choice_task: Task) -> None:
    with pytest.raises(NotApplicable, match=r"classifier cannot give the answers of a 'text' task.*seq2seq"):
        objectives.make("classifier", replace(choice_task, answer="text"), t5_text)
    with pytest.raises(NotApplicable, match=r"masked cannot give the answers of a 'number' task; .*classifier"):
        objectives.make("masked", numbers(choice_task), t5_text)
    with pytest.raises(UsageError, match=r"no objective 'seq2sec'.*seq2seq"):
        objectives.check("seq2sec", "label")


def test_every_objective_file_says_what_it_answers() -> None:
    files = {path.stem for path in Path(str(objectives.__file__)).parent.glob("*.py")}
    assert files - {"__init__", "base", "registry", "settings"} == set(objectives.ANSWERS)


@pytest.mark.parametrize("name", sorted(objectives.ANSWERS))
def test_which_objectives_put_a_head_on_the_backbone_is_known_without_torch(name: str) -> None:
    assert objectives.has_head(name) == (objectives.head(name, 2).kind == "sequence_classification")


def test_an_encoder_cannot_serve_as_encoder_decoder(bert: ModelConfig, label_task: Task) -> None:
    with pytest.raises(UsageError, match="needs an encoder-decoder"):
        objectives.make("seq2seq", label_task, tokenizer.load(bert))
    with pytest.raises(NotApplicable, match=r"tiny-bert \(bert\) cannot serve as seq2seq lm"):
        backbone.build(bert, LM)


@torch.no_grad()
def test_the_end_tokens_part_of_an_option_is_known(t5: ModelConfig, t5_text: Text, choice_task: Task) -> None:
    """An option that was cut has no end token."""
    model = backbone.load(t5, LM, seed=0)
    objective = objectives.make("seq2seq", replace(choice_task, max_target_tokens=3), t5_text)
    rows = choice_task.splits.train[:4]
    found = objective.option_scores(model, objective.encode(rows).batch(range(4)))  # type: ignore[attr-defined]
    for place, row in enumerate(rows):
        for column, option in enumerate(row.choices):
            whole = (
                total_log_likelihood(model, t5_text, choice_task.text(row), option)
                if option != "not very good"
                else None
            )
            if whole is None:
                assert torch.isnan(found.ends[place, column])
                continue
            ids, labels = (
                torch.tensor(one)
                for one in (t5_text.inputs([choice_task.text(row)], 64)[0], t5_text.targets([option], 64))
            )
            last = model(input_ids=ids, labels=labels).logits[0, -1].log_softmax(dim=0)[labels[0, -1]]
            torch.testing.assert_close(found.ends[place, column], last)
            assert float(found.sums[place, column]) == pytest.approx(whole, rel=1e-4)
