"""The sentence of a claim names comparisons together that share a reason."""

import pytest

from harness.analysis.study import findings, open_rates
from harness.experiments import claims
from harness.experiments.verdict import Comparison

CLAIM = claims.find("order-of-scores")


def row(right: str, verdict: str = "inconclusive", **fields: object) -> Comparison:
    return Comparison("full", right, "above", verdict, **fields)  # type: ignore[arg-type]


def sentence(*rows: Comparison) -> str:
    return findings.sentence(CLAIM, "inconclusive", rows, {})


def test_comparisons_with_one_reason_are_named_together() -> None:
    edge = [row(right, reason=open_rates.EDGE) for right in "abcdef"]
    assert f"6 inconclusive (full vs a, full vs b, full vs c, full vs d and 2 more: {open_rates.EDGE})" in sentence(
        *edge
    )
    alone = row("g", reason=open_rates.ALONE)
    assert f"full vs d and 2 more: {open_rates.EDGE}; full vs g: {open_rates.ALONE})" in sentence(*edge, alone)


@pytest.mark.parametrize(
    ("fields", "detail"),
    [
        ({"seeds": 16, "fewest": 9, "most": 119}, "16 (9 to 119) seeds would decide it"),
        ({}, "more than 1000 seeds would be needed"),
        ({"rows": 10.7}, "with any number of seeds it would take 10.7 times the test rows"),
        ({"rows": 400.0}, "with any number of seeds it would take more than 100 times the test rows"),
    ],
)
def test_an_inconclusive_comparison_states_what_it_would_take(fields: dict[str, object], detail: str) -> None:
    assert f"1 inconclusive (full vs a: {detail})" in sentence(row("a", **fields))


def test_a_sentence_gives_four_details() -> None:
    text = sentence(*(row(f"a{i}", seeds=10 + i, fewest=9, most=119) for i in range(6)))
    assert text.count("seeds would decide it") == findings.SHOWN
    assert "6 inconclusive" in text
    assert "; …)" in text
