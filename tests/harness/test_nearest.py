"""Suggestions: other case, last part, initials, words, spelling; fields and their synonyms come from declarations."""

import pytest

from harness.cli.command_line import parse
from harness.errors import UsageError
from harness.experiments.grids import declared_types, options
from harness.nearest import closest

FIELDS = {
    "lr": "recipe.learning_rate",
    "LR": "recipe.learning_rate",
    "learning-rate": "recipe.learning_rate",
    "rank": "method.rank",
    "lora_alpha": "method.alpha",
    "steps": "recipe.steps",
    "epochs": "recipe.steps",
    "num_train_epochs": "recipe.steps",
    "gradient_accumulation_steps": "recipe.accumulate",
    "batch_size": "recipe.batch_size",
    "per_device_train_batch_size": "recipe.batch_size",
    "wd": "recipe.weight_decay",
    "optim": "recipe.optimizer",
    "model_name": "model",
    "dataset": "task",
    "output_dir": "store",
}


@pytest.mark.parametrize(("word", "field"), FIELDS.items())
def test_a_word_of_other_programs_suggests_the_field(word: str, field: str) -> None:
    with pytest.raises(UsageError, match=rf"(no setting )?'{word}(=1)?'[^.]*\. Did you mean {field}\b"):
        parse([f"{word}=1"])


@pytest.mark.parametrize(
    ("group", "word", "name"),
    [
        ("method", "LoRA", "lora"),
        ("task", "sst2", "glue/sst2"),
        ("task", "SST-2", "glue/sst2"),
        ("model", "T5_Base", "t5-base"),
        ("objective", "Masked", "masked"),
    ],
)
def test_a_value_in_another_case_or_without_its_suite_suggests_the_option(group: str, word: str, name: str) -> None:
    with pytest.raises(UsageError, match=f"Did you mean {name}"):
        options.match(group, word)


def test_a_bare_value_suggests_the_choice() -> None:
    with pytest.raises(UsageError, match=r"'LoRA' is not key=value\. Did you mean method=lora"):
        parse(["LoRA"])


def test_every_field_and_every_synonym_is_found_by_itself() -> None:
    names = [*declared_types.settable(), "store", "task"]
    for field in declared_types.settable():
        assert closest(field.upper(), names) == [field]
    for word, field in declared_types.synonyms().items():
        assert closest(word, names, declared_types.synonyms())[0] == field
        assert field in names


def test_the_spelling_is_the_last_resort() -> None:
    assert closest("lroa", ["lora", "bitfit"]) == ["lora"]
    assert closest("zzz", ["lora", "bitfit"]) == []
    assert closest("", ["lora"]) == []
