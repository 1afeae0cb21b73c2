"""Laws of world 2: rows are disjoint by form, balanced by level, readable, and neither counted nor learnt by heart."""

import hashlib
import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from functools import cache
from itertools import pairwise
from pathlib import Path
from random import Random

import pytest
import torch
from safetensors.torch import load_file
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from transformers import AutoTokenizer

from harness.config.schema import TaskConfig
from harness.errors import UsageError
from tasks import registry as tasks
from tasks.base import Example, Task
from tasks.microworld import vocabulary, world
from tasks.microworld2 import VERSION, corpus, graded_rows, word_ids
from tasks.microworld2.pretraining import (
    first_attention,
    first_world,
    noise,
    pretraining_run,
    step_losses,
    weight_cards,
)
from tasks.microworld2.pretraining.backbone_sizes import SIZES, Size
from tasks.microworld2.pretraining.reading_plan import Reading, Step, ids_of
from tasks.microworld2.tasks import SHARES

NAMES = sorted(SHARES)
LABELLED = [name for name in NAMES if tasks.catalogue()[name].answer != "text" or tasks.catalogue()[name].chance]
CORPUS = "7994cae767c04aac5046a4ad5b019ec30ca90b41f472ce0ac943ab45e498e6cb"
"""The sha256 of the corpus. It may never change: the backbones of world 2 were pretrained on it."""
_WORD = re.compile(r"[a-z0-9<>_]+")
_NAME = re.compile(rf"\b({'|'.join(world.PEOPLE)})\b")


@cache
def load(name: str) -> Task:
    return tasks.load(TaskConfig(name=name))


def answer(row: Example) -> str:
    return row.target if row.target is not None else str(row.label)


def level(row: Example) -> int:
    return int(row.id.rpartition("level")[2])


def test_there_are_twelve_tasks_in_five_categories_and_three_more() -> None:
    counts = Counter(tasks.catalogue()[name].category for name in NAMES)
    assert counts == {
        "sentiment": 3, "inference": 3, "paraphrase": 2, "question answering": 2, "summarisation": 2,
        "acceptability": 1, "instruction following": 1,
    }  # fmt: skip
    assert {name for name in tasks.catalogue() if name.startswith("micro2/")} == {*NAMES, "micro2/commonsense"}


@pytest.mark.parametrize("name", NAMES)
def test_splits_have_their_sizes_and_no_form_twice(name: str) -> None:
    task = load(name)
    splits = task.splits.named()
    assert {split: len(rows) for split, rows in splits.items()} == dict(graded_rows.SIZES)
    forms = [graded_rows.form(" | ".join(row.fields.values())) for rows in splits.values() for row in rows]
    assert len(forms) == len(set(forms))


@pytest.mark.parametrize("name", NAMES)
def test_levels_have_their_exact_shares_and_labels_are_balanced_in_each(name: str) -> None:
    for rows in load(name).splits.named().values():
        levels = Counter(map(level, rows))
        first = min(SHARES[name])
        assert {at: len(rows) * share // 100 for at, share in SHARES[name].items() if at != first} == {
            at: count for at, count in levels.items() if at != first
        }
        for at in levels:
            counts = Counter(row.label for row in rows if level(row) == at)
            assert max(counts.values()) - min(counts.values()) <= 1


@pytest.mark.parametrize("name", [NAMES[0], *(pytest.param(name, marks=pytest.mark.slow) for name in NAMES[1:])])
def test_every_word_is_in_the_vocabulary_and_no_text_is_cut(name: str) -> None:
    tokenizer = AutoTokenizer.from_pretrained(str(word_ids.PATH))
    task = load(name)
    for rows in task.splits.named().values():
        texts, answers = [task.text(row) for row in rows], [task.target(row) for row in rows]
        for text, ids in zip(texts, tokenizer(texts)["input_ids"], strict=True):
            assert tokenizer.unk_token_id not in ids, text
            assert len(ids) <= task.max_input_tokens, text
        for text, ids in zip(answers, tokenizer(answers)["input_ids"], strict=True):
            assert tokenizer.unk_token_id not in ids, text
            assert len(ids) <= task.max_target_tokens, text


@pytest.mark.parametrize("name", LABELLED)
def test_counting_words_solves_no_task(name: str) -> None:
    """A logistic regression over word counts stays within 15 points of chance; so does the commonest answer."""
    task = load(name)
    count = CountVectorizer(token_pattern=r"\S+")
    rows, tests = task.splits.train, task.splits.tests["test"]
    model = LogisticRegression(max_iter=2000)
    model.fit(count.fit_transform([task.text(row) for row in rows]), list(map(answer, rows)))
    score = model.score(count.transform([task.text(row) for row in tests]), list(map(answer, tests)))
    assert score < task.chance + 0.15, f"word counts reach {score:.3f} on {name}"
    assert max(Counter(map(answer, tests)).values()) / len(tests) < task.chance + 0.01


@pytest.mark.parametrize("name", ["micro2/summary", "micro2/dialogue"])
def test_no_summary_is_common(name: str) -> None:
    tests = load(name).splits.tests["test"]
    assert max(Counter(map(answer, tests)).values()) / len(tests) < 0.01


def bare(text: str) -> tuple[str, ...]:
    """Return the words of a text without its stops, each name as the same word."""
    return tuple(_WORD.findall(_NAME.sub("<name>", text)))


@cache
def test_forms() -> dict[tuple[str, ...], list[tuple[str, ...]]]:
    """Return first four words -> the test rows, of all tasks, that begin so."""
    found = defaultdict(list)
    for name in NAMES:
        for row in load(name).splits.tests["test"]:
            words = bare(" ".join(row.fields.values()))
            found[words[:4]].append(words)
    return found


test_forms.__test__ = False  # type: ignore[attr-defined]


def told(documents: Iterator[str]) -> list[str]:
    """Return the documents that contain a test row, whoever it is about and however it is stopped."""
    forms, found = test_forms(), []
    for text in documents:
        words = bare(text)
        for at in range(len(words) - 3):
            if any(words[at : at + len(row)] == row for row in forms.get(words[at : at + 4], ())):
                found.append(text)
    return found


@pytest.mark.parametrize("stage", sorted(corpus.STAGES))
def test_no_test_row_stands_in_the_corpus(stage: str) -> None:
    assert told(corpus.documents(stage, 5_000)) == []


@pytest.mark.slow
@pytest.mark.parametrize("stage", sorted(corpus.STAGES))
def test_no_test_row_stands_in_the_whole_corpus(stage: str) -> None:
    assert told(corpus.documents(stage)) == []


def test_a_test_row_in_a_document_is_seen() -> None:
    row = load("micro2/inference").splits.tests["test"][0]
    renamed = _NAME.sub("rosa", f"leo has a hat . {row.fields['premise']} . {row.fields['hypothesis']} ?")
    assert told(iter([renamed, "ann has a hat ."])) == [renamed]


@pytest.mark.slow
def test_the_corpus_is_that_of_the_backbones() -> None:
    assert corpus.digest() == CORPUS


def test_held_out_text_is_in_no_stage() -> None:
    kept = corpus.held_out_documents(40)
    assert set(kept) == {"lists", "world", "reviews", "telling", "claims", "options"}
    assert all(corpus.held_out(text) for texts in kept.values() for text in texts)
    assert not any(corpus.held_out(text) for stage in corpus.STAGES for text in corpus.documents(stage, 500))


def test_documents_are_repeatable_and_in_the_vocabulary() -> None:
    tokenizer = AutoTokenizer.from_pretrained(str(word_ids.PATH))
    for stage in corpus.STAGES:
        first = list(corpus.documents(stage, 300))
        assert first == list(corpus.documents(stage, 300))
        assert all(tokenizer.unk_token_id not in ids for ids in tokenizer(first)["input_ids"])
        assert not any(word in text for word in ("hypothesis :", "sentiment :", "summary :") for text in first)


def test_the_tokenizer_has_room_and_the_words_of_world_1() -> None:
    ours = json.loads((word_ids.PATH / "tokenizer.json").read_text(encoding="utf-8"))["model"]["vocab"]
    theirs = json.loads((word_ids.PATH.parents[1] / "microworld/tokenizer/tokenizer.json").read_text(encoding="utf-8"))
    assert set(theirs["model"]["vocab"]) <= set(ours)
    assert sum(token.startswith("<spare_") for token in ours) == 64
    assert len(ours) <= word_ids.ROWS


def test_a_form_forgets_names_but_not_who_is_who() -> None:
    assert graded_rows.form("ann saw tom . ann ran") == graded_rows.form("leo saw eva . leo ran")
    assert graded_rows.form("ann saw tom . ann ran") != graded_rows.form("ann saw tom . tom ran")


def test_a_maker_with_too_few_forms_is_an_error() -> None:
    def one(label: int, level: int, rng: Random) -> graded_rows.Row:
        return graded_rows.Row({"text": "ann ran"}, label)

    with pytest.raises(ValueError, match="too few distinct forms"):
        graded_rows.splits(one, 2, "none", {1: 100}, {"train": 4, "validation": 2, "test": 2})


def test_a_generated_task_reads_no_files() -> None:
    with pytest.raises(UsageError, match=r"task\.data_dir"):
        tasks.load(TaskConfig("micro2/qa", data_dir="somewhere"))


SHIPPED = sorted(path.parent for path in weight_cards.WEIGHTS.glob("*/pretraining.json"))


@pytest.mark.parametrize("folder", SHIPPED, ids=lambda folder: folder.name)
def test_a_backbone_says_what_it_was_made_of(folder: Path) -> None:
    facts = json.loads((folder / "pretraining.json").read_text(encoding="utf-8"))
    size = SIZES[folder.name]
    assert facts["world"] == VERSION
    assert facts["corpus_sha256"] == CORPUS
    assert (facts["stages"], facts["starts_from"]) == (dict(size.stages), size.starts_from)
    tokenizer = (word_ids.PATH / "tokenizer.json").read_bytes()
    assert facts["tokenizer_sha256"] == hashlib.sha256(tokenizer).hexdigest()
    card = (folder / "README.md").read_text(encoding="utf-8")
    assert f"deltabench pretrain model={folder.name}" in card
    assert "not the papers' numbers" in card


STARTED = sorted(name for name, size in SIZES.items() if size.starts_from)


@pytest.mark.parametrize("name", STARTED)
def test_a_start_from_world_1_knows_its_words(name: str) -> None:
    """Only the words of both worlds: the others start as a mean."""
    model = pretraining_run.initialise(SIZES[name])
    theirs = load_file(first_world.WEIGHTS / SIZES[name].starts_from / "model.safetensors")
    old, new = (
        json.loads((path / "tokenizer.json").read_text(encoding="utf-8"))["model"]["vocab"]
        for path in (vocabulary.PATH, word_ids.PATH)
    )
    key = next(key for key, tensor in theirs.items() if len(tensor) == 896)
    words = dict(model.named_parameters())[key]
    for word in ("</s>", "ann", "zoo", "<spare_3>"):
        torch.testing.assert_close(words[new[word]], theirs[key][old[word]].float())
    assert "aspect" not in old
    assert (words[new["aspect"]] == words[-1]).all()
    for other, tensor in theirs.items():
        if other != key:
            torch.testing.assert_close(dict(model.named_parameters())[other], tensor.float())


def test_the_rate_rises_falls_as_a_cosine_and_ends_in_a_line() -> None:
    size = Size("t5", {}, {"stories": 600, "claims": 400}, 1.0, horizon=2000)
    rates = [pretraining_run.rate(step, size) for step in range(size.steps)]
    assert rates.index(max(rates)) in (59, 60)
    assert max(rates) == 1.0
    assert all(first > second for first, second in pairwise(rates[60:]))
    steps = [first - second for first, second in pairwise(rates[600:])]
    assert max(steps) - min(steps) < 1e-9
    assert 0.02 < rates[-1] < 0.025


@pytest.mark.parametrize("family", sorted(step_losses.FAMILIES))
def test_verdicts_are_hidden_together_and_nothing_else_is_learnt_then(family: str) -> None:
    text = "every pet was wet . ann had a dog . the dog was soaked ? true . the dog was dry ? false ."
    (ids,) = ids_of([text])
    assert noise.verdicts(ids) == [text.split().index("true"), text.split().index("false")]
    tokenizer = AutoTokenizer.from_pretrained(str(word_ids.PATH))
    batches = [step_losses.FAMILIES[family][1]([ids], Random(seed)) for seed in range(20)]
    learnt = [tokenizer.decode([i for i in batch["labels"][0].tolist() if i >= 0]) for batch in batches]
    alone = {"t5": "<extra_id_0> true <extra_id_1> false </s>"}.get(family, "true false")
    assert 0.4 < learnt.count(alone) / len(learnt) < 1


def test_interrupted_pretraining_ends_as_uninterrupted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pretraining_run, "held_out_losses", lambda *_: {})
    stopped = iter([False] * 6 + [False] * 5 + [True] + [False] * 6)  # one run, one that is stopped at its sixth step

    class Few(Reading):
        def __init__(self, size: Size) -> None:
            super().__init__(size, 64)

        def step(self, k: int) -> Step:
            if next(stopped):
                raise KeyboardInterrupt
            return super().step(k)

    monkeypatch.setattr(pretraining_run, "Reading", Few)
    size = Size("roberta", SIZES["micro2-roberta-nano"].architecture, {"look-ups": 3, "claims": 3}, 1e-3, batch=8)

    def run(name: str) -> list[torch.Tensor]:
        model, _ = pretraining_run.pretrain(size, tmp_path / name, lambda *_: None, every=2)
        return list(model.parameters())

    straight = run("straight")
    with pytest.raises(KeyboardInterrupt):
        run("stopped")
    assert all(map(torch.equal, straight, run("stopped")))


def test_later_batches_keep_their_share_of_lists() -> None:
    """They are lists to look up, other ones at every step, and much is hidden of as many as on their own stage."""
    stages = {"look-ups": 2, "claims": 2}
    size = Size("t5", {}, stages, 1.0, batch=16, dense={"look-ups": 0.5}, repeated={"claims": 0.25})
    reading, lists = Reading(size, 400), ids_of(corpus.documents("look-ups", 400))
    steps = [reading.step(k) for k in range(size.steps)]
    assert [sum(ids in lists for ids in step.documents) for step in steps] == [16, 16, 4, 4]
    assert [len(step.documents) for step in steps] == [16] * 4
    assert [Counter(step.dense) for step in steps[1:3]] == [{0.5: 16}, {0.5: 4, 0.0: 12}]
    assert steps[2].documents[:4] != steps[3].documents[:4]
    assert Reading(size, 400).step(3).documents == steps[3].documents


@pytest.mark.parametrize("name", sorted(SIZES))
def test_a_batch_in_parts_has_the_gradient_of_the_whole(name: str) -> None:
    model, batch = pretraining_run.initialise(SIZES[name]), step_losses.FAMILIES[SIZES[name].family][1]
    rows = batch(ids_of(corpus.documents("claims", 12)), Random(0))
    gradients, losses = list[torch.Tensor](), list[float]()
    for parts in (1, 3):
        model.zero_grad()
        losses.append(step_losses.backward(model, rows, parts))
        gradients.append(torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None]))
    assert losses[0] == pytest.approx(float(step_losses.loss(model, rows).detach()), rel=1e-5)
    assert losses[1] == pytest.approx(losses[0], rel=1e-5)
    torch.testing.assert_close(*gradients, rtol=1e-3, atol=1e-5)


def test_t5_starts_with_its_neighbours_in_sight() -> None:
    """A head of each stack looks at the word before, one of the encoder at the word after; all say what they see."""
    model = step_losses.FAMILIES["t5"][0](SIZES["micro2-t5-nano"].architecture)
    model.set_attn_implementation("eager")  # the other ones return no attention
    ids = torch.arange(40, 60)[None]
    with torch.no_grad():
        seen = model(input_ids=ids, decoder_input_ids=ids, output_attentions=True)
    before, after = torch.arange(1, 20), torch.arange(0, 19)
    assert seen.encoder_attentions[0][0, first_attention.BEFORE, before, before - 1].mean() > 0.5
    assert seen.encoder_attentions[0][0, first_attention.AFTER, after, after + 1].mean() > 0.5
    assert seen.decoder_attentions[0][0, first_attention.BEFORE, before, before - 1].mean() > 0.5
    assert seen.encoder_attentions[0][0, 2, before, before - 1].mean() < 0.2
    attention = model.decoder.block[1].layer[1].EncDecAttention
    assert (attention.o.weight == attention.v.weight.T).all()


def test_where_much_is_hidden_the_end_from_the_middle_on_is_said() -> None:
    documents = ids_of(corpus.documents("echo", 40))
    usual, dense = (step_losses.spans(documents, Random(0), [share] * 40) for share in (None, 1.0))
    wanted = [int((batch["labels"] >= 0).sum()) for batch in (usual, dense)]
    assert wanted[1] > 1.8 * wanted[0]
    tail = documents[0][-3:]
    assert dense["labels"][0][dense["labels"][0] >= 0].tolist()[-4:-1] == tail
    masks = [step_losses.masks(documents, Random(0), [share] * 40)["labels"] for share in (None, 1.0)]
    assert int((masks[1] >= 0).sum()) > 2.2 * int((masks[0] >= 0).sum())
