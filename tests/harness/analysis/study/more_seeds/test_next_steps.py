"""A claim without a verdict says what to do next."""

import pytest

from harness.analysis.study import open_rates
from harness.analysis.study.more_seeds.next_steps import ONE_SEED, next_steps
from harness.experiments.verdict import Comparison


def row(reason: str, verdict: str = "inconclusive") -> Comparison:
    return Comparison("a", "b", "above", verdict, reason=reason)


@pytest.mark.parametrize(
    ("reason", "step"),
    [
        (open_rates.ALONE, "search for rates with `recipe.learning_rate=tuned`"),
        (open_rates.EDGE, "beyond the edge"),
        (open_rates.REPORTED, "`recipe.learning_rate=tuned`"),
        (ONE_SEED, "`seed=0,1,2`"),
        ("no seed was run for both on every task", "run the missing cells"),
    ],
)
def test_every_reason_has_its_step(reason: str, step: str) -> None:
    assert step in next_steps([row("", "reproduced"), row(reason)])
    assert next_steps([row(reason, "reproduced")]) == ""


def test_each_step_is_named_once() -> None:
    text = next_steps([row(open_rates.ALONE), row(ONE_SEED, "untested"), row(open_rates.ALONE)])
    assert text.count("search for rates") == 1
    assert text.index("search for rates") < text.index("run several seeds")


def test_seeds_that_would_decide_need_no_other_step() -> None:
    assert next_steps([row("")]) == ""
