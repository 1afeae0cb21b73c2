"""Numbers that no computation holds are refused, and one number has one form."""

import math

import pytest

from harness.cli import dispatch
from harness.config import values
from harness.config.building import build
from harness.config.schema import RecipeConfig
from harness.errors import UsageError


@pytest.mark.parametrize("text", ["1e-320", "1e-60", "1e-400", "1e400", "1e39", "nan", "-inf", 1e-320, math.nan])
def test_numbers_beyond_single_precision_are_refused(text: object) -> None:
    with pytest.raises(UsageError, match="it must be a number"):
        values.parse("recipe.learning_rate", "float", text)


@pytest.mark.parametrize("text", ["-0.0", "0", "0e9", -0.0])
def test_zero_has_one_sign(text: object) -> None:
    assert math.copysign(1, values.parse("recipe.weight_decay", "float", text)) == 1


def test_whole_numbers_are_exact() -> None:
    assert values.parse("n", "int", str(2**53 + 1)) == 2**53 + 1
    assert values.parse("n", "int", "8.0") == 8


@pytest.mark.parametrize("text", [2**63, str(2**63), "9" * 500, "1e30", 1e300, "9" * 5000])
def test_whole_numbers_that_no_file_holds_are_refused(text: object) -> None:
    with pytest.raises(UsageError, match="whole number") as refused:
        values.parse("n", "int", text)
    assert len(str(refused.value)) < 300


def test_one_recipe_has_one_form() -> None:
    assert repr(build(RecipeConfig, {"weight_decay": "-0.0"}, "recipe")) == repr(RecipeConfig())


@pytest.mark.parametrize(
    "words",
    [
        ("launcher=nosuch",), ("launcher.partition=gpu",), (f"seed={'9' * 5000}",), ("seed=٣",),
        ("recipe.learning_rate=1e-320",),
        ("task.train_size=" + "9" * 400,), ("timeout=1e400",), ("recipe.dropout=nan",),
    ],
)  # fmt: skip
def test_a_plan_refuses_what_a_sweep_would(words: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert dispatch.main(["plan", *words]) == 2
    assert "should not happen" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("written", "type_text", "advice"),
    [
        ("１２", "int", "a whole number. Write 12."),
        ("1_0", "int", "a whole number. Write 10."),
        ("０.5", "float", "a number. Write 0.5."),
        ("eight", "int", "a whole number."),
    ],
)
def test_a_number_in_other_digits_is_given_in_ours(written: str, type_text: str, advice: str) -> None:
    with pytest.raises(UsageError) as caught:
        values.parse("recipe.steps", type_text, written)
    assert str(caught.value) == f"recipe.steps={written}: it must be {advice}"


@pytest.mark.parametrize("type_text", sorted(values.PARSERS))
def test_a_refusal_is_a_sentence(type_text: str) -> None:
    messages = []
    for wrong in (None, [[]], {}, "", "x", -1, "-1", 1e300, ".", ["a", "a"], {"a": {}}, 2**64):
        try:
            values.parse("method.field", type_text, wrong)
        except UsageError as error:
            messages.append(str(error))
    assert messages
    assert [message for message in messages if not message.endswith((".", "?"))] == []
