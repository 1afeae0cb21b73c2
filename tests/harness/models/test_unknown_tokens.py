"""Text of unknown tokens is counted for every objective, and refused by a plan and a run alike where it is too much."""

from dataclasses import replace
from pathlib import Path

import pytest

from harness.config.schema import Cell, MethodConfig, ModelConfig, RecipeConfig, TaskConfig
from harness.errors import UsageError
from harness.execution import preflight
from harness.models import answer_tokens, tokenizer, unknown_tokens
from harness.models.text_tokens import Text
from harness.store import identity
from tasks import registry as tasks
from tasks.base import Example, Splits, Task


def own(folder: Path, lines: list[str], **more: object) -> TaskConfig:
    """A task in which each line is a row of text and label."""
    folder.mkdir(exist_ok=True)
    for split in ("train", "validation", "test"):
        (folder / f"{split}.tsv").write_text("\n".join(["text\tlabel", *lines]) + "\n")
    return TaskConfig(
        "mine", template="w1 w2 w3 {text}", label_words=("bad", "good"), data_dir=str(folder), **more  # type: ignore[arg-type]
    )  # fmt: skip


def of(model: ModelConfig, objective: str, task: TaskConfig) -> Cell:
    return Cell(MethodConfig("full", {}), model, tasks.resolve(task), objective, RecipeConfig())


def in_memory(rows: tuple[Example, ...], **more: object) -> Task:
    splits = Splits(rows, rows, {"test": rows})
    return Task("toy", "toy", "good {text}", "accuracy", splits, **more)  # type: ignore[arg-type]


def counted(task: Task, objective: str, text: Text) -> dict[tuple[str, str], tuple[int, int, tuple[str, ...]]]:
    parts = unknown_tokens.count(task, objective, text.tokenizer, text.controls.unknown)
    return {(part.split, part.what): (part.unknown, part.tokens, part.words) for part in parts}


def test_the_columns_and_the_answers_are_counted_without_the_template(t5_text: Text) -> None:
    rows = (Example("0", {"text": "w1 Serfdom ended"}, 0), Example("1", {"text": "w2 good"}, 1))
    found = counted(in_memory(rows, label_words=("bad", "ham")), "seq2seq", t5_text)
    assert found["train", "inputs"] == (2, 5, ("Serfdom", "ended"))
    assert found["test", "answers"] == (2, 4, ("ham",))
    targets = tuple(replace(row, target="good spam eggs") for row in rows)
    assert counted(in_memory(targets, answer="text"), "causal", t5_text)["train", "answers"] == (4, 6, ("spam", "eggs"))
    chosen = tuple(replace(row, choices=("good", "ham", "bad")) for row in rows)
    assert counted(in_memory(chosen, answer="choice"), "causal", t5_text)["train", "answers"] == (2, 6, ("ham",))


def test_a_head_has_no_words_and_a_cloze_has_its_own(t5_text: Text) -> None:
    rows = (Example("0", {"text": "w1 spam", "more": "eggs eggs"}, 0),)
    task = in_memory(rows, label_words=("bad", "ham"), cloze="{more} {mask}", cloze_words=("good", "bad"))
    assert counted(task, "classifier", t5_text) == {
        (split, "inputs"): (1, 2, ("spam",)) for split in ("train", "validation", "test")
    }
    assert counted(task, "masked", t5_text)["test", "inputs"] == (2, 2, ("eggs",))
    assert counted(task, "masked", t5_text)["test", "answers"] == (0, 2, ())


def test_bytes_are_never_unknown() -> None:
    bytes_ = tokenizer.tokenizer(1000)
    assert unknown_tokens.count(in_memory((Example("0", {"text": "😀"}, 0),)), "causal", bytes_, None) == []


def test_of_a_large_split_some_rows_are_read_and_the_sentence_says_how_many(t5_text: Text) -> None:
    many = 10 * unknown_tokens.ROWS
    rows = tuple(Example(str(i), {"text": "w1 spam" if i % 2 else "w1 w2"}, 0) for i in range(many))
    task = in_memory(rows, label_words=("bad", "good"))
    parts = unknown_tokens.count(task, "seq2seq", t5_text.tokenizer, t5_text.controls.unknown)
    with pytest.raises(UsageError, match=rf"split are unknown to m \(such as 'spam'\); 256 of {many} rows were read\."):
        unknown_tokens.check(task, [replace(parts[0], unknown=400, words=("spam",))], 0.2, "m")


@pytest.mark.parametrize("objective", ["seq2seq", "classifier"])
def test_a_plan_and_a_run_refuse_text_that_the_model_cannot_read(
    objective: str, tmp_path: Path, t5: ModelConfig
) -> None:
    task = own(tmp_path, ["w1 w2 w3 Serfdom\t0", "w1 Russia w3\t1", "w1 w2 w3\t0"])
    assert preflight.preflight([(t5, objective, task)]) == [None, None], "a fifth of the tokens, which may be"
    worse = own(tmp_path / "worse", ["w1 w2 w3 Serfdom\t0", "w1 Russia w3\t1", "Tsar w2 w3\t0"])
    [_, said] = preflight.preflight([(t5, objective, worse)])
    with pytest.raises(UsageError) as refused:
        answer_tokens.check_plan([of(t5, objective, worse)])
    assert str(refused.value) == said
    assert said == (
        "task mine: 30.0% of the tokens in the inputs of its train split are unknown to tiny-t5 (such as 'Serfdom', "
        "'Russia', 'Tsar'); 3 rows were read. At most 20% may be: take a model that knows these words, or set "
        "task.max_unknown_share=1 to run it all the same."
    )
    asked = replace(worse, max_unknown_share=1.0)
    assert preflight.preflight([(t5, objective, asked)]) == [None, None]
    assert len(answer_tokens.check_plan([of(t5, objective, asked)])) == 3
    assert identity.key(of(t5, objective, asked)) == identity.key(of(t5, objective, worse)), "it changes no result"


def test_what_a_record_notes_leaves_out_the_known_parts() -> None:
    part = unknown_tokens.Part("train", "inputs", 1, 30, (), 3, 3)
    known = replace(part, split="test", unknown=0)
    assert unknown_tokens.note([part, known]) == {"unknown_inputs": {"train": 0.0333}}
    assert unknown_tokens.note([known]) == {}
