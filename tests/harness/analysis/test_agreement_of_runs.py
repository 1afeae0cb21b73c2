"""Two runs of an exhibit are compared claim by claim."""

from dataclasses import replace

from harness.analysis import agreement
from harness.experiments.verdict import Finding


def finding(left: str, verdict: str) -> Finding:
    sentence = f"{left} scores at least as high as lora: {verdict}; 1 of 1 comparisons."
    return Finding("scores-at-least", "micro", verdict, sentence, 0.01, "", "", "")


def test_claims_of_one_name_are_told_apart_by_what_they_say() -> None:
    mine = [finding("dora", "reproduced"), finding("dvora", "contradicted")]
    assert agreement.flipped(mine, mine) == []
    assert agreement.flipped(mine, mine[::-1]) == []
    theirs = [finding("dora", "contradicted"), finding("dvora", "inconclusive")]
    assert agreement.flipped(mine, theirs) == [(mine[0], theirs[0])]
    assert agreement.flipped(mine, [replace(theirs[0], model="mini")]) == []
