"""Laws of world 2's commonsense suite: rows are disjoint by form, balanced, graded, readable, and not to be counted."""

from collections import Counter
from functools import cache

import pytest
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from transformers import AutoTokenizer

from harness.config.schema import TaskConfig
from harness.errors import UsageError
from tasks import registry as tasks
from tasks.base import Example, Task
from tasks.microworld2 import commonsense, corpus, graded_rows, word_ids

SHAPES = sorted(commonsense.MAKERS)


@cache
def suite() -> Task:
    return tasks.load(TaskConfig(name="micro2/commonsense"))


def rows(shape: str) -> dict[str, list[Example]]:
    """Return the rows of one shape by split."""
    splits = suite().splits
    mixed = {"train": splits.train, "validation": splits.validation}
    own = {split: [row for row in many if row.id.startswith(f"{shape}-")] for split, many in mixed.items()}
    return {**own, "test": list(splits.tests[shape])}


def level(row: Example) -> int:
    return int(row.id.rpartition("level")[2])


def core(row: Example) -> str:
    """Return what a row tells and asks, without the words of the format."""
    return row.fields["instruction"].partition(" : ")[2].partition(" answer format")[0]


@pytest.mark.parametrize("shape", SHAPES)
def test_a_shape_has_its_sizes_no_form_twice_and_balanced_answers_in_each_level(shape: str) -> None:
    own = rows(shape)
    assert {split: len(many) for split, many in own.items()} == commonsense.SIZES
    forms = [graded_rows.form(row.fields["instruction"]) for many in own.values() for row in many]
    assert len(forms) == len(set(forms))
    for many in own.values():
        assert Counter(map(level, many)) == {1: len(many) / 2, 2: len(many) / 2}
        for at in commonsense.SHARES:
            counts = Counter(row.label for row in many if level(row) == at)
            assert len(counts) == commonsense.MAKERS[shape][1]
            assert max(counts.values()) - min(counts.values()) <= 1


@pytest.mark.parametrize("shape", SHAPES)
def test_the_answer_is_an_option_that_is_listed(shape: str) -> None:
    task = suite()
    for row in rows(shape)["test"]:
        assert task.options(row)[int(row.label or 0)] == task.target(row)
        assert f"{task.target(row).split()[-1]}" in task.text(row).partition("answer format :")[2].split()


def test_every_word_is_in_the_vocabulary_and_no_text_is_cut() -> None:
    tokenizer, task = AutoTokenizer.from_pretrained(str(word_ids.PATH)), suite()
    for many in task.splits.named().values():
        for ids in tokenizer([task.text(row) for row in many])["input_ids"]:
            assert tokenizer.unk_token_id not in ids
            assert len(ids) <= task.max_input_tokens
        assert all(len(ids) <= task.max_target_tokens for ids in tokenizer([task.target(r) for r in many])["input_ids"])


@pytest.mark.parametrize("shape", SHAPES)
def test_counting_words_solves_no_shape(shape: str) -> None:
    """A logistic regression over word counts stays within 15 points of chance."""
    own, count = rows(shape), CountVectorizer(token_pattern=r"\S+")
    model = LogisticRegression(max_iter=300)
    model.fit(count.fit_transform([row.fields["instruction"] for row in own["train"]]), [r.label for r in own["train"]])
    score = model.score(
        count.transform([row.fields["instruction"] for row in own["test"]]), [r.label for r in own["test"]]
    )
    assert score < 1 / commonsense.MAKERS[shape][1] + 0.15


@pytest.mark.slow
def test_no_document_tells_the_story_of_a_test_row_and_asks_for_it() -> None:
    """Level 1 asks for facts, which the corpus has to teach; the stories of level 2 are the tasks' own."""
    told = {core(row) for shape in SHAPES for row in rows(shape)["test"] if level(row) == 2}
    documents = [text for stage in corpus.STAGES for text in corpus.documents(stage, 5_000)]
    assert len(told) > 1_500
    assert not [text for text in told if any(text in document for document in documents)]


def test_a_made_suite_reads_no_files() -> None:
    with pytest.raises(UsageError, match=r"task\.data_dir: micro2/commonsense is generated"):
        tasks.load(TaskConfig("micro2/commonsense", data_dir="somewhere"))
