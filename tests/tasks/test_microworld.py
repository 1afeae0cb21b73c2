"""Laws of the microworld: rows are disjoint, balanced, readable, and not solved by counting words."""

import json
import re
from collections import Counter
from dataclasses import replace
from itertools import islice
from pathlib import Path
from random import Random

import pytest
import torch
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM, AutoTokenizer, PreTrainedModel

from harness.cli import command_line, pretraining_gate
from harness.config.schema import TaskConfig
from harness.errors import UsageError
from harness.experiments.grids import grid
from harness.store import identity
from harness.store.store import Store
from tasks import registry as tasks
from tasks.base import Example, Task
from tasks.microworld import corpus, instructions, lexicon, repeated_rows, vocabulary
from tasks.microworld.corpus import lessons
from tasks.microworld.pretraining import curriculum, held_out, loss_by_kind, pretrain, shipping
from tasks.microworld.pretraining.backbones import BACKBONES
from tasks.microworld.rows import MOST_TEST_ROWS

NAMES = sorted(name for name in tasks.catalogue() if name.startswith("micro/"))
READING = [name for name in NAMES if tasks.catalogue()[name].category in ("inference", "question answering")]
SHIPPED = sorted(path.parent for path in shipping.WEIGHTS.glob("*/pretraining.json"))
# sha256 of the corpus of world version 1: it may never change, every embedded backbone was pretrained on it
CORPUS = {1: "a099fecf77fa9f34bb80528a7d79b63aa0b2168305a19a543ab641902304957a"}


def load(name: str) -> Task:
    return tasks.load(TaskConfig(name=name))


def answer(task: Task, row: Example) -> str:
    """What a classifier has to tell: the label, the position of the right choice, or the text."""
    return row.target if row.target is not None else str(row.label)


def test_there_are_tasks_and_backbones() -> None:
    assert len(NAMES) >= 6
    assert READING
    assert SHIPPED


@pytest.mark.parametrize("name", NAMES)
def test_no_row_stands_in_two_splits(name: str) -> None:
    task = load(name)
    texts = [task.text(row) for rows in task.splits.named().values() for row in rows]
    assert len(texts) == len(set(texts))
    assert len(texts) >= 1000


@pytest.mark.parametrize("name", NAMES)
def test_labels_and_positions_are_balanced(name: str) -> None:
    """Within rows that are asked in one format, where a format is part of the row."""
    task = load(name)
    for rows in task.splits.named().values():
        for format_ in {row.choices if task.answer == "text" else () for row in rows}:
            asked = [row for row in rows if task.answer != "text" or row.choices == format_]
            counts = Counter(row.label for row in asked)
            assert max(counts.values()) - min(counts.values()) <= 1 or set(counts) == {None}


@pytest.mark.parametrize("name", NAMES)
def test_every_word_is_in_the_vocabulary(name: str) -> None:
    tokenizer = AutoTokenizer.from_pretrained(str(vocabulary.PATH))
    task = load(name)
    for rows in task.splits.named().values():
        texts = [task.text(row) for row in rows] + [task.target(row) for row in rows]
        for text, ids in zip(texts, tokenizer(texts)["input_ids"], strict=True):
            assert tokenizer.unk_token_id not in ids, text
            assert len(ids) <= task.max_input_tokens, text


@pytest.mark.parametrize("name", NAMES)
def test_another_split_seed_gives_other_rows(name: str) -> None:
    first = tasks.resolve(TaskConfig(name=name))
    assert first.digest == tasks.resolve(TaskConfig(name=name)).digest
    assert first.digest != tasks.resolve(TaskConfig(name=name, split_seed=1)).digest


@pytest.mark.parametrize("name", NAMES)
def test_more_test_rows_stand_behind_the_same_ones(name: str) -> None:
    size = instructions.MOST_TEST_ROWS if name == "micro/instructions" else 2000
    usual = load(name).splits
    more = tasks.load(TaskConfig(name=name, test_size=size)).splits
    assert (more.train, more.validation) == (usual.train, usual.validation)
    assert list(more.tests) == list(usual.tests)
    for test, rows in more.tests.items():
        assert len(rows) == size
        assert rows[: len(usual.tests[test])] == usual.tests[test]
        texts = [repr(row.fields) for split in (more.train, more.validation, rows) for row in split]
        assert len(texts) == len(set(texts))


@pytest.mark.parametrize("name", NAMES)
def test_more_validation_rows_stand_behind_the_same_ones(name: str) -> None:
    """They are the same whatever the number of test rows. Where several tasks are mixed, their order is another one."""
    size = instructions.MOST_VALIDATION_ROWS if name == "micro/instructions" else 2000
    usual = load(name).splits
    more, both = (tasks.load(TaskConfig(name, validation_size=size, test_size=tests)).splits for tests in (None, 600))
    assert (more.train, more.tests) == (usual.train, usual.tests)
    assert {repr(row.fields) for row in usual.validation} <= {repr(row.fields) for row in more.validation}
    assert len(more.validation) == size
    assert both.validation == more.validation
    texts = [repr(row.fields) for split in (both.train, both.validation, *both.tests.values()) for row in split]
    assert len(texts) == len(set(texts))


def test_too_many_test_rows_are_refused_with_the_number_that_there_are() -> None:
    with pytest.raises(UsageError, match=f"has {MOST_TEST_ROWS} rows"):
        tasks.load(TaskConfig(name="micro/qa-choice", test_size=MOST_TEST_ROWS + 1))


@pytest.mark.parametrize("name", READING)
def test_counting_words_does_not_solve_reading(name: str) -> None:
    """A logistic regression over word counts stays within 15 points of chance; majority is chance by balance."""
    task = load(name)
    count = CountVectorizer(token_pattern=r"\S+")
    rows, tests = task.splits.train, task.splits.tests["test"]
    model = LogisticRegression(max_iter=2000)
    model.fit(count.fit_transform([task.text(r) for r in rows]), [answer(task, r) for r in rows])
    score = model.score(count.transform([task.text(r) for r in tests]), [answer(task, r) for r in tests])
    assert score < task.chance + 0.15, f"word counts reach {score:.3f} on {name}"


@pytest.fixture(scope="module")
def whole_corpus() -> list[str]:
    return list(corpus.documents())


@pytest.fixture
def written_once(whole_corpus: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes seconds to write, and nobody asks for another size or seed."""
    monkeypatch.setattr(corpus, "documents", lambda *_: iter(whole_corpus))


def test_the_corpus_is_the_world_versions(written_once: None) -> None:
    assert corpus.digest() == CORPUS[lexicon.VERSION]


def test_the_shipped_tokenizer_is_the_vocabulary(written_once: None) -> None:
    shipped = json.loads((vocabulary.PATH / "tokenizer.json").read_text(encoding="utf-8"))
    assert shipped["model"]["vocab"] == vocabulary.build().get_vocab(with_added_tokens=True)
    assert sum(token.startswith("<spare_") for token in shipped["model"]["vocab"]) == 64


@pytest.mark.parametrize("stage", sorted(curriculum.STAGES))
def test_stages_are_repeatable_and_in_the_corpus_words(stage: str) -> None:
    first = list(islice(curriculum.documents(stage, 0), 300))
    assert first == list(islice(curriculum.documents(stage, 0), 300))
    assert first != list(islice(curriculum.documents(stage, 1), 300))
    tokenizer = AutoTokenizer.from_pretrained(str(vocabulary.PATH))
    assert all(tokenizer.unk_token_id not in ids for ids in tokenizer(first)["input_ids"])
    assert not any("### response" in text or "answer format" in text for text in first), "a task's template"


def test_a_lesson_has_one_right_option_per_question() -> None:
    rng, found = Random(0), 0
    asks = [lessons._known(ask)[0] for ask in lessons.CLOSED]
    for _ in range(200):
        listed, _, asked = lessons.several(rng).partition(" . ")
        options = dict(re.findall(r"(\S+) : (.+?)(?= ,? ?\S+ : |$)", listed))
        for rights in asks:
            for text in rights:
                # Looking for the text first is a hundred times as fast as an expression that matches nowhere.
                answered = re.escape(text) + r" (?:it is |that is )?(\S+) \."
                if text in asked and (found_ := re.search(answered, asked)):
                    found += 1
                    assert [label for label, one in options.items() if one.removesuffix(" ,") in rights[text]] == [
                        found_[1]
                    ]
    assert found > 200


@pytest.mark.parametrize("make", [lessons.verdicts, lessons.delayed])
def test_a_verdict_is_right(make) -> None:
    rng, found = Random(0), Counter[str]()
    for _ in range(100):
        told, _, rest = make(rng).partition(" . ")
        held = set(re.split(r" , | and ", told.partition(" has ")[2]))
        for asked, said in re.findall(r"does \w+ have (.+?) \?.*? (true|false) \.(?= does|$)", rest):
            assert (asked in held) == (said == "true")
            found[said] += 1
    assert min(found.values()) > 20
    assert len(found) == 2


@pytest.mark.parametrize("folder", SHIPPED, ids=lambda folder: folder.name)
def test_a_backbone_says_what_it_was_made_of(folder) -> None:
    facts = json.loads((folder / "pretraining.json").read_text(encoding="utf-8"))
    assert facts["world"] == lexicon.VERSION
    assert facts["corpus_sha256"] == CORPUS[lexicon.VERSION]
    assert facts["final_loss"] > 0
    assert f"deltabench pretrain model={folder.name}" in (folder / "README.md").read_text(encoding="utf-8")


GROWN = sorted(name for name, backbone in BACKBONES.items() if backbone.grown_from)


def shipped(name: str) -> PreTrainedModel:
    kind = AutoModelForSeq2SeqLM if BACKBONES[name].family == "t5" else AutoModelForCausalLM
    return kind.from_pretrained(shipping.WEIGHTS / name, dtype=torch.float32)


@pytest.mark.parametrize("folder", SHIPPED, ids=lambda folder: folder.name)
def test_a_card_has_the_loss_of_its_weights_on_held_out_text(folder: Path) -> None:
    told = json.loads((folder / "pretraining.json").read_text(encoding="utf-8"))["held_out_loss"]
    assert told == pytest.approx(loss_by_kind.by_kind(folder.name, shipped(folder.name)), abs=0.01)
    assert f"held-out text, in nats a token: {told['all']:.3f}" in (folder / "README.md").read_text(encoding="utf-8")


def test_a_larger_t5_knows_more_of_the_held_out_text() -> None:
    """Otherwise no exhibit could say what a backbone's size does."""
    cards = [json.loads((folder / "pretraining.json").read_text(encoding="utf-8")) for folder in SHIPPED]
    by_size = sorted((card for card in cards if card["family"] == "t5"), key=lambda card: card["parameters"])
    assert len(by_size) == 3
    for kind in by_size[0]["held_out_loss"]:
        losses = [card["held_out_loss"][kind] for card in by_size]
        assert losses == sorted({*losses}, reverse=True), kind


@pytest.mark.parametrize("name", GROWN)
def test_a_grown_backbone_starts_as_the_one_it_is_grown_from(name: str) -> None:
    grown = pretrain.initialise(BACKBONES[name]).eval()
    small = shipped(BACKBONES[name].grown_from).eval()
    assert grown.num_parameters() > small.num_parameters()
    words = torch.randint(5, 800, (3, 20), generator=torch.Generator().manual_seed(0))
    read = {"input_ids": words, **({"labels": words} if BACKBONES[name].family == "t5" else {})}
    with torch.no_grad():
        torch.testing.assert_close(grown(**read).logits, small(**read).logits, rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", GROWN)
def test_a_depth_that_is_no_multiple_cannot_be_grown(name: str) -> None:
    grown = BACKBONES[name]
    deep = {field: 7 for field in grown.architecture if field.endswith("layers")}
    with pytest.raises(ValueError, match="7 blocks are no multiple"):
        pretrain.initialise(replace(grown, architecture={**grown.architecture, **deep}))


def test_a_gate_counts_the_cells_of_its_own_command_only(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked: set[str] = set()
    monkeypatch.setattr("harness.store.archive.from_store", lambda store, keys: asked.update(keys) or [])
    assert not pretraining_gate.scores(Store(tmp_path), "micro-llama-nano")

    def key(*more: str) -> str:
        said = command_line.parse(["method=full", "model=micro-llama-nano", "task=micro/commonsense", "seed=0", *more])
        return identity.key(grid.expand([said.block])[0])

    assert {key(), key("model.weights=random")} <= asked
    assert not {key("recipe.learning_rate=1e-4"), key("task.split_seed=5")} & asked


@pytest.mark.parametrize("card", sorted(shipping.WEIGHTS.glob("*/gate.json")), ids=lambda path: path.parent.name)
def test_a_card_cites_the_seeds_of_its_mean(card: Path) -> None:
    told = json.loads(card.read_text())
    assert len(told["command"].rpartition("seed=")[2].split(",")) == told["seeds"]
    text = (card.parent / "README.md").read_text()
    assert ("one seed" if told["seeds"] == 1 else f"mean of {told['seeds']} seeds") in text
    assert "mean of 1 seeds" not in text


def test_fewer_finished_seeds_are_the_commands_seeds() -> None:
    asked = pretraining_gate.TestSet("micro/qa", "test", 0.3, "micro")
    assert pretraining_gate.table("m", {(asked, kind): [0.5] for kind in pretraining_gate.WEIGHTS})["command"].endswith(
        "seed=0"
    )
    assert pretraining_gate.table("m", {(asked, kind): [0.5, 0.6] for kind in pretraining_gate.WEIGHTS})[
        "command"
    ].endswith("seed=0,1")


def test_the_card_tells_what_of_the_test_stands_in_train() -> None:
    card = repeated_rows.CARD.read_text()
    assert repeated_rows.section() in card
    assert "| micro/qa |" in card


def test_a_question_is_the_same_with_other_options_and_in_another_order() -> None:
    def row(options: str, label: int, choices: tuple[str, ...]) -> Example:
        return Example(id="a", fields={"options": options, "question": "what flies ?"}, label=label, choices=choices)

    train = [row("the owl , the pear", 0, ("the owl", "the pear"))]
    same, other = (
        row("the cup , the owl", 1, ("the cup", "the owl")),
        row("the owl , the jay", 1, ("the owl", "the jay")),
    )
    assert repeated_rows.share(train, [same, other]) == 0.5
    asked = "answer the question : what flies ? answer1 : the {} answer2 : the {} answer format : answer1 / answer2"
    rows = [
        Example(
            id="b", fields={"instruction": asked.format(*words)}, label=0, target=f"the correct answer is answer{n}"
        )
        for words, n in ((("owl", "pear"), 1), (("cup", "owl"), 2), (("owl", "jay"), 2))
    ]
    assert [repeated_rows.share(rows[:1], [one]) for one in rows] == [1, 1, 0]


@pytest.mark.slow
def test_the_held_out_text_is_not_in_the_corpus() -> None:
    assert held_out.documents() == held_out.find()
    assert len(set(held_out.documents())) == held_out.COUNT


@pytest.mark.parametrize("name", sorted(BACKBONES))
def test_held_out_text_is_read_as_in_the_pretraining(name: str) -> None:
    def encode(text: str) -> list[int]:
        return [100 + place for place, _ in enumerate(text.split())]

    pairs = held_out.pairs(name, encode)
    assert len(pairs) == held_out.COUNT
    assert pairs == held_out.pairs(name, encode), "its noise is the same each time"
    assert all(target[-1] == held_out.EOS for _, target in pairs)
    assert held_out.pairs("t5-base", encode) == []
