"""The options of claims and published orders: what cannot be is refused before anything is trained."""

import math
from pathlib import Path
from typing import Any

import pytest

from harness.errors import UsageError
from harness.experiments import claim_options, claims, exhibits, published_rows

METHODS, TASKS = ("none", "full", "lora", "dora"), ("micro/*",)
SIDES = {"left": "lora", "right": "full", "reference": "lora"}
CLAIMS = claims.CLAIMS.values()


def valid(claim: claims.Claim) -> dict[str, Any]:
    """Options that fill every place of the claim's sentence."""
    return {name: SIDES.get(name, "lora") for name, usual in claim.options.items() if usual is None and name != "steps"}


def check(claim: claims.Claim, **changed: Any) -> None:
    claim_options.check(claim, {**valid(claim), "tasks": ["micro/qa"], **changed} if "tasks" in claim.options
                        else {**valid(claim), **changed}, METHODS, TASKS)  # fmt: skip


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: claim.name)
def test_no_option_takes_a_value_of_another_kind(claim: claims.Claim) -> None:
    check(claim)
    for name, usual in claim.options.items():
        if isinstance(usual, bool):
            wrong: tuple[Any, ...] = ("false", 1, None)
        elif isinstance(usual, int | float):
            wrong = ("90%", True, math.nan, math.inf, -1, None)
        elif name in claim_options.SIDES:
            wrong = ("loar", {"rank": 4}, {"method": "lora", "rnak": 4}, {"method": "lora", "recipe.steps": 4}, None)
        else:
            continue
        for value in wrong:
            with pytest.raises(UsageError, match=name):
                check(claim, **{name: value})


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: claim.name)
def test_every_place_of_a_sentence_is_filled(claim: claims.Claim) -> None:
    for name in valid(claim):
        if f"{{{name}}}" in claim.sentence:
            given = {other: value for other, value in valid(claim).items() if other != name}
            with pytest.raises(UsageError, match=f"needs the option '{name}'"):
                claim_options.check(claim, given, METHODS, TASKS)


@pytest.mark.parametrize(
    ("name", "changed", "rule"),
    [
        ("scores-above", {"margin": 1}, "margin=1: .*below 1; 0.01 is one point"),
        ("scores-above", {"left": "fulll"}, "'fulll' is no method of the exhibit. Did you mean full"),
        ("scores-above", {"left": {"method": ["lora", "dra"]}}, "'dra' is no method.*dora"),
        ("reaches-share", {"share": 90}, "share=90: .*from 0 to 1; 0.9 is 90 %"),
        ("reaches-share", {"tasks": ["mikro/qa"]}, "tasks: 'mikro/qa' is no task of the exhibit"),
        ("trains-between", {"low": 0.9, "high": 0.1}, "low=0.9 is above high=0.1"),
        ("ratio-of-best-rates", {"ratio": 0}, "ratio=0: it is above 0"),
        ("ratio-of-best-rates", {"steps": 1.5}, "steps=1.5: it is a whole number"),
        ("saves-against", {"batch": 0}, "batch=0: it is a whole number"),
        ("sign-of-correlation", {"sign": "positiv"}, "sign=positiv: it is one of positive, negative"),
        ("soup-beats", {"against": "worst"}, "against=worst"),
        ("order-of-scores", {"quantity": 3}, "quantity=3: it is a text"),
    ],
)
def test_a_refusal_says_the_value_and_the_rule(name: str, changed: dict[str, Any], rule: str) -> None:
    with pytest.raises(UsageError, match=rule):
        check(claims.find(name), **changed)


def test_a_margin_on_a_scale_without_an_end_may_be_large() -> None:
    check(claims.find("forgets-less"), margin=2)


@pytest.mark.parametrize(
    ("content", "rule"),
    [
        ("metric,method,value\nscore,full,1\n", "lacks the column 'quantity' .* has metric, method, value"),
        ("# nothing\n", "has no rows"),
        ("quantity,method,rank\nscore,full,first\n", "the rank of full is 'first'"),
        ("quantity,method,rank\nscore,full,\n", "the rank of full is ''"),
        ("quantity,method,rank\nscore,full\n", "the rank of full is 'None'"),
        ("quantity,method,rank\nscore,full,1\nscore,lora,2\nscore,full,3\n", "two ranks of full for 'score'"),
        ("quantity,method,rank\nscores,full,1\n", "no rows for the quantity 'score'. Did you mean scores"),
    ],
)
def test_a_published_order_is_whole(tmp_path: Path, content: str, rule: str) -> None:
    (tmp_path / "order.csv").write_text(content)
    with pytest.raises(UsageError, match=rule):
        published_rows.check_order(tmp_path / "order.csv", "score")


def test_an_exhibit_without_a_published_order_has_no_claim_about_it(tmp_path: Path) -> None:
    text = exhibits.load("delta-ranking").path.read_text()
    (tmp_path / "mine.yaml").write_text("\n".join(line for line in text.splitlines() if "published:" not in line))
    with pytest.raises(UsageError, match=r"mine.yaml.*order-of-scores: it needs `published:`"):
        exhibits.read(tmp_path / "mine.yaml")
