"""`method.budget` is the largest size whose closed form stays within a share of the backbone."""

import re
from dataclasses import replace
from typing import Any

import pytest

from harness.config.schema import MethodConfig
from harness.errors import NotApplicable, UsageError
from methods import registry as methods
from methods.backbone.sizes import Shape, shape
from tests import turns
from tests.methods.conftest import TOYS, attach, backbone, disturb, logits, make
from tests.methods.independent_count import count

BIG = {"ptuning"}  # whose least is more than these toys
SIZED = sorted(name for name, entry in methods.catalogue().items() if methods.size_of(entry))
BUDGETS = (0.05, 0.09, 0.4, 0.7)


def test_most_methods_have_a_size() -> None:
    assert {"lora", "adapter", "prompt", "prefix", "selective", "intrinsic", "last_layer"} <= set(SIZED)


@pytest.mark.parametrize("fixed", sorted(set(methods.catalogue()) - set(SIZED)))
def test_a_method_without_a_size_says_so(fixed: str) -> None:
    with pytest.raises(UsageError, match=f"method {fixed} has no field 'budget'. It has no size to choose"):
        methods.resolve(fixed, {"budget": 0.1})


@pytest.mark.parametrize(("sized", "key"), turns.pairs(SIZED, ("t5", "bert-head", "llama-gqa")))
def test_one_more_would_be_too_many(sized: str, key: str) -> None:
    """At the budgets that can be; others are refused by the field or the least share, never overspent."""
    field, reached = str(methods.size_of(methods.find(sized))), []
    for budget in BUDGETS:
        model = backbone(TOYS[key])
        size = shape(model)
        made, refused = make(sized, budget=budget), ""
        try:
            made.attach(model)
        except NotApplicable as reason:
            pytest.skip(str(reason))
        except UsageError as reason:
            refused = str(reason)
        if refused:
            assert re.match(r"method.budget=\S+ gives|method.budget=\S+: \w+ needs at least", refused)
            continue
        reached.append(budget)
        solved = made.notes(model)[f"solved_{field}"]
        if field == "fraction":
            assert solved == budget
            continue
        assert count(model, TOYS[key].heads)["delta"] <= budget * size.parameters
        larger = [n for step in range(1, 9) if (n := _count(made, size, field, solved + step)) is not None]
        assert larger or solved == len(size.blocks), "or there is no more of it"
        assert not larger or larger[0] > budget * size.parameters
    assert reached or sized in BIG


def _count(method: Any, size: Shape, field: str, value: int) -> int | None:
    """Parameters at another size; None for a size that cannot be."""
    try:
        return int(replace(method.solved, **{field: value}).closed_form(size))
    except UsageError:
        return None


def test_a_prompt_of_unknown_length_leaves_room_for_itself() -> None:
    """Tokens are cut before the method is attached, so that a budget is solved by then."""
    config = MethodConfig("prompt", methods.resolve("prompt", {"budget": 0.02}))
    model = backbone(TOYS["bert-head"])
    asked = methods.make(config, lambda: backbone(TOYS["bert-head"]))
    added = asked.tokens_added()
    asked.attach(model)
    assert asked.tokens_added() == added > 0


def test_too_much_is_said_in_terms_of_the_budget() -> None:
    with pytest.raises(
        UsageError, match=r"method.budget=0\.9 gives rank \d+, which is not possible here: .* at most 16"
    ):
        make("lora", budget="90%").attach(backbone(TOYS["t5"]))


def test_parts_can_have_budgets() -> None:
    model = backbone(TOYS["t5"])
    whole = shape(model).parameters
    method = attach("combine", model, parts=["lora budget=8%", "adapter budget=20%"])
    assert 0.2 * whole < count(model)["delta"] <= 0.28 * whole
    assert method.unchanged_at_start


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
