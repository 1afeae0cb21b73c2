"""Flat values become typed fields, or a sentence."""

from typing import Any

import pytest

from harness.config.building import build
from harness.config.schema import ModelConfig, RecipeConfig, Runtime, TaskConfig
from harness.errors import UsageError


def test_values_take_their_canonical_type() -> None:
    recipe = build(
        RecipeConfig, {"steps": "300", "learning_rate": "3e-3", "warmup_share": 0, "dropout": None}, "recipe"
    )
    assert (recipe.steps, recipe.learning_rate, recipe.warmup_share, recipe.dropout) == (300, 0.003, 0.0, None)
    assert [type(value) for value in (recipe.steps, recipe.learning_rate, recipe.warmup_share)] == [int, float, float]


@pytest.mark.parametrize(
    ("kind", "values", "said"),
    [
        (RecipeConfig, {"stpes": 3}, "steps"),
        (RecipeConfig, {"steps": 1.5}, "whole number"),
        (RecipeConfig, {"steps": -1}, "at least 0"),
        (RecipeConfig, {"steps": None}, "needs a value"),
        (RecipeConfig, {"steps": True}, "whole number"),
        (RecipeConfig, {"learning_rate": 0}, "above 0"),
        (RecipeConfig, {"learning_rate": float("nan")}, "a number"),
        (RecipeConfig, {"learning_rate": "1e999"}, "a number"),
        (RecipeConfig, {"learning_rate": 10**400}, "a number"),
        (RecipeConfig, {"warmup_share": 2}, "at most 1"),
        (RecipeConfig, {"precision": "fp7"}, "fp32, bf16"),
        (RecipeConfig, {"name": [3]}, "text"),
        (RecipeConfig, {3: 3}, "no field"),
        (TaskConfig, {"train_size": 0, "name": "t"}, "at least 1"),
        (TaskConfig, {"train_size": [1], "name": "t"}, "whole number"),
        (Runtime, {"keep": "everything"}, "delta, none"),
        (RecipeConfig, {"batch_size": 10**12}, "at most 65536"),
        (RecipeConfig, {"steps": 10**18}, "at most 10000000"),
        (ModelConfig, {"attention": "fast"}, "sdpa, eager"),
        (Runtime, {"threads": 0}, "^threads=0: it must be at least 1"),
        (Runtime, {"threads": 10**6}, "at most 1024"),
    ],
)
def test_a_value_that_breaks_a_rule_is_named(kind: type[Any], values: dict[Any, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said) as caught:
        build(kind, values, "part")
    assert str(next(iter(values))) in str(caught.value)


@pytest.mark.parametrize("written", ["1_6", "१६", "1e-3_0"])
def test_a_number_has_plain_digits_only(written: str) -> None:
    """float() takes more, and 1_6 is a slip for something else."""
    with pytest.raises(UsageError, match="must be a"):
        build(RecipeConfig, {"batch_size": written}, "recipe")


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        (TaskConfig, {"name": "t", "columns": ["label=a", "label=b"]}),
        (TaskConfig, {"name": "t", "files": ["test=a.csv", " test =b.csv"]}),
        (ModelConfig, {"name": "m", "family": "t5", "architecture": '{"d_model": 8, "d_model": 16}'}),
    ],
)
def test_a_name_that_is_given_twice_is_refused(kind: type[Any], values: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=r"is given twice|it must be names with values"):
        build(kind, values, "part")
