"""A decoder's likelihoods, losses and answers are those of one unpadded, uncached pass per row."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import Gemma2Config

from harness.config.schema import MethodConfig, ModelConfig
from harness.errors import NotApplicable, UsageError
from harness.models import backbone, tokenizer
from harness.models.head import Head
from harness.models.text_tokens import Text
from harness.prompt_width import prompt_of
from harness.training import decoding
from harness.training.batches import Encoded
from harness.training.objectives import registry as objectives
from harness.training.objectives.registry import Reading
from harness.training.score import prepare, score
from methods import registry as methods
from tasks.base import Task
from tests import turns

LM = Head("causal_lm")


def attached(decoder: ModelConfig, method: str) -> torch.nn.Module:
    model = backbone.load(decoder, LM, seed=0)
    try:
        methods.make(MethodConfig(method, {})).attach(model)
    except UsageError as reason:
        pytest.skip(str(reason))
    return model.eval()


def naive(model: torch.nn.Module, prompt: list[int], answer: list[int]) -> torch.Tensor:
    """[U] log-likelihoods of an answer's tokens, by one pass over one row."""
    with prompt_of(len(prompt)):
        logits = model(input_ids=torch.tensor([prompt + answer])).logits[0]
    steps = torch.log_softmax(logits.float(), dim=-1)[len(prompt) - 1 : -1]
    return steps.gather(1, torch.tensor(answer)[:, None])[:, 0]


def tokens(words: Text, task: Task, row: int, answer: str) -> tuple[list[int], list[int]]:
    prompt = task.text(task.splits.train[row])
    return words.encode(prompt), words.continuations([(prompt, answer)], task.max_target_tokens)[0]


@pytest.mark.parametrize(("method", "kind"), turns.pairs(sorted(methods.catalogue()), ("label_task", "choice_task")))
@torch.no_grad()
def test_likelihoods_equal_one_pass_per_option(
    kind: str, method: str, decoder: ModelConfig, request: pytest.FixtureRequest
) -> None:
    task: Task = request.getfixturevalue(kind)
    model, words = attached(decoder, method), tokenizer.load(decoder)
    objective = objectives.make("causal", task, words)
    rows = task.splits.train[:3]
    scores = objective.likelihoods(model, objective.encode(rows).batch(range(3)))  # type: ignore[attr-defined]
    for number, (row, found) in enumerate(zip(rows, scores, strict=True)):
        wanted = [naive(model, *tokens(words, task, number, option)).sum() for option in task.options(row)]
        torch.testing.assert_close(found[: len(wanted)], torch.stack(wanted), rtol=1e-3, atol=1e-3)
        assert torch.isneginf(found[len(wanted) :]).all()


@pytest.mark.parametrize("method", ["none", "lora", "prompt", "prefix", "ptuning", "mam"])
@torch.no_grad()
def test_greedy_answers_are_the_likeliest_tokens_one_after_the_other(
    method: str, decoder: ModelConfig, any_task: Task
) -> None:
    task = replace(any_task, answer="text", label_words=("bad", "good"), max_target_tokens=6)
    model, words = attached(decoder, method), tokenizer.load(decoder)
    objective = objectives.make("causal", task, words)
    found = objective.predict(model, objective.encode(task.splits.train[:7]).batch(range(7))).answers
    for number in range(7):
        prompt, _ = tokens(words, task, number, "bad")
        made: list[int] = []
        while len(made) < 6 and (not made or made[-1] != words.eos):
            made.append(int(model(input_ids=torch.tensor([prompt + made])).logits[0, -1].argmax()))
        assert found[number] == words.decode([[one for one in made if one != words.eos]])[0].strip()


@pytest.mark.parametrize("beams", [1, 3])
@torch.no_grad()
def test_every_end_token_of_a_model_ends_a_text(beams: int, decoder: ModelConfig, tmp_path: Path) -> None:
    """The answers are those of transformers' generation; an end token that is a word stays, as there."""
    shutil.copytree(str(decoder.path), tmp_path / "own")
    ends = list(range(6, 24))
    (tmp_path / "own" / "generation_config.json").write_text(json.dumps({"eos_token_id": [1, *ends]}))
    several = replace(decoder, path=str(tmp_path / "own"))
    model, words = attached(several, "none"), tokenizer.load(several)
    assert (words.eos, words.ends) == (1, (1, *ends))
    prompts = [f"w{i} w{2 * i}" for i in range(12)]
    rows, _ = words.prompts(prompts, 20, 7)
    batch = Encoded.of(rows, words.pad, 0).batch(range(12))
    found = decoding.generate(model, decoding.Prompt.of(batch.inputs, batch.mask), 7, words.ends, beams)
    for ids, ours in zip(rows, found, strict=True):
        given = torch.tensor([ids])
        made = model.generate(
            input_ids=given, attention_mask=torch.ones_like(given), num_beams=beams, do_sample=False, max_new_tokens=7,
            eos_token_id=list(words.ends), pad_token_id=0,
        )  # type: ignore[operator]  # fmt: skip
        assert words.decode([made[0, len(ids) :].tolist()]) == words.decode([ours])


@pytest.mark.parametrize("pad", [-1, 99, None])
def test_a_padding_token_that_is_none_is_the_end_token(pad: int | None, decoder: ModelConfig, tmp_path: Path) -> None:
    shutil.copytree(str(decoder.path), tmp_path / "own")
    plan = json.loads((tmp_path / "own" / "config.json").read_text())
    (tmp_path / "own" / "config.json").write_text(json.dumps({**plan, "pad_token_id": pad}))
    own = replace(decoder, path=str(tmp_path / "own"))
    assert tokenizer.load(own).pad == 1
    backbone.load(own, LM, seed=0)


@torch.no_grad()
def test_beams_are_those_of_transformers(decoder: ModelConfig, any_task: Task) -> None:
    task = replace(any_task, answer="text", label_words=("bad", "good"), max_target_tokens=7)
    model, words = attached(decoder, "none"), tokenizer.load(decoder)
    objective = objectives.make("causal", task, words, Reading(beams=3))
    found = objective.predict(model, objective.encode(task.splits.train[:12]).batch(range(12))).answers
    theirs = []
    for number in range(12):
        prompt = torch.tensor([tokens(words, task, number, "bad")[0]])
        made = model.generate(
            input_ids=prompt, attention_mask=torch.ones_like(prompt), num_beams=3, do_sample=False, max_new_tokens=7
        )  # type: ignore[operator]
        theirs.append(words.decode([made[0, prompt.shape[1] :].tolist()])[0].strip())
    assert found == theirs
    greedy = objectives.make("causal", task, words)
    assert greedy.predict(model, greedy.encode(task.splits.train[:12]).batch(range(12))).answers != found


def test_the_loss_is_on_the_answer_or_on_all_but_the_first_token(decoder: ModelConfig, any_task: Task) -> None:
    model, words = attached(decoder, "none"), tokenizer.load(decoder)
    pairs = [tokens(words, any_task, i, any_task.target(any_task.splits.train[i])) for i in range(7)]
    alone = torch.cat([naive(model, prompt, answer) for prompt, answer in pairs])
    whole = torch.cat([naive(model, prompt[:1], prompt[1:] + answer) for prompt, answer in pairs])
    for loss_on, wanted in (("answer", alone), ("all", whole)):
        objective = objectives.make("causal", any_task, words, Reading(loss_on=loss_on))
        batch = objective.encode(any_task.splits.train[:7]).batch(range(7))
        torch.testing.assert_close(objective.loss(model, batch), -wanted.mean(), rtol=1e-4, atol=1e-5)
        predicted = objective.predict(model, batch)
        assert predicted.items == len(wanted)
        assert predicted.loss / predicted.items == pytest.approx(float(-wanted.mean()), rel=1e-3)


def test_scores_do_not_depend_on_the_evaluation_batch(decoder: ModelConfig, any_task: Task) -> None:
    model = attached(decoder, "none")
    objective = objectives.make("causal", any_task, tokenizer.load(decoder))
    split = prepare(objective, any_task)["test"]
    one, many = (score(model, objective, split, any_task.metric, size) for size in (1, 16))
    assert one.answers == many.answers
    assert one.loss == pytest.approx(many.loss, rel=1e-3)


@pytest.mark.parametrize("score", ["sum", "mean", "sum_without_end", "mean_without_end"])
@torch.no_grad()
def test_options_can_be_compared_by_their_mean_and_without_the_end(
    score: str, decoder: ModelConfig, choice_task: Task
) -> None:
    model, words = attached(decoder, "none"), tokenizer.load(decoder)
    objective = objectives.make("causal", choice_task, words, Reading(option_score=score))
    found = objective.predict(model, objective.encode(choice_task.splits.train[:20]).batch(range(20))).answers
    for number, answer in enumerate(found):
        options = choice_task.options(choice_task.splits.train[number])
        each = [naive(model, *tokens(words, choice_task, number, option)) for option in options]
        each = [one[:-1] for one in each] if score.endswith("without_end") else each
        scores = [float(one.sum() if score.startswith("sum") else one.mean()) for one in each]
        assert answer == scores.index(max(scores))


def test_long_prompts_are_cut_on_the_left_and_leave_room_for_the_answer(decoder: ModelConfig, label_task: Task) -> None:
    words = tokenizer.load(decoder, added=70)
    encoded = objectives.make("causal", label_task, words).encode(label_task.splits.train)
    room = 80 - 70 - label_task.max_target_tokens
    assert encoded.inputs.shape[1] == room
    longest = max(range(40), key=lambda i: len(label_task.text(label_task.splits.train[i]).split()))
    whole = words.encode(label_task.text(label_task.splits.train[longest]))
    kept = encoded.inputs[longest].tolist()
    assert encoded.truncated > 0
    assert kept == whole[-len(kept) :], "the end of a prompt is where its question stands"


@pytest.mark.parametrize("space", ["", "\n", " "])
def test_an_answer_is_tokenised_as_it_stands_after_its_prompt(space: str) -> None:
    spoken = Tokenizer(models.BPE())
    spoken.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    spoken.decoder = decoders.ByteLevel()
    spoken.train_from_iterator(
        ["the answer is yes"] * 3 + ["no\nyes"] * 3,
        trainers.BpeTrainer(vocab_size=300, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False),
    )
    words = Text(spoken, pad=0, eos=0, start=None, room=None)
    prompt = f"is it so?{space}"
    [found] = words.continuations([(prompt, "yes")], 10)
    [read], _ = words.prompts([prompt], 100, 10)
    assert words.decode([read + found[:-1]])[0] == prompt + ("" if space else " ") + "yes"
    assert read + found[:-1] == words.encode(prompt + ("" if space else " ") + "yes")


def test_kernels_that_a_family_lacks_are_named(tmp_path: Path) -> None:
    Gemma2Config(vocab_size=30, hidden_size=8, num_hidden_layers=1, intermediate_size=8).save_pretrained(tmp_path)
    config = ModelConfig(name="tiny-gemma2", family="gemma2", path=str(tmp_path))
    with pytest.raises(NotApplicable, match=r"no sdpa attention for gemma2. Take model\.attention=eager"):
        backbone.build(config, LM)


def test_an_encoder_is_no_decoder(bert: ModelConfig, t5: ModelConfig, t5_text: Text, label_task: Task) -> None:
    with pytest.raises(NotApplicable, match=r"tiny-bert \(bert\) cannot serve as causal lm: its attention is two-way"):
        backbone.build(bert, LM)
    with pytest.raises(NotApplicable, match=r"tiny-t5 \(t5\) cannot serve as causal lm"):
        backbone.build(t5, LM)
    with pytest.raises(UsageError, match=r"needs a decoder alone.*Take seq2seq"):
        objectives.make("causal", label_task, t5_text)


@pytest.mark.parametrize(
    ("objective", "reading", "said"),
    [
        ("seq2seq", Reading(loss_on="all"), r"recipe\.loss_on=all: objective seq2seq cannot do that; .* causal"),
        ("classifier", Reading(beams=4), r"task\.beams=4: objective classifier cannot"),
        ("classifier", Reading(option_score="mean"), r"task\.option_score=mean"),
    ],
)
def test_a_setting_that_an_objective_cannot_follow_is_refused(
    objective: str, reading: Reading, said: str, t5_text: Text, label_task: Task
) -> None:
    with pytest.raises(NotApplicable, match=said):
        objectives.make(objective, label_task, t5_text, reading)


@pytest.mark.parametrize("method", ["full", "prompt"])
@torch.no_grad()
def test_a_classifier_on_a_decoder_does_not_see_its_padding(
    method: str, decoder: ModelConfig, label_task: Task, tmp_path: Path
) -> None:
    """GPT-2 and LLaMA have no padding token."""
    shutil.copytree(str(decoder.path), tmp_path / "own")
    plan = json.loads((tmp_path / "own" / "config.json").read_text())
    (tmp_path / "own" / "config.json").write_text(json.dumps({**plan, "pad_token_id": None}))
    unpadded = replace(decoder, path=str(tmp_path / "own"))
    objective = objectives.make("classifier", label_task, tokenizer.load(unpadded))
    model = backbone.load(unpadded, objective.head, seed=0)
    methods.make(MethodConfig(method, {})).attach(model)
    encoded = objective.encode(label_task.splits.train)
    one, many = (
        [answer for rows in encoded.by_length(size) for answer in objective.predict(model, encoded.batch(rows)).answers]
        for size in (1, 8)
    )
    assert one == many


def test_a_decoder_learns_to_answer(decoder: ModelConfig, any_task: Task) -> None:
    model = attached(decoder, "full")
    objective = objectives.make("causal", any_task, tokenizer.load(decoder))
    encoded = objective.encode(any_task.splits.train)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for step in range(60):
        rows = [(step * 8 + i) % len(encoded) for i in range(8)]
        loss = objective.loss(model, encoded.batch(rows))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        found = objective.predict(model, encoded.batch(range(len(encoded)))).answers
    wanted = [objective.target(row) for row in any_task.splits.train]
    assert sum(one == other for one, other in zip(found, wanted, strict=True)) >= 0.9 * len(wanted)
