"""`method.budget` is the largest size whose closed form stays within a share of the backbone."""

from dataclasses import replace
from typing import Any

import pytest

import methods
from harness.config import MethodConfig
from harness.errors import NotApplicable, UsageError
from methods.kept import count
from methods.shape import shape
from tests.methods.conftest import TOYS, attach, backbone, disturb, logits, make

SIZED = sorted(name for name, entry in methods.catalogue().items() if methods.size_of(entry))
BUDGET = 0.09


def test_most_methods_have_a_size() -> None:
    assert {"lora", "adapter", "prompt", "prefix", "selective", "intrinsic"} <= set(SIZED)


@pytest.mark.parametrize("sized", SIZED)
def test_one_more_would_be_too_many(sized: str) -> None:
    model = backbone(TOYS["t5"])
    size = shape(model)
    try:
        method = attach(sized, model, budget=BUDGET)
    except (UsageError, NotApplicable) as reason:
        pytest.skip(str(reason))
    field = str(methods.size_of(methods.find(sized)))
    solved = method.notes(model)[f"solved_{field}"]
    if field == "fraction":
        assert solved == BUDGET
        return
    assert count(model)["delta"] <= BUDGET * size.parameters
    larger = [m for step in range(1, 9) if (m := _try(method, field, solved + step)) is not None]
    assert larger
    assert larger[0].closed_form(size) > BUDGET * size.parameters


def _try(method: Any, field: str, value: int) -> Any:
    try:
        return replace(method.solved, **{field: value})
    except UsageError:
        return None


def test_a_budgeted_method_is_the_method_of_that_size() -> None:
    one, other = backbone(TOYS["t5"]), backbone(TOYS["t5"])
    rank = attach("lora", one, budget="6%").notes(one)["solved_rank"]
    attach("lora", other, rank=rank)
    for model in (one, other):
        disturb(model)
    assert (logits(one, TOYS["t5"]) == logits(other, TOYS["t5"])).all(), "alpha follows the solved rank"


def test_one_meaning_one_value() -> None:
    values = [methods.resolve("lora", {"budget": budget}) for budget in ("0.5%", 0.005, "0.005", "0.50 %")]
    assert all(value == values[0] for value in values)
    assert values[0]["budget"] == 0.005
    assert values[0]["alpha"] is None
    assert methods.resolve("lora", values[0]) == values[0]


@pytest.mark.parametrize(
    ("method", "fields", "rule"),
    [
        ("lora", {"budget": "0.5%", "rank": 3}, "give method.budget or method.rank, not both"),
        ("lora", {"budget": 0}, "above 0 and at most 100%"),
        ("lora", {"budget": "200%"}, "above 0 and at most 100%"),
        ("lora", {"budget": "much"}, "a share such as"),
        ("bitfit", {"budget": 0.1}, "method bitfit has no field 'budget'"),
    ],
)
def test_budgets_that_cannot_be(method: str, fields: dict[str, Any], rule: str) -> None:
    with pytest.raises(UsageError, match=rule):
        methods.resolve(method, fields)


def test_a_budget_below_the_smallest_says_what_it_takes() -> None:
    with pytest.raises(UsageError, match=r"method.budget=0\.0001: lora needs at least 0\.\d+ of this backbone"):
        make("lora", budget=1e-4).attach(backbone(TOYS["t5"]))
    made = methods.make(MethodConfig("prompt", {"budget": 0.05}))
    assert made.tokens_added() == 0
