"""A plan says which columns the limit on a text's length leaves nothing of, for what each objective keeps."""

from dataclasses import replace

import pytest

from harness.config.schema import ModelConfig
from harness.models import cut_columns, tokenizer
from tasks.base import Example, Splits, Task

LONG, SHORT = " ".join(["w1"] * 30), "w2 w3"


def task(template: str, first: str, last: str, **more: object) -> Task:
    rows = (Example("0", {"first": first, "last": last}, 0), Example("1", {"first": SHORT, "last": SHORT}, 1))
    splits = Splits(rows, rows[1:], {"test": rows})
    words = {"label_words": ("bad", "good"), "max_input_tokens": 12, **more}
    return Task("toy", "toy", template, "accuracy", splits, **words)  # type: ignore[arg-type]


def cut(made: Task, objective: str, model: ModelConfig) -> dict[str, list[str]]:
    """Return split -> the columns that are cut whole."""
    text = tokenizer.load(model)
    found: dict[str, list[str]] = {}
    for line in cut_columns.lines(made, objective, text.tokenizer, text.controls, text.model):
        assert "nothing is left in 1 of the 2 rows read of its " in line
        assert f"because {text.model} gets 12 tokens" in line
        found.setdefault(line.partition(" of its ")[2].partition(" split")[0], []).append(
            line.split("{")[1].split("}")[0]
        )
    return found


@pytest.mark.parametrize("objective", ["seq2seq", "classifier"])
def test_what_stands_last_is_cut_where_the_start_is_kept(objective: str, t5: ModelConfig) -> None:
    template = "{first} : {last}"
    assert cut(task(template, LONG, SHORT), objective, t5) == {"train": ["last"], "test": ["last"]}
    assert cut(task(template, SHORT, LONG), objective, t5) == {}, "a part of it is left"
    assert cut(task(template, LONG, ""), objective, t5) == {}, "an empty text loses nothing"
    assert cut(task(template, LONG, SHORT, keep="end"), objective, t5) == {}
    assert cut(task(template, SHORT, LONG, keep="end"), objective, t5) == {"train": ["first"], "test": ["first"]}
    assert cut(task(template, LONG, SHORT, max_input_tokens=40), objective, t5) == {}


def test_a_decoder_loses_what_stands_first(decoder: ModelConfig) -> None:
    assert cut(task("{first} : {last}", SHORT, LONG), "causal", decoder) == {"train": ["first"], "test": ["first"]}
    assert cut(task("{first} : {last}", LONG, SHORT), "causal", decoder) == {}


def test_a_cloze_keeps_what_stands_around_the_mask(encoder: ModelConfig) -> None:
    made = task("{first} {last}", LONG, SHORT, cloze="{last} {first} {mask}")
    assert cut(made, "masked", encoder) == {"train": ["last"], "test": ["last"]}
    assert cut(replace(made, cloze="{first} {mask} {last}"), "masked", encoder) == {}
    assert cut(replace(made, cloze=""), "masked", encoder) == {}, "the mask stands at the end of the template"
