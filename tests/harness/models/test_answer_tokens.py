"""Answers that a tokenizer cannot tell apart are refused before anything is trained, for every objective."""

from dataclasses import replace
from pathlib import Path

import pytest

from harness.config.schema import Cell, MethodConfig, ModelConfig, RecipeConfig, TaskConfig
from harness.errors import UsageError
from harness.execution import preflight
from harness.models import answer_tokens, tokenizer
from harness.models.text_tokens import Text
from harness.training.objectives import registry as objectives
from tasks import registry as tasks
from tasks.base import Task


@pytest.mark.parametrize(
    ("words", "limit"),
    [(("good", "good"), 8), (("spam", "ham"), 8), (("very not bad", "very not good"), 3), (("bad", " "), 8)],
)
def test_label_words_that_are_the_same_tokens_are_refused(
    words: tuple[str, str], limit: int, t5_text: Text, decoder: ModelConfig, label_task: Task
) -> None:
    task = replace(label_task, label_words=words, max_target_tokens=limit)
    wanted = "the same tokens to tiny-|is white space|label word very not bad is 3 tokens and an end token to tiny-"
    with pytest.raises(UsageError, match=wanted):
        objectives.make("seq2seq", task, t5_text)
    with pytest.raises(UsageError, match=wanted):
        objectives.make("causal", task, tokenizer.load(decoder))


def test_words_of_which_one_begins_as_the_other_are_told_apart(t5_text: Text, label_task: Task) -> None:
    objectives.make("seq2seq", replace(label_task, label_words=("very", "very good")), t5_text)


def test_a_cloze_with_one_word_twice_is_refused(encoder: ModelConfig, label_task: Task) -> None:
    with pytest.raises(UsageError, match="label words bad and bad are the same tokens to tiny-"):
        objectives.make("masked", replace(label_task, label_words=("bad", "bad")), tokenizer.load(encoder))


def test_spaces_around_a_word_are_seen(t5_text: Text, label_task: Task) -> None:
    with pytest.raises(UsageError, match="label words bad and 'bad ' are the same tokens to tiny-"):
        objectives.make("seq2seq", replace(label_task, label_words=("bad", "bad ")), t5_text)


def rows_of(folder: Path, lines: list[str], head: str) -> str:
    for split in ("train", "validation", "test"):
        (folder / f"{split}.tsv").write_text("\n".join([head, *lines]) + "\n")
    return str(folder)


def test_preflight_refuses_choices_that_are_the_same_tokens(tmp_path: Path, t5: ModelConfig) -> None:
    place = rows_of(tmp_path, ["w1\t😀\t😡\t0", "w2\tbad\tgood\t1"], "text\ta\tb\tlabel")
    task = TaskConfig("mine", template="{text}", columns=("choices=a+b",), data_dir=place)
    [_, said] = preflight.preflight([(t5, "seq2seq", task)])
    assert "in 1 of 2 rows of its train split the right choice and another are the same tokens to tiny-t5" in str(said)


def test_preflight_refuses_answers_of_which_all_are_cut(tmp_path: Path, t5: ModelConfig) -> None:
    place = rows_of(tmp_path, ["w1\tw2 w3 w4", "w2\tw3 w4 w5"], "text\ttarget")
    task = TaskConfig("mine", template="{text}", answer="text", data_dir=place, max_target_tokens=3)
    assert preflight.preflight([(t5, "seq2seq", task)]) == [None, None]
    [_, said] = preflight.preflight([(t5, "seq2seq", replace(task, max_target_tokens=2))])
    assert "all answers of its train split are longer than 2 tokens to tiny-t5" in str(said)


def planned(model: ModelConfig, objective: str, task: TaskConfig) -> Cell:
    return Cell(MethodConfig("full", {}), model, tasks.resolve(task), objective, RecipeConfig())


@pytest.mark.parametrize("objective", ["seq2seq", "causal"])
def test_a_plan_refuses_what_a_run_refuses(
    objective: str, tmp_path: Path, t5: ModelConfig, decoder: ModelConfig
) -> None:
    """By the same function, for choices that are cut or unknown and for texts that are all cut."""
    model = t5 if objective == "seq2seq" else decoder
    for name in ("choices", "texts"):
        (tmp_path / name).mkdir()
    choices = rows_of(tmp_path / "choices", ["w1\tbad w1\tbad w2\t0", "w2\tbad\tgood\t1"], "text\ta\tb\tlabel")
    texts = rows_of(tmp_path / "texts", ["w1\tw2 w3 w4", "w2\tw3 w4 w5"], "text\ttarget")
    chosen = TaskConfig("mine", template="{text}", columns=("choices=a+b",), data_dir=choices, max_target_tokens=1)
    told = TaskConfig("mine", template="{text}", answer="text", data_dir=texts, max_target_tokens=2)
    for task, wanted in ((chosen, "in 1 of 2 rows of its train split"), (told, "all answers of its train split")):
        [_, said] = preflight.preflight([(model, objective, task)])
        with pytest.raises(UsageError, match=wanted) as refused:
            answer_tokens.check_plan([planned(model, objective, task)])
        assert str(refused.value) == said
        assert answer_tokens.check_plan([planned(model, objective, replace(task, max_target_tokens=4))]) == []


def test_a_few_rows_of_like_choices_are_counted(tmp_path: Path, t5: ModelConfig, decoder: ModelConfig) -> None:
    lines = ["w1\t😀\t😡\t0", *(f"w{i}\tbad\tgood\t1" for i in range(2, 5))]
    task = TaskConfig(
        "mine", template="{text}", columns=("choices=a+b",), data_dir=rows_of(tmp_path, lines, "text\ta\tb\tlabel"),
        max_unknown_share=1.0,
    )  # fmt: skip
    for model, objective in ((t5, "seq2seq"), (decoder, "causal")):
        cell = planned(model, objective, task)
        lines = answer_tokens.check_plan([cell, replace(cell, seed=1)])
        alike, unread = [line for line in lines if " of 4 rows " in line], [line for line in lines if "25.0%" in line]
        assert (len(unread), len(lines)) == (3, 6), "of each split the answers' two emojis are unknown as well"
        assert [line.partition(" of 4 rows of its ")[2].partition(" split")[0] for line in alike] == [
            "train", "validation", "test",
        ]  # fmt: skip
        rows = tasks.load(cell.task)
        encoded = objectives.make(objective, rows, tokenizer.load(model)).encode(rows.splits.train)
        assert encoded.notes["alike_choices"] == 1
        assert (
            "alike_choices"
            not in objectives.make(objective, rows, tokenizer.load(model)).encode(rows.splits.train[1:]).notes
        )


def test_only_the_right_choice_must_be_unlike_the_others() -> None:
    assert answer_tokens.alike([[1], [2], [1]], right=2)
    assert not answer_tokens.alike([[1], [2], [1]], right=1)
